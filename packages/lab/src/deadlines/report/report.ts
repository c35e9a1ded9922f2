import { table } from "../../report/table.ts";
import type { ExperimentOptions, Results } from "../experiment.ts";
import type { Figures } from "../measure.ts";
import { RULES } from "../rules/rules.ts";
import type { Trace } from "../traces/trace.ts";
import { TRACES } from "../traces/traces.ts";
import { plot } from "./plot.ts";

/** What a rule is asked for: at most so many spurious timeouts, at most so much above the true percentile. */
const GOAL = { spurious: 0.001, ratio: 1.5 } as const;

const INTRODUCTION = `# Deadlines

How long to wait for an answer: Holdfast's budgets beside the published timeouts, over the same requests. Written by \`npm run lab\`; the
same seed gives the same bytes, so nothing here is edited by hand.

A client asks a site every 50 ms on average for ten minutes. Each attempt has a deadline; when it passes, a further attempt is sent, which
may be answered too. Measured: *spurious timeouts*, the share of requests whose deadline passed although the answer was on its way; the
*deadline of a first attempt over the true 99.9th percentile* of that moment, median and 99th percentile over the run; the *wait wasted* on requests
that were truly lost, until the attempt that was answered was sent; and on the trace with steps, the median *time to adapt*: to the first deadline
above the true percentile after a step up, and to one at most twice that after a step down.

**The goal** is at most 0.1 % spurious timeouts with a deadline, in the median, of at most 1.5 × the true 99.9th percentile. A rule that waits
for ever makes no spurious timeout, and one that never waits wastes no time: a row has to be read as a whole.

**What to doubt.** The traces are synthetic, and round trips are independent of load: a real timeout makes load. The rules are re-implemented from
their publications (each file in \`packages/lab/src/deadlines/rules\` names its own). TCP's timers guard a window and not each request, and 1 s and
200 ms are floors against its delayed acknowledgements, which these peers do not have. js-libp2p's is made for opening streams. The
deadlines of ours lie above its floor of 20 ms on every trace.
`;

/** The report: file names and contents. */
export function report(results: readonly Results[], options: ExperimentOptions): Map<string, string> {
  const files = new Map([["README.md", overview(results, options)]]);
  TRACES.forEach((trace, place) => {
    const found = results[place];
    if (found === undefined) return;
    files.set(`${trace.name}.md`, tracePage(trace, found));
    files.set(`${trace.name}.svg`, plot(trace, found));
  });
  return files;
}

function overview(results: readonly Results[], { seed, clients }: ExperimentOptions): string {
  const rows = RULES.map(({ name, isOurs }, place) => [
    isOurs === true ? `**${name}**` : name,
    ...results.map(({ figures }) => cell(figures[place] as Figures)),
  ]);
  return [
    INTRODUCTION,
    `Seed \`${seed}\`, ${clients} clients a trace; 12 000 requests each where the trace says nothing else.\n`,
    "## At a glance\n",
    "Spurious timeouts / deadline over the true 99.9th percentile, median; ● = meets the goal.\n",
    table(["rule", ...results.map((_, place) => `[${TRACES[place]?.title}](${TRACES[place]?.name}.md)`)], rows),
    "## Where ours loses\n",
    losses(results),
    "## The rules\n",
    table(["rule", "settings"], RULES.map(({ name, settings }) => [name, settings])),
  ].join("\n");
}

function tracePage(trace: Trace, { figures }: Results): string {
  const hasSteps = figures.some(({ adaptedUp }) => !Number.isNaN(adaptedUp));
  const header = ["rule", "spurious timeouts", "deadline ÷ true p99.9, p50", "p99", "wasted on lost ones p50, ms", "p99, ms",
    ...(hasSteps ? ["adapts to longer ones in, ms", "to shorter ones in, ms"] : []), "goal"];
  const rows = RULES.map(({ name, isOurs }, place) => {
    const found = figures[place] as Figures;
    return [
      isOurs === true ? `**${name}**` : name, percent(found.spurious), found.ratioP50.toFixed(2), found.ratioP99.toFixed(2),
      time(found.wastedP50), time(found.wastedP99), ...(hasSteps ? [time(found.adaptedUp), time(found.adaptedDown)] : []),
      meets(found) ? "met" : "missed",
    ];
  });
  return [
    `# ${trace.title}\n`, `${trace.says}\n`, `${figures[0]?.requests ?? 0} requests.\n`, table(header, rows),
    `![${trace.title}](${trace.name}.svg)\n`, "[All traces](README.md)\n",
  ].join("\n");
}

/** In what ours misses the goal, and what others do better, of those that keep to it in spurious timeouts or do better there. */
function losses(results: readonly Results[]): string {
  const ours = RULES.findIndex(({ isOurs }) => isOurs === true);
  const lines = results.flatMap(({ figures }, place) => {
    const own = figures[ours] as Figures;
    const said: string[] = [];
    if (own.spurious > GOAL.spurious) said.push(`${percent(own.spurious)} spurious timeouts`);
    if (own.ratioP50 > GOAL.ratio) said.push(`a median deadline of ${own.ratioP50.toFixed(2)} × the true percentile`);
    if (own.ratioP99 > GOAL.ratio) said.push(`one request in a hundred has a deadline above ${own.ratioP99.toFixed(2)} × it`);
    RULES.forEach(({ name }, other) => {
      const found = figures[other] as Figures;
      if (other === ours || found.spurious > Math.max(GOAL.spurious, own.spurious)) return;
      if (found.spurious <= own.spurious && found.ratioP50 <= own.ratioP50) said.push(`*${name}* has fewer spurious timeouts at a shorter median deadline`);
      else if (found.ratioP50 < own.ratioP50) said.push(`*${name}* has a shorter median deadline within the goal`);
      if (found.ratioP99 < own.ratioP99) said.push(`*${name}* is steadier (p99 ${found.ratioP99.toFixed(2)})`);
      if (found.wastedP99 < own.wastedP99) said.push(`*${name}* wastes less on lost requests at the p99 (${time(found.wastedP99)} ms against ${time(own.wastedP99)})`);
      if (found.adaptedDown < own.adaptedDown) said.push(`*${name}* is sooner down after a step`);
    });
    return said.length === 0 ? [] : [`- ${TRACES[place]?.title}: ${said.join("; ")}.`];
  });
  return lines.length === 0 ? "On no trace.\n" : `${lines.join("\n")}\n`;
}

function meets({ spurious, ratioP50 }: Figures): boolean {
  return spurious <= GOAL.spurious && ratioP50 <= GOAL.ratio;
}

function cell(figures: Figures): string {
  return `${percent(figures.spurious)} / ${figures.ratioP50.toFixed(2)}${meets(figures) ? " ●" : ""}`;
}

function percent(share: number): string {
  return share === 0 ? "0" : `${(100 * share).toPrecision(2)} %`;
}

function time(ms: number): string {
  if (ms === Infinity) return "never";
  return Number.isNaN(ms) ? "–" : ms.toFixed(0);
}
