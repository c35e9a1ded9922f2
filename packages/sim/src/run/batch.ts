import { once } from "node:events";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { Case } from "./case.ts";

/** What came of some seeds; also how far a long batch has got, as it is stored. */
export interface BatchReport {
  /** The first seed, and the one after the last. */
  readonly from: number;
  readonly to: number;
  readonly events: number;
  readonly virtualNs: number;
  readonly labels: readonly string[];
  readonly failures: readonly Failure[];
}

export interface Failure {
  readonly seed: number;
  readonly rule: string;
  readonly message: string;
  readonly case: Case;
}

/** Seeds that a worker runs before it reports. */
const SLICE = 4;

/** What a worker is asked. */
export interface Slice {
  readonly from: number;
  readonly to: number;
  readonly twiceEvery: number;
}

export interface BatchOptions {
  readonly from: number;
  readonly to: number;
  /** One seed in so many runs twice; every one, unless told. */
  readonly twiceEvery?: number;
  /** Threads. */
  readonly jobs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told whenever more seeds in a row from the first one are done. */
  readonly progress?: (report: BatchReport) => void;
}

/**
 * Runs seeds on all cores. Ends early when `signal` says so, with what is done in a row by then.
 *
 * Rejects if a worker dies.
 */
export async function runBatch({ from, to, twiceEvery = 1, jobs = availableParallelism(), signal, progress = () => {} }: BatchOptions): Promise<BatchReport> {
  let report: BatchReport = { from, to: from, events: 0, virtualNs: 0, labels: [], failures: [] };
  const early = new Map<number, BatchReport>();
  let next = from;
  const take = (done: BatchReport): void => {
    early.set(done.from, done);
    for (let slice; (slice = early.get(report.to)) !== undefined; ) {
      early.delete(slice.from);
      report = addReports(report, slice);
    }
    progress(report);
  };
  const work = async (): Promise<void> => {
    const worker = new Worker(new URL("batch-worker.ts", import.meta.url));
    try {
      while (next < to && signal?.aborted !== true) {
        const slice = { from: next, to: Math.min(next + SLICE, to), twiceEvery };
        next = slice.to;
        take(await ask(worker, slice, signal));
      }
    } catch (error) {
      if (signal?.aborted !== true) throw error;
    } finally {
      await worker.terminate();
    }
  };
  await Promise.all(Array.from({ length: Math.min(jobs, Math.ceil((to - from) / SLICE)) }, work));
  return report;
}

export function addReports(one: BatchReport, next: BatchReport): BatchReport {
  return {
    from: one.from, to: next.to, events: one.events + next.events, virtualNs: one.virtualNs + next.virtualNs,
    labels: [...new Set([...one.labels, ...next.labels])].sort(), failures: [...one.failures, ...next.failures],
  };
}

/** Rejects when the worker dies, or `signal` says stop. */
async function ask(worker: Worker, slice: Slice, signal: AbortSignal | undefined): Promise<BatchReport> {
  const done = new AbortController();
  const until = signal === undefined ? done.signal : AbortSignal.any([signal, done.signal]);
  const died = async (): Promise<never> => {
    const [code] = (await once(worker, "exit", { signal: until })) as [number];
    throw new Error(`a worker ended with ${code}`);
  };
  worker.postMessage(slice, []);
  try {
    const [report] = (await Promise.race([once(worker, "message", { signal: until }), died()])) as [BatchReport];
    return report;
  } finally {
    done.abort();
  }
}
