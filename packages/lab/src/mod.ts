/** The laboratory: traces, rules, and what the rules make of the traces. */
export { experiment, type ExperimentOptions, rulesFor } from "./experiment.ts";
export { measure, type Figures, type Measured } from "./measure.ts";
export { judge, report, type Row, type TraceResult } from "./report/report.ts";
export { RULES } from "./rules/rules.ts";
export type { Rule, RuleEntry } from "./rules/rule.ts";
export { TRACES } from "./traces/traces.ts";
export type { PeerTrace, Trace } from "./traces/trace.ts";
