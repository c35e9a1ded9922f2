import { type Figures, figuresOf, measure } from "./measure.ts";
import { RULES } from "./rules/rules.ts";
import type { Trace } from "./traces/trace.ts";
import { clientsOf } from "./traces/traces.ts";

export interface ExperimentOptions {
  readonly seed: string;
  /** Clients of each trace, each with ten minutes of requests. */
  readonly clients: number;
}

/** One trace's results, in the order of `RULES`. */
export interface Results {
  readonly figures: readonly Figures[];
  /** Deadlines of the first client's requests: when and how long, in ns. */
  readonly curves: readonly (readonly (readonly [number, number])[])[];
  /** What these requests took, and the true percentile, in ns. */
  readonly trips: readonly (readonly [number, number, number])[];
}

/** So many round trips are drawn. */
const POINTS = 1500;

/** Runs every rule over one trace, each over the very same requests. */
export function experiment(trace: Trace, { seed, clients }: ExperimentOptions): Results {
  const requests = Array.from({ length: clients * clientsOf(trace) }, (_, index) => trace.client(seed, index));
  const runs = RULES.map(({ begin }) => requests.map((client, index) => measure(client, begin, { curve: index === 0 })));
  const [first] = requests;
  const trips: [number, number, number][] = [];
  if (first !== undefined) {
    const every = Math.max(1, Math.floor(first.count / POINTS));
    for (let index = first.from; index < first.from + first.count; index += every) {
      trips.push([first.sentAt[index] as number, first.tripNs[index] as number, first.p999Ns[index] as number]);
    }
  }
  return { figures: runs.map(figuresOf), curves: runs.map(([run]) => run?.curve ?? []), trips };
}
