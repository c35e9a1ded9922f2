import { type Figures, figuresOf, measure, type Measured, total } from "./measure.ts";
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
  const runs = rulesFor(trace).map((rule) => ({ rule, measured: [] as Measured[] }));
  for (let index = 0; index < peers; index++) {
    const peer = trace.peer(seed, index);
    for (const { rule, measured } of runs) {
      measured.push(measure(peer, rule.begin(peer), { drainsFirst: rule.drainsFirst ?? false }));
    }
  }
  return runs.map(({ measured }) => figuresOf(total(measured)));
}
