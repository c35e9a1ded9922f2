import { COLD_NS } from "../calibration.ts";
import { RULES } from "../rules/rules.ts";
import { table } from "../../report/table.ts";
import { rate, seconds, share } from "../../report/numbers.ts";
import type { Verdict } from "./pareto.ts";
import type { ReportOptions, Row, TraceResult } from "./report.ts";

const INTRODUCTION = `# Failure detectors

Holdfast's failure detector beside the published ones, over the same beats. Written by \`npm run lab\`; the same seed gives the
same bytes (but for the table of memory, which is measured), so nothing here is edited by hand.

Every peer beats once a second and dies once. Measured, after Chen, Toueg and Aguilera (2002): the *detection time* from the
death to the suspicion that lasts; *false suspicions* per peer-day, those that begin while the peer is alive; how long one lasts on
average; and the *query accuracy*, the share of the peer's life in which it is not suspected.

**How to read a verdict.** A rule is on the front if no other detects at least as fast (p99) with at most as many false suspicions, and is
better in one of the two. A rule may suspect rarely, but for long: so there is a second front, of detection time and query accuracy.
A front says nothing of what a mistake costs: a detector that is twice as fast and wrong every minute stands on it. "< x" stands where no
false suspicion was seen: the upper bound at 95 %, 3 / peer-days, over all that was run of the rule with any seed; the verdicts go by the
first seed alone, where all rules meet on the same beats. Ours has two verdicts, and the goals that are its defaults: *suspect*
is announced and no more (within 5.5 s, one mistake a day), *down* acts (within 30 s, one mistake in thirty days; the bound on time goes
first). Neither is held against the other.

**What ours has that others have not.** Its beats carry when they were sent, so a queue of late ones keeps nobody up. A peer that is
late is asked, four times a period until it answers. One beat in ten is that late, so this costs up to one question in ten beats, of a peer that is
well; both ways of a question are as lossy as the trace. It hears of its other peers, and holds its verdicts back while all are silent. It
stores what it learned.

**What to doubt.** The traces are synthetic. The rules are re-implemented from their publications, with the settings below, and
fire at the instant they reach their threshold; systems that check once a second are half a second slower. After a pause of its own a
published rule's check runs before what lies in its socket is read, as timers do; ours reads first. SWIM is a model on beats (see
\`packages/lab/src/detectors/rules/swim.ts\`), flattered by a lossless way out; it does not apply where the peer sets the pace. Over TCP a lost
packet is a late one: the traces with loss speak of datagrams.
`;

const SEED_WORDS = `The fronts over five other seeds, a quarter of the peers each: on how many of them each verdict of ours is on the front of detection time and
false suspicions, and on that of detection time and query accuracy. Rules tuned to one seed would show here. A front rests on equal zeros where nobody
errs, and on a 99th percentile, so near equals may change places.
`;

const GOALS_WORDS = `The same detector with goals whose bound on time does not bind: mistakes measured / promised, with the ratio. More than 3 is a promise
not kept (**bold**); much less than 1 is a detector slower than it need be. A promise of fewer than 3 mistakes is no test, unless many
more were made. *Mute*: the peer answers no questions, so the learned tail alone is judged. *Asks*: as in the product. The *cold start* is the first ${COLD_NS / 3600e9} h of each peer.

With jitter and independent losses the goals are kept, with room: losses make silences of whole periods, so a threshold between two steps
promises less than it keeps, up to a step's factor (20 at 5 % loss). In bursts a day's goal is missed by a little, that of thirty days by far. The steady excess is that of
an estimate from few samples: 16384 beats hold some eight bursts, and the exponential tail is drawn through their mean as if it were known. The
predictive distribution of an exponential from k samples, (1 + x / S)^-k with S their sum, keeps a day's goal within a factor of two,
and takes two to five times as long for *down* where beats are lost independently; so it is not what runs. The cold start's excess is each peer's first burst, unlike all that
was seen before; only a prior of long silences would spare it, at the same price. Where a goal cannot be kept, \`withinNs\` bounds the
detection all the same.
`;

/** The page of all traces. */
export function overview(results: readonly TraceResult[], options: ReportOptions): string {
  const rules = RULES.filter(({ isControl }) => isControl !== true);
  const head = ["rule", ...results.map(({ trace }) => `[${trace.title}](${trace.name}.md)`)];
  const rows = (cell: (row: Row) => string) => rules.map((rule) => [name(rule), ...results.map(({ rows }) => {
    const row = rows.find((row) => row.rule === rule);
    return row === undefined ? "n/a" : cell(row);
  })]);
  return [
    INTRODUCTION,
    `Seed \`${options.seed}\`, effort ${options.effort}. At an effort of 1 a trace has 200 peers, a quarter of a day each on average, that of young peers 100 000.\n`,
    "## At a glance\n",
    "Detection p99 in s / false suspicions per peer-day; ● = on the front.\n",
    table(head, rows((row) => `${seconds(row.figures.detectionP99)} / ${mistakes(row)}${mark(row.verdict)}`)),
    "Mean mistake in s / query accuracy; ● = on the front of detection time and query accuracy.\n",
    table(head, rows((row) => `${seconds(row.figures.meanMistake)} / ${share(row.figures.queryAccuracy)}${mark(row.byShare)}`)),
    "## Where ours loses\n",
    "By false suspicions:\n",
    losses(results, "verdict"),
    "By query accuracy:\n",
    losses(results, "byShare"),
    "And what no front shows: a question for up to one beat in ten, and memory (below).\n",
    "## Other seeds\n",
    SEED_WORDS,
    seedTable(results),
    "## Promised and kept\n",
    GOALS_WORDS,
    goalTable(options),
    "## Memory\n",
    "Bytes a peer, from the heap with 10 000 peers of 20 beats each, to two digits. Ours watches them all with one watch, as a node does.\n",
    table(["rule", "bytes a peer"], options.footprints.map(({ rule, bytes }) => [rule === "ours" ? "**ours**" : rule, String(bytes)])),
    "## The rules\n",
    table(["rule", "settings"], RULES.map(({ name, settings }) => [name, settings])),
  ].join("\n");
}

