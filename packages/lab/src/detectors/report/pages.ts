import type { ExperimentOptions } from "../experiment.ts";
import { RULES } from "../rules/rules.ts";
import { rate, seconds, share } from "../../report/numbers.ts";
import { table } from "../../report/table.ts";
import type { Verdict } from "./pareto.ts";
import type { Row, TraceResult } from "./report.ts";

const INTRODUCTION = `# Failure detectors

Holdfast's failure detector beside the published ones, over the same beats. Written by \`npm run lab\`; the same seed gives the
same bytes, so nothing here is edited by hand.

Every peer beats once a second and dies once. Measured, after Chen, Toueg and Aguilera (2002): the *detection time* from the
death to the suspicion that lasts; *false suspicions* per peer-day, those that begin while the peer is alive; how long one lasts on
average; and the *query accuracy*, the share of the peer's life in which it is not suspected.

**How to read a verdict.** A rule is on the front if no other detects at least as fast (p99) with at most as many false suspicions, and is
better in one of the two. Rates below a few hundredths per peer-day rest on a handful of events. A front says nothing of what a mistake
costs: a detector that is twice as fast and wrong every minute stands on it.

**What to doubt.** The traces are synthetic. The rules are re-implemented from their publications, with the settings below, and
fire at the instant they reach their threshold; systems that check once a second are half a second slower. After a pause of its own a
published rule's check runs before what lies in its socket is read, as timers do; ours reads first. SWIM is a model on beats (see
\`packages/lab/src/detectors/rules/swim.ts\`), flattered by a lossless way out; it does not apply where the peer sets the pace. Over TCP a lost
packet is a late one: the traces with loss speak of datagrams.
`;

/** The page of all traces. */
export function overview(results: readonly TraceResult[], { seed, peers }: ExperimentOptions): string {
  const summary = RULES.filter(({ isControl }) => isControl !== true).map((rule) => [
    rule.isOurs === true ? `**${rule.name}**` : rule.name,
    ...results.map(({ rows }) => cell(rows.find((row) => row.rule === rule))),
  ]);
  return [
    INTRODUCTION,
    `Seed \`${seed}\`, ${peers} peers a trace, a quarter of a day each on average.\n`,
    "## At a glance\n",
    "Detection p99 in s / false suspicions per peer-day; ● = on the front.\n",
    table(["rule", ...results.map(({ trace }) => `[${trace.title}](${trace.name}.md)`)], summary),
    "## Where ours loses\n",
    losses(results),
    "## The rules\n",
    table(["rule", "settings"], RULES.map(({ name, settings }) => [name, settings])),
  ].join("\n");
}

/** The page of one trace. */
export function tracePage({ trace, rows }: TraceResult): string {
  const header = ["rule", "detection p50, s", "p99", "max", "false suspicions per peer-day", "mean mistake, s", "query accuracy", "peer-days", "verdict"];
  const cells = rows.map(({ rule, figures, verdict }) => [
    rule.isOurs === true ? `**${rule.name}**` : rule.name,
    seconds(figures.detectionP50), seconds(figures.detectionP99), seconds(figures.detectionMax),
    rate(figures.mistakesPerDay), seconds(figures.meanMistake), share(figures.queryAccuracy), figures.peerDays.toFixed(0), words(verdict),
  ]);
  return [`# (${trace.name[0]}) ${trace.title}\n`, `${trace.says}\n`, table(header, cells), `![${trace.title}](${trace.name}.svg)\n`, "[All traces](README.md)\n"].join("\n");
}

function losses(results: readonly TraceResult[]): string {
  const lines = results.flatMap(({ trace, rows }) => rows.filter(({ rule }) => rule.isOurs === true).flatMap((row) => {
    const { verdict, figures } = row;
    if (verdict.kind !== "dominated") return [];
    const better = rows.find(({ rule }) => rule.name === verdict.by) as Row;
    return [
      `- (${trace.name[0]}) ${trace.title}: *${row.rule.name}* (${seconds(figures.detectionP99)} s, ${rate(figures.mistakesPerDay)}/day) is dominated by ` +
      `*${verdict.by}* (${seconds(better.figures.detectionP99)} s, ${rate(better.figures.mistakesPerDay)}/day).`,
    ];
  }));
  return lines.length === 0 ? "On no trace.\n" : `${lines.join("\n")}\n`;
}

function cell(row: Row | undefined): string {
  if (row === undefined) return "n/a";
  return `${seconds(row.figures.detectionP99)} / ${rate(row.figures.mistakesPerDay)}${row.verdict.kind === "front" ? " ●" : ""}`;
}

function words(verdict: Verdict): string {
  if (verdict.kind === "control") return "a control, not judged";
  return verdict.kind === "front" ? "on the front" : `dominated by ${verdict.by}`;
}
