import { writeFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { MUTANTS } from "./mutants/mutants.ts";
import { printMutants } from "./mutants/print-mutants.ts";
import { faultsOf } from "./plan/plan.ts";
import { addReports, type BatchReport, type Failure, runBatch } from "./run/batch.ts";
import { type Case, caseOfSeed, parseCase, runCase } from "./run/case.ts";
import { crashTwice } from "./run/crash-twice.ts";
import { crashAtEverySeam, type RunResult } from "./run/run-seed.ts";
import { Shrinker } from "./run/shrink.ts";
import { drawSpaceTime } from "./story/space-time.ts";
import { Story } from "./story/story.ts";

const USAGE = `usage: npm run sim -- …
  --seeds N [--from S] [--jobs J] [--progress FILE]   seeds S to S + N − 1, each twice; goes on where FILE left off
  --seed S [--mutant NAME] [--lines N] [--shrink]     one seed again: the end of its trace, and what was violated
  --case FILE [--lines N] [--shrink]                  a stored case again
  --everywhere S                                      a small world, with a crash at its first seam, its second, …; and again
                                                      while it recovers
  mutants                                             the runtime with one promise broken each: what notices
Failures, and what --shrink makes of them, are stored in sim-failures/. Exit status: 1 a violation or a mutant that got
away, 2 wrong arguments, 130 stopped.`;

const OPTIONS = {
  seeds: { type: "string" }, from: { type: "string", default: "1" }, jobs: { type: "string" }, progress: { type: "string" },
  seed: { type: "string" }, mutant: { type: "string" }, case: { type: "string" }, lines: { type: "string", default: "60" },
  shrink: { type: "boolean", default: false }, everywhere: { type: "string" }, help: { type: "boolean", short: "h", default: false },
} as const;

const FAILURES = "sim-failures";
/** Stored failures of one batch. */
const STORED_MAX = 10;
const SHRINK_MS_MAX = 60_000;
const SAVE_EVERY_MS = 2000;

class UsageError extends Error {}
const MUTANT_NAMES: ReadonlySet<string> = new Set(MUTANTS.map(({ name }) => name));

/** Exit status. */
async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  const { seeds, seed, everywhere, help } = values;
  const ways = [seeds, seed, values.case, everywhere, help || undefined, positionals[0]].filter((way) => way !== undefined);
  if (ways.length !== 1 || positionals.length > 1 || (positionals.length === 1 && positionals[0] !== "mutants")) throw new UsageError("say one thing to do");
  if (help) {
    console.log(USAGE);
    return 0;
  }
  if (values.mutant !== undefined && !MUTANT_NAMES.has(values.mutant)) throw new UsageError(`there is no mutant ${values.mutant}`);
  if (seeds !== undefined) return runSeeds({ from: whole(values.from), count: whole(seeds), jobs: values.jobs === undefined ? undefined : whole(values.jobs), progress: values.progress });
  if (everywhere !== undefined) return crashEverywhere(whole(everywhere));
  if (positionals.length === 1) return printMutants() ? 0 : 1;
  const given = seed === undefined ? runCase(parseCase(readText(values.case as string))) : caseOfSeed(whole(seed), values.mutant ?? null);
  return replay(given, { lines: whole(values.lines), shrinks: values.shrink, name: seed === undefined ? "case" : `seed-${seed}${values.mutant === undefined ? "" : `-${values.mutant}`}` });
}

function whole(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new UsageError(`not a whole number: ${text}`);
  return Number(text);
}

function describe({ plan, events, virtualNs, hash }: RunResult): string {
  return `${plan.nodes} nodes, ${plan.requests.length} requests, ${events} events in ${(virtualNs / 1e9).toFixed(1)} s; ${faultsOf(plan).join(", ") || "no faults"}; trace ${hash}`;
}

// ── one run ──

function replay(given: { case: Case; run: RunResult }, { lines, shrinks, name }: { lines: number; shrinks: boolean; name: string }): number {
  const { run } = given;
  for (const line of run.end(lines)) console.log(line);
  console.log(`\n${describe(run)}`);
  if (run.violation === undefined) {
    console.log("no promise was broken");
    return 0;
  }
  console.log(`VIOLATION of ${run.violation.rule}: ${run.violation.message}`);
  if (run.violation.cause !== undefined) console.log(run.violation.cause);
  if (shrinks) shrink(given.case, name);
  return 1;
}

