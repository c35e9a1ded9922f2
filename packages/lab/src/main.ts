import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import type { ExperimentOptions } from "./experiment.ts";
import type { Figures } from "./measure.ts";
import { judge, report, type TraceResult } from "./report/report.ts";
import { TRACES } from "./traces/traces.ts";

const USAGE = `usage: npm run lab -- …
  --seed TEXT    draws every trace; default "holdfast"
  --peers N      peers of each trace, a quarter of a day each on average; default 400
  --out FOLDER   where the report goes; default docs/lab
  --jobs N       threads; default one a core
The same seed and number of peers give the same bytes, with any number of threads.`;

const OPTIONS = {
  seed: { type: "string", default: "holdfast" }, peers: { type: "string", default: "400" }, out: { type: "string", default: "docs/lab" },
  jobs: { type: "string", default: String(availableParallelism()) }, help: { type: "boolean", short: "h", default: false },
} as const;

async function main(): Promise<number> {
  const { values: { seed, peers, out, jobs, help } } = parseArgs({ options: OPTIONS });
  if (help || ![peers, jobs].every((number) => /^[1-9]\d{0,5}$/.test(number))) {
    console.log(USAGE);
    return help ? 0 : 2;
  }
  const started = performance.now();
  const say = (text: string) => console.log(`${((performance.now() - started) / 1000).toFixed(1)} s  ${text}`);
  const options = { seed, peers: Number(peers) };
  const results = await runAll(options, Math.min(Number(jobs), TRACES.length), ({ trace }) => say(trace.name));
  const files = report(results, options);
  mkdirSync(out, { recursive: true });
  for (const [name, text] of files) writeFileSync(join(out, name), text);
  say(`${files.size} files in ${out}`);
  return 0;
}

/** Runs the traces in threads, each taking the next one as it ends the last; the answers are in the order of the traces. */
async function runAll(options: ExperimentOptions, jobs: number, done: (result: TraceResult) => void): Promise<TraceResult[]> {
  const results: (TraceResult | undefined)[] = TRACES.map(() => undefined);
  let next = 0;
  await Promise.all(Array.from({ length: jobs }, () => new Promise<void>((resolve, reject) => {
    const worker = new Worker(new URL("./experiment-worker.ts", import.meta.url));
    const feed = () => {
      if (next < TRACES.length) worker.postMessage({ index: next++, options }, []);
      else void worker.terminate().then(() => resolve());
    };
    worker.on("error", reject);
    worker.on("message", ({ index, figures }: { index: number; figures: Figures[] }) => {
      const trace = TRACES[index];
      if (trace !== undefined) done(results[index] = judge(trace, figures));
      feed();
    });
    feed();
  })));
  return results.filter((result) => result !== undefined);
}

process.exitCode = await main();
