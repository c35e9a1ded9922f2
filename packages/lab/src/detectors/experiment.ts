import { type Figures, figuresOf, measureAll, Sum } from "./measure.ts";
import type { RuleEntry } from "./rules/rule.ts";
import { RULES } from "./rules/rules.ts";
import type { Trace } from "./traces/trace.ts";

export interface ExperimentOptions {
  readonly seed: string;
  readonly peers: number;
  /** The number of the first peer; default 0. */
  readonly first?: number;
  /** Default: those that suit the trace. */
  readonly rules?: readonly RuleEntry[];
}

/** The rules that can be run on the trace, in the order of the report. */
export function rulesFor(trace: Trace): RuleEntry[] {
  return RULES.filter(({ suits }) => suits?.(trace) ?? true);
}

/** Runs every rule over one trace, each over the very same beats: their figures, in the order of the rules. */
export function experiment(trace: Trace, { seed, peers, first = 0, rules = rulesFor(trace) }: ExperimentOptions): Figures[] {
  const runs = [...Map.groupBy(rules, ({ begin }) => begin)];
  const sums = new Map(rules.map((rule) => [rule, new Sum()]));
  for (let index = first; index < first + peers; index++) {
    const peer = trace.peer(seed, index);
    for (const [begin, entries] of runs) {
      const order = { drainsFirst: entries[0]?.drainsFirst ?? false, begin: () => begin(peer), verdicts: entries.map(({ verdict }) => verdict) };
      measureAll(peer, begin(peer), order).forEach((measured, place) => sums.get(entries[place] as RuleEntry)?.add(measured));
    }
  }
  return rules.map((rule) => figuresOf((sums.get(rule) as Sum).measured));
}