function shrink(failing: Case, name: string): void {
  const shrinker = new Shrinker(failing, { budgetMs: SHRINK_MS_MAX, progress: (text) => console.log(`  ${text}`) });
  const smallest = shrinker.shrink();
  const story = new Story();
  const { run } = runCase(smallest, { story });
  console.log(`\nThe smallest case found (${shrinker.runs} runs): ${describe(run)}`);
  for (const { atNs, ...trouble } of smallest.plan.troubles) console.log(`  at ${(atNs / 1e6).toFixed(3)} ms: ${JSON.stringify(trouble)}`);
  for (const [place, turns] of Object.entries(smallest.choices)) console.log(`  ${place}: ${JSON.stringify(turns)}`);
  const violation = `${run.violation?.rule}: ${run.violation?.message}`;
  console.log(`  ${violation}`);
  const stem = store(name, smallest);
  writeFileSync(`${stem}.svg`, drawSpaceTime(story, { nodes: smallest.plan.nodes, title: describe(run), violation }));
  console.log(`stored as ${stem}.json, drawn as ${stem}.svg`);
}

function store(name: string, failing: Case): string {
  mkdirSync(FAILURES, { recursive: true });
  const stem = join(FAILURES, name);
  writeFileSync(`${stem}.json`, `${JSON.stringify(failing, null, 1)}\n`);
  return stem;
}

// ── many runs ──

interface SeedsWanted {
  readonly from: number;
  readonly count: number;
  readonly jobs: number | undefined;
  readonly progress: string | undefined;
}

async function runSeeds({ from, count, jobs, progress }: SeedsWanted): Promise<number> {
  const before = progress !== undefined && existsSync(progress) ? readProgress(progress, from) : undefined;
  const started = performance.now();
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  process.once("SIGTERM", () => stop.abort());
  let savedAt = started;
  let told = 0;
  const whole = (now: BatchReport): BatchReport => (before === undefined ? now : addReports(before, now));
  const save = (now: BatchReport): void => {
    if (progress !== undefined) writeFileSync(progress, JSON.stringify(whole(now)));
  };
  const done = await runBatch({
    from: before?.to ?? from, to: from + count, jobs, signal: stop.signal,
    progress: (now) => {
      for (const failure of now.failures.slice(told)) tell(failure, told++ < STORED_MAX);
      if (performance.now() - savedAt < SAVE_EVERY_MS) return;
      savedAt = performance.now();
      save(now);
      console.error(`· ${now.to - from} of ${count} seeds`);
    },
  });
  save(done);
  const seconds = (performance.now() - started) / 1000;
  const { to, labels, failures } = whole(done);
  const now = done.to - done.from;
  console.log(`${to - from} seeds from ${from}, each twice: ${failures.length === 0 ? "no violation" : `violations in ${failures.map(({ seed }) => seed).join(", ")}`}`);
  console.log(`${now} of them now, in ${seconds.toFixed(1)} s: ${(now / seconds).toFixed(1)} seeds/s, ${Math.round(done.events / seconds)} events/s, ${Math.round(done.virtualNs / 1e9 / seconds)} × real time`);
  console.log(`reached: ${labels.join(", ")}`);
  if (stop.signal.aborted) return 130;
  return failures.length === 0 ? 0 : 1;
}

function readProgress(path: string, from: number): BatchReport {
  const stored = JSON.parse(readText(path)) as BatchReport;
  if (!Number.isSafeInteger(stored.to) || !Array.isArray(stored.failures)) throw new UsageError(`${path} holds no progress of a batch`);
  if (stored.from !== from) throw new UsageError(`${path} holds seeds from ${stored.from} on`);
  return stored;
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function tell({ seed, rule, message, case: failing }: Failure, isStored: boolean): void {
  console.log(`seed ${seed}: ${rule}: ${message}${isStored ? `\n  stored as ${store(`seed-${seed}`, failing)}.json; smaller: npm run sim -- --seed ${seed} --shrink` : ""}`);
}

function crashEverywhere(seed: number): number {
  const { seams, violations } = crashAtEverySeam(seed);
  for (const { seam, violation } of violations) console.log(`seam ${seam}: ${violation.rule}: ${violation.message}`);
  const twice = crashTwice(seed);
  for (const { seam, again, violation } of twice.violations) console.log(`seam ${seam}, and ${again} later: ${violation.rule}: ${violation.message}`);
  const found = violations.length + twice.violations.length;
  console.log(`a crash at each of ${seams} seams, and ${twice.pairs} times again during the recovery: ${found === 0 ? "no violation" : `${found} violations`}`);
  return found === 0 ? 0 : 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const isUsage = error instanceof UsageError || (error instanceof TypeError && "code" in error);
  console.error(isUsage ? `${error.message}\n${USAGE}` : error);
  process.exitCode = isUsage ? 2 : 1;
}
