import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import type { Part } from "./lab-worker.ts";
import { LABORATORIES } from "./laboratories.ts";
import type { Laboratory, LabOptions } from "./laboratory.ts";

const USAGE = `usage: npm run lab -- [LABORATORY …] [options]
  LABORATORY     ${LABORATORIES.map(({ name }) => name).join(", ")}; default: all
  --seed TEXT    draws every trace; default "holdfast"
  --effort X     how much of everything is run; default 1, which is what the stored report holds
  --out FOLDER   where the report goes; default docs/lab
  --jobs N       threads; default one a core
The same seed and effort give the same bytes, with any number of threads, but for what is measured of memory.`;

const OPTIONS = {
  seed: { type: "string", default: "holdfast" }, effort: { type: "string", default: "1" }, out: { type: "string", default: "docs/lab" },
  jobs: { type: "string", default: String(availableParallelism()) }, help: { type: "boolean", short: "h", default: false },
} as const;

async function main(): Promise<number> {
  const { values: { seed, effort, out, jobs, help }, positionals } = parseArgs({ options: OPTIONS, allowPositionals: true });
  const known = positionals.every((given) => LABORATORIES.some(({ name }) => name === given));
  if (help || !known || !/^[1-9]\d{0,2}$/.test(jobs) || !(Number(effort) > 0 && Number(effort) <= 1000)) {
    console.log(USAGE);
    return help ? 0 : 2;
  }
  const started = performance.now();
  const say = (text: string) => console.log(`${((performance.now() - started) / 1000).toFixed(1)} s  ${text}`);
  const options = { seed, effort: Number(effort) };
  const chosen = LABORATORIES.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
  const results = await runAll(chosen, options, Number(jobs), ({ laboratory, task }) => say(`${laboratory} ${task}`));
  for (const laboratory of chosen) {
    const folder = join(out, laboratory.name);
    const files = laboratory.report(results.get(laboratory) ?? [], options);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    for (const [name, text] of files) writeFileSync(join(folder, name), text);
    say(`${files.size} files in ${folder}`);
  }
  writeFileSync(join(out, "README.md"), index());
  return 0;
}

function index(): string {
  const lines = LABORATORIES.map(({ name, says }) => `- [${name}](${name}/README.md): ${says}`);
  return `# The laboratory

Holdfast's rules beside the published ones, on the same seeded traces. Written by \`npm run lab\`; the same seed gives the same bytes, but for what
is measured of memory, so nothing here is edited by hand. Where ours loses, the tables say so.

${lines.join("\n")}
`;
}

/** Runs all parts in threads, each taking the next one as it ends the last; the answers are in the order of the tasks. */
async function runAll(chosen: readonly Laboratory[], options: LabOptions, jobs: number, done: (part: Part) => void): Promise<Map<Laboratory, unknown[]>> {
  const results = new Map(chosen.map((laboratory): [Laboratory, unknown[]] => [laboratory, []]));
  const parts = chosen.flatMap((laboratory) => laboratory.tasks.map((task, place) => ({ laboratory, task, place })));
  await Promise.all(Array.from({ length: Math.min(jobs, parts.length) }, () => new Promise<void>((resolve, reject) => {
    const worker = new Worker(new URL("./lab-worker.ts", import.meta.url));
    let current: (typeof parts)[number] | undefined;
    const feed = () => {
      current = parts.shift();
      if (current === undefined) void worker.terminate().then(() => resolve());
      else worker.postMessage({ part: { laboratory: current.laboratory.name, task: current.task }, options }, []);
    };
    worker.on("error", reject);
    worker.on("message", (result: unknown) => {
      if (current !== undefined) {
        (results.get(current.laboratory) as unknown[])[current.place] = result;
        done({ laboratory: current.laboratory.name, task: current.task });
      }
      feed();
    });
    feed();
  })));
  return results;
}

process.exitCode = await main();
