/**
 * The command `npm run vectors -- DIR`: replays every trace of every *.jsonl file in DIR, prints each that differs,
 * and closes with `N passed, N failed`. Ends with 1 if a trace failed, with 2 if there was nothing to replay.
 */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { replay } from "./replay.ts";
import type { Trace } from "./replay.ts";

function main([directory, ...rest]: readonly string[]): number {
  if (directory === undefined || rest.length > 0) return refuse("usage: npm run vectors -- DIR");
  let files: string[];
  try {
    files = readdirSync(directory).filter((file) => file.endsWith(".jsonl")).sort();
  } catch (error) {
    return refuse(`cannot read the directory ${directory}: ${(error as Error).message}`);
  }
  if (files.length === 0) return refuse(`no *.jsonl file in ${directory}`);
  let passed = 0;
  let failed = 0;
  for (const file of files) {
    for (const [at, line] of readFileSync(join(directory, file), "utf8").split("\n").entries()) {
      if (line.trim() === "") continue;
      const failure = failureOf(line);
      if (failure === undefined) passed++;
      else {
        failed++;
        console.log(`${file}:${at + 1}, ${failure}`);
      }
    }
  }
  console.log(`${passed} passed, ${failed} failed`);
  return failed > 0 ? 1 : 0;
}

function failureOf(line: string): string | undefined {
  try {
    const difference = replay(JSON.parse(line) as Trace);
    if (difference === undefined) return undefined;
    const { trace, step, expected, got } = difference;
    return `${trace}, step ${step}, expected ${JSON.stringify(expected)}, got ${JSON.stringify(got)}`;
  } catch (error) {
    return `not a trace: ${String(error)}`;
  }
}

function refuse(message: string): number {
  console.error(message);
  return 2;
}

process.exitCode = main(process.argv.slice(2));
