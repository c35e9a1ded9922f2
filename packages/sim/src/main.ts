/**
 * `npm run sim -- --seeds N [--from S]` runs seeds, each twice; `npm run sim -- --seed S [--lines N]` replays one and prints
 * the end of its trace; `npm run sim -- --everywhere SEED` crashes once at every seam of a small world; `npm run sim -- mutants`
 * proves that the checkers notice. Exit status 1 for a violation or a mutant that got away, 2 for wrong arguments.
 */
import { parseArgs } from "node:util";
import { faultsOf } from "./plan/plan.ts";
import { catchMutant, MUTANT_SEEDS, MUTANTS } from "./mutants/mutants.ts";
import { crashAtEverySeam, type RunResult, runSeed, runSeedTwice } from "./run/run-seed.ts";

const USAGE = "usage: npm run sim -- --seeds N [--from S] | --seed S [--lines N] | --everywhere SEED | mutants";
const LINES = 60;

function describe({ plan, events, virtualNs, hash }: RunResult): string {
  const faults = faultsOf(plan);
  return `${plan.nodes} nodes, ${plan.requests.length} requests, ${events} events in ${(virtualNs / 1e9).toFixed(1)} s; ${faults.join(", ") || "no faults"}; trace ${hash}`;
}

function replay(seed: number, lines: number): boolean {
  const run = runSeed(seed);
  for (const line of run.end(lines)) console.log(line);
  console.log(`\nseed ${seed}: ${describe(run)}`);
  if (run.violation === undefined) console.log("no promise was broken");
  else console.log(`VIOLATION of ${run.violation.rule}: ${run.violation.message}`);
  if (run.violation?.cause !== undefined) console.log(run.violation.cause);
  return run.violation === undefined;
}

function runSeeds(from: number, count: number): boolean {
  const started = performance.now();
  const labels = new Set<string>();
  const failed: number[] = [];
  let events = 0;
  let virtualNs = 0;
  for (let seed = from; seed < from + count; seed++) {
    const run = runSeedTwice(seed);
    events += 2 * run.events;
    virtualNs += 2 * run.virtualNs;
    for (const label of run.labels) labels.add(label);
    if (run.violation === undefined) continue;
    failed.push(seed);
    console.log(`seed ${seed}: ${run.violation.rule}: ${run.violation.message}\n  ${describe(run)}`);
  }
  const seconds = (performance.now() - started) / 1000;
  console.log(`${count} seeds from ${from}, each twice: ${failed.length === 0 ? "no violation" : `violations in ${failed.join(", ")}`}`);
  console.log(`${seconds.toFixed(1)} s, ${(count / seconds).toFixed(1)} seeds/s, ${Math.round(events / seconds)} events/s, ${Math.round(virtualNs / 1e9 / seconds)} × real time`);
  console.log(`reached: ${[...labels].sort().join(", ")}`);
  return failed.length === 0;
}

function crashEverywhere(seed: number): boolean {
  const { seams, violations } = crashAtEverySeam(seed);
  for (const { seam, violation } of violations) console.log(`seam ${seam}: ${violation.rule}: ${violation.message}`);
  console.log(`${seams} seams, a crash at each: ${violations.length === 0 ? "no violation" : `${violations.length} violations`}`);
  return violations.length === 0;
}

function runMutants(): boolean {
  let away = 0;
  for (const mutant of MUTANTS) {
    const caught = catchMutant(mutant);
    if (caught === undefined) away++;
    // What the gate's own checker sees at once must also show in the end.
    const blind = caught?.run.violation?.rule === "commit-before-release" ? catchMutant(mutant, { gateUnwatched: true }) : undefined;
    const seen = blind === undefined ? "" : `; by its effects: seed ${blind.seed}, ${blind.run.violation?.rule}`;
    const by = caught === undefined ? `NOT CAUGHT in ${MUTANT_SEEDS} seeds` : `seed ${String(caught.seed).padStart(3)}  ${caught.run.violation?.rule}`;
    console.log(`${mutant.name.padEnd(26)} ${`${by}${seen}`.padEnd(84)} ${mutant.does}`);
  }
  console.log(`${MUTANTS.length - away} of ${MUTANTS.length} mutants caught`);
  return away === 0;
}

function run(): boolean | undefined {
  const options = { seeds: { type: "string" }, from: { type: "string" }, seed: { type: "string" }, lines: { type: "string" }, everywhere: { type: "string" } } as const;
  try {
    const { values, positionals } = parseArgs({ options, allowPositionals: true });
    const whole = (text: string | undefined, otherwise: number): number => (text === undefined ? otherwise : /^\d{1,15}$/.test(text) ? Number(text) : NaN);
    const [seeds, from, seed, lines] = [whole(values.seeds, 0), whole(values.from, 1), whole(values.seed, 0), whole(values.lines, LINES)];
    if ([seeds, from, seed, lines].some(Number.isNaN)) return undefined;
    if (positionals[0] === "mutants" && positionals.length === 1) return runMutants();
    if (positionals.length > 0) return undefined;
    if (values.everywhere !== undefined) return Number.isNaN(whole(values.everywhere, 0)) ? undefined : crashEverywhere(whole(values.everywhere, 0));
    if (values.seed !== undefined) return replay(seed, lines);
    return values.seeds === undefined ? undefined : runSeeds(from, seeds);
  } catch {
    return undefined;
  }
}

const held = run();
if (held === undefined) console.error(USAGE);
process.exitCode = held === undefined ? 2 : held ? 0 : 1;
