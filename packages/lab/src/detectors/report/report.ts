import type { Kept } from "../calibration.ts";
import { rulesFor } from "../experiment.ts";
import type { Figures } from "../measure.ts";
import type { Footprint } from "../memory.ts";
import type { RuleEntry } from "../rules/rule.ts";
import type { Trace } from "../traces/trace.ts";
import { overview, tracePage } from "./pages.ts";
import { type Verdict, verdicts } from "./pareto.ts";
import { scatter } from "./scatter.ts";

/** One rule's row in the table of one trace. */
export interface Row {
  readonly rule: RuleEntry;
  readonly figures: Figures;
  /** Of detection time and the rate of mistakes. */
  readonly verdict: Verdict;
  /** Of detection time and the share of the life that is mistaken. */
  readonly byShare: Verdict;
  /** Over all seeds, and all that was run of ours. */
  readonly all: { readonly mistakes: number; readonly peerDays: number };
  /** On how many of the other seeds it is on the two fronts. */
  readonly seeds: { readonly verdict: number; readonly byShare: number; readonly of: number };
}

export interface TraceResult {
  readonly trace: Trace;
  readonly rows: readonly Row[];
}

export interface ReportOptions {
  readonly seed: string;
  readonly effort: number;
  readonly kept: readonly { readonly trace: Trace; readonly kept: readonly Kept[] }[];
  readonly footprints: readonly Footprint[];
}

export interface MoreFigures {
  readonly otherSeeds: readonly (readonly Figures[])[];
  readonly moreOfOurs: readonly Figures[];
}

/** Judges one trace's figures, which are in the order of `rulesFor`. */
export function judge(trace: Trace, figures: readonly Figures[], { otherSeeds, moreOfOurs }: MoreFigures): TraceResult {
  const rules = rulesFor(trace);
  const ours = rules.filter(({ isOurs }) => isOurs === true);
  const found = judged(rules, figures);
  const others = otherSeeds.map((seed) => judged(rules, seed));
  return {
    trace,
    rows: rules.map((rule, place) => {
      const more = rule.isOurs === true ? moreOfOurs[ours.indexOf(rule)] : undefined;
      const runs = [figures[place], ...otherSeeds.map((seed) => seed[place]), more].filter((one) => one !== undefined);
      const onFront = (axis: keyof Judged) => others.filter((seed) => seed[axis].get(rule.name)?.kind === "front").length;
      return {
        rule, figures: figures[place] as Figures,
        verdict: found.verdict.get(rule.name) ?? { kind: "control" },
        byShare: found.byShare.get(rule.name) ?? { kind: "control" },
        all: { mistakes: runs.reduce((sum, { mistakes }) => sum + mistakes, 0), peerDays: runs.reduce((sum, { peerDays }) => sum + peerDays, 0) },
        seeds: { verdict: onFront("verdict"), byShare: onFront("byShare"), of: others.length },
      };
    }),
  };
}

interface Judged {
  readonly verdict: Map<string, Verdict>;
  readonly byShare: Map<string, Verdict>;
}

function judged(rules: readonly RuleEntry[], figures: readonly Figures[]): Judged {
  const rows = rules.map((rule, place) => ({ rule, figures: figures[place] as Figures })).filter(({ rule }) => rule.isControl !== true);
  const by = (cost: (figures: Figures) => number) =>
    verdicts(rows.map(({ rule: { name, isOurs }, figures }) => ({ name, isOurs, detectionP99: figures.detectionP99, cost: cost(figures) })));
  return { verdict: by(({ mistakesPerDay }) => mistakesPerDay), byShare: by(({ queryAccuracy }) => 1 - queryAccuracy) };
}

/** The report: file names and contents. */
export function report(results: readonly TraceResult[], options: ReportOptions): Map<string, string> {
  const files = new Map([["README.md", overview(results, options)]]);
  for (const result of results) {
    files.set(`${result.trace.name}.md`, tracePage(result));
    files.set(`${result.trace.name}.svg`, scatter(result));
  }
  return files;
}
