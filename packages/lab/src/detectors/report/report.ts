import { type ExperimentOptions, rulesFor } from "../experiment.ts";
import type { Figures } from "../measure.ts";
import type { RuleEntry } from "../rules/rule.ts";
import type { Trace } from "../traces/trace.ts";
import { overview, tracePage } from "./pages.ts";
import { type Verdict, verdicts } from "./pareto.ts";
import { scatter } from "./scatter.ts";

/** One rule's row in the table of one trace. */
export interface Row {
  readonly rule: RuleEntry;
  readonly figures: Figures;
  readonly verdict: Verdict;
}

export interface TraceResult {
  readonly trace: Trace;
  readonly rows: readonly Row[];
}

/** Judges one trace's figures, which are in the order of `rulesFor`. */
export function judge(trace: Trace, figures: readonly Figures[]): TraceResult {
  const rows = rulesFor(trace).map((rule, place) => ({ rule, figures: figures[place] as Figures }));
  const judged = rows.filter(({ rule }) => rule.isControl !== true);
  const found = verdicts(judged.map(({ rule: { name, isOurs }, figures: { detectionP99, mistakesPerDay } }) => ({ name, isOurs, detectionP99, mistakesPerDay })));
  return { trace, rows: rows.map((row) => ({ ...row, verdict: found.get(row.rule.name) ?? { kind: "control" } })) };
}

/** The report: file names and contents. */
export function report(results: readonly TraceResult[], options: ExperimentOptions): Map<string, string> {
  const files = new Map([["README.md", overview(results, options)]]);
  for (const result of results) {
    files.set(`${result.trace.name}.md`, tracePage(result));
    files.set(`${result.trace.name}.svg`, scatter(result));
  }
  return files;
}
