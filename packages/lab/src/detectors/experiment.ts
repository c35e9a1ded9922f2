import { type Figures, figuresOf, measureAll, Sum } from "./measure.ts";
import type { RuleEntry } from "./rules/rule.ts";
import { RULES } from "./rules/rules.ts";
import type { Trace } from "./traces/trace.ts";

export interface ExperimentOptions {
  readonly seed: string;
  /** Peers of each trace; each lives a quarter of a day on average. */
  readonly peers: number;
}

/** The rules that can be run on the trace, in the order of the report. */
export function rulesFor(trace: Trace): RuleEntry[] {
  return RULES.filter(({ suits }) => suits?.(trace) ?? true);
}

/** Runs every rule over one trace, each over the very same beats: their figures, in the order of `rulesFor`. */
export function experiment(trace: Trace, { seed, peers }: ExperimentOptions): Figures[] {
  const rules = rulesFor(trace);
  const runs = [...Map.groupBy(rules, ({ begin }) => begin)];
  const sums = new Map(rules.map((rule) => [rule, new Sum()]));
  for (let index = 0; index < peers; index++) {
    const peer = trace.peer(seed, index);
    for (const [begin, entries] of runs) {
      const order = { drainsFirst: entries[0]?.drainsFirst ?? false, begin: () => begin(peer), verdicts: entries.map(({ verdict }) => verdict) };
      measureAll(peer, begin(peer), order).forEach((measured, place) => sums.get(entries[place] as RuleEntry)?.add(measured));
    }
  }
  return rules.map((rule) => figuresOf((sums.get(rule) as Sum).measured));
}