/** The page of one trace. */
export function tracePage({ trace, rows }: TraceResult): string {
  const header = [
    "rule", "detection p50, s", "p99", "max", "false suspicions per peer-day", "mean mistake, s", "query accuracy", "peer-days", "over all seeds", "verdict", "by query accuracy",
  ];
  const cells = rows.map((row) => [
    name(row.rule),
    seconds(row.figures.detectionP50), seconds(row.figures.detectionP99), seconds(row.figures.detectionMax),
    rate(row.figures.mistakesPerDay), seconds(row.figures.meanMistake), share(row.figures.queryAccuracy), row.figures.peerDays.toFixed(0),
    `${row.all.mistakes} in ${row.all.peerDays.toFixed(0)}: ${bounded(row)}`, words(row.verdict), words(row.byShare),
  ]);
  return [`# (${trace.name[0]}) ${trace.title}\n`, `${trace.says}\n`, table(header, cells), `![${trace.title}](${trace.name}.svg)\n`, "[All traces](README.md)\n"].join("\n");
}

function losses(results: readonly TraceResult[], axis: "verdict" | "byShare"): string {
  const says = ({ figures }: Row) => `${seconds(figures.detectionP99)} s, ${axis === "verdict" ? `${rate(figures.mistakesPerDay)}/day` : share(figures.queryAccuracy)}`;
  const lines = results.flatMap(({ trace, rows }) => rows.filter(({ rule }) => rule.isOurs === true).flatMap((row) => {
    const verdict = row[axis];
    if (verdict.kind !== "dominated") return [];
    const better = rows.find(({ rule }) => rule.name === verdict.by) as Row;
    return [`- (${trace.name[0]}) ${trace.title}: *${row.rule.name}* (${says(row)}) is dominated by *${verdict.by}* (${says(better)}).`];
  }));
  return lines.length === 0 ? "On no trace.\n" : `${lines.join("\n")}\n`;
}

function seedTable(results: readonly TraceResult[]): string {
  const ours = RULES.filter(({ isOurs }) => isOurs === true);
  const header = ["trace", ...ours.flatMap((rule) => [name(rule), "by query accuracy"])];
  return table(header, results.map(({ trace, rows }) => [
    trace.title, ...ours.flatMap((rule) => {
      const seeds = rows.find((row) => row.rule === rule)?.seeds;
      return seeds === undefined ? ["n/a", "n/a"] : [`${seeds.verdict} of ${seeds.of}`, `${seeds.byShare} of ${seeds.of}`];
    }),
  ]));
}

function goalTable({ kept }: ReportOptions): string {
  const count = ({ mistakes, promised }: { mistakes: number; promised: number }) => {
    const ratio = mistakes / promised;
    const says = `${mistakes} / ${promised < 10 ? promised.toPrecision(2) : promised.toFixed(0)} = ${rate(ratio)}`;
    return ratio > 3 && mistakes >= 3 ? `**${says}**` : says;
  };
  const rows = kept.flatMap(({ trace, kept }) => kept.map(({ goal, asks, cold, steady }) => [trace.title, goal, asks ? "asks" : "mute", count(cold), count(steady)]));
  return table(["trace", "one mistake in", "peer", "cold start", "steady"], rows);
}

function name({ name, isOurs }: Row["rule"]): string {
  return isOurs === true ? `**${name}**` : name;
}

function mark({ kind }: Verdict): string {
  return kind === "front" ? " ●" : "";
}

/** The rate of the first seed, or what bounds it if it is none. */
function mistakes(row: Row): string {
  return row.figures.mistakes > 0 ? rate(row.figures.mistakesPerDay) : bounded(row);
}

/** The rate over all seeds. Of what was never seen: the rule of three. */
function bounded({ all }: Row): string {
  return all.mistakes > 0 ? rate(all.mistakes / all.peerDays) : `< ${rate(3 / all.peerDays)}`;
}

function words(verdict: Verdict): string {
  if (verdict.kind === "control") return "a control, not judged";
  return verdict.kind === "front" ? "on the front" : `dominated by ${verdict.by}`;
}
