import type { Measured } from "./run-policy.ts";
import type { Scenario } from "./scenarios.ts";

/** An answer later than this is of no use: the timeout of the published comparison. */
const TIMEOUT_NS = 1e9;
/** Of the curve in the drawing. */
export const SHARES = [0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999] as const;

/** The columns of the report. Times in ms, shares 0 … 1. */
export interface Figures {
  readonly requests: number;
  /** Answered within a second. */
  readonly success: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  /** The latency at each of `SHARES`. */
  readonly curve: readonly number[];
  /** Further attempts for each request. */
  readonly extraLoad: number;
  /** What the watched server got, in fair shares: while it happened, and in the first second of that. */
  readonly share: number;
  readonly firstShare: number;
  /** Attempts of a client on the watched server until it set it aside: median and most over the clients of all runs that did, and how many these are. */
  readonly asideP50: number;
  readonly asideMax: number;
  readonly asideClients: number;
  readonly clients: number;
  readonly runs: number;
  readonly wronglyAside: number;
}

export function figuresOf(scenario: Scenario, runs: readonly Measured[]): Figures {
  const sum = (of: (run: Measured) => number) => runs.reduce((total, run) => total + of(run), 0);
  const latencies = new Float64Array(sum(({ latenciesNs }) => latenciesNs.length));
  let at = 0;
  for (const { latenciesNs } of runs) {
    latencies.set(latenciesNs, at);
    at += latenciesNs.length;
  }
  latencies.sort();
  const rank = (share: number) => latencies[Math.max(0, Math.ceil(share * latencies.length) - 1)] ?? NaN;
  const requests = sum((run) => run.requests);
  const asides = runs.flatMap(({ asideAfter }) => asideAfter).filter((after) => after >= 0).sort((a, b) => a - b);
  const fair = (watched: number, during: number) => (watched * scenario.servers) / during;
  return {
    requests, runs: runs.length, clients: sum(({ asideAfter }) => asideAfter.length),
    success: latencies.filter((latency) => latency <= TIMEOUT_NS).length / requests,
    p50: rank(0.5) / 1e6, p99: rank(0.99) / 1e6, p999: rank(0.999) / 1e6,
    curve: SHARES.map((share) => rank(share) / 1e6),
    extraLoad: sum(({ hedges }) => hedges) / requests,
    share: fair(sum(({ watched }) => watched), sum(({ during }) => during)),
    firstShare: fair(sum(({ watchedFirst }) => watchedFirst), sum(({ duringFirst }) => duringFirst)),
    asideP50: asides[(asides.length - 1) >> 1] ?? NaN, asideMax: asides.at(-1) ?? NaN, asideClients: asides.length,
    wronglyAside: sum(({ wronglyAside }) => wronglyAside),
  };
}
