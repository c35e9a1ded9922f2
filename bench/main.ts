/**
 * `npm run bench -- NAME [--json] [--quick]`: runs NAME.bench.ts of this folder. Prints a table, or with --json one JSON
 * array of figures; notes on progress go to stderr. Exit status 2 for wrong arguments; a missed target is no error.
 */
import { readdirSync } from "node:fs";
import { parseArgs } from "node:util";
import { type Bench, table } from "./harness.ts";

const SUFFIX = ".bench.ts";
const names = readdirSync(import.meta.dirname).filter((file) => file.endsWith(SUFFIX)).map((file) => file.slice(0, -SUFFIX.length));

function parse(): { name: string; json: boolean; quick: boolean } | undefined {
  try {
    const options = { json: { type: "boolean", default: false }, quick: { type: "boolean", default: false } } as const;
    const { values, positionals } = parseArgs({ options, allowPositionals: true });
    const [name, ...rest] = positionals;
    return name !== undefined && rest.length === 0 && names.includes(name) ? { name, ...values } : undefined;
  } catch {
    return undefined;
  }
}

const given = parse();
if (given === undefined) {
  console.error(`usage: npm run bench -- NAME [--json] [--quick], where NAME is one of: ${names.join(", ")}`);
  process.exitCode = 2;
} else {
  const { run } = (await import(`./${given.name}${SUFFIX}`)) as Bench;
  const figures = await run({ quick: given.quick, note: (text) => console.error(`· ${text}`) });
  console.log(given.json ? JSON.stringify(figures, null, 2) : `\n${table(figures)}`);
}
