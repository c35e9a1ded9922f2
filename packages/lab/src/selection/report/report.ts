import type { LabOptions } from "../../laboratory.ts";
import { rate, share } from "../../report/numbers.ts";
import { table } from "../../report/table.ts";
import type { Figures } from "../figures.ts";
import { POLICIES } from "../policies/policies.ts";
import type { PolicyEntry } from "../policies/policy.ts";
import { type Scenario, SCENARIOS } from "../scenarios.ts";
import { curves } from "./curves.ts";

/** One policy's row in the table of one scenario. */
export interface Row {
  readonly policy: PolicyEntry;
  readonly figures: Figures;
}

const INTRODUCTION = `# Whom to ask

Holdfast's choice among the members of a group beside published balancers, over the same requests. Written by \`npm run lab\`; the same
seed gives the same bytes, so nothing here is edited by hand.

A few servers, one client or twenty; requests come as a Poisson process, and each brings its own amount of work, the same for every policy: log-normal, 8 ms in the
median, one in 200 twenty times as long. A server works at a bounded number of requests at a time, first come first served; the
network takes 1 ms. Measured: *success*, the share of requests answered without an error within 1 s; latencies of whatever was
answered; the *extra load* of hedges; what the server in question got, in *fair shares* (1 = as much as everybody, 0 = nothing), while something was the matter with
it and in the first second of that; and after how many requests to it it was *set aside*.

*Hedged*: a second server is asked when the first has not answered within the budget that core's tracker learned of it; hedges are at most a tenth of
the requests. The quicker answer counts, the other attempt is cancelled and its slot is free at once.

**What to doubt.** The world is synthetic. The
policies are re-implemented from their publications, with the settings below; none of the others has the failure accrual or the ejection that
its system puts beside it, so scenarios (b) and (f) show what an outlier rule is for, and not that theirs is worse. A cancelled attempt frees
its server at once, which flatters hedging.
`;

/** The report: file names and contents. */
export function report(results: readonly (readonly Figures[])[], { seed, effort }: LabOptions): Map<string, string> {
  const judged = SCENARIOS.map((scenario, place) => ({
    scenario, rows: POLICIES.map((policy, at): Row => ({ policy, figures: (results[place] as readonly Figures[])[at] as Figures })),
  }));
  const files = new Map([["README.md", [
    INTRODUCTION,
    `Seed \`${seed}\`, effort ${effort}.\n`,
    "## At a glance\n",
    "Success / p99.9 in ms.\n",
    table(["policy", ...judged.map(({ scenario }) => `[${scenario.title}](${scenario.name}.md)`)], POLICIES.map((policy, at) => [
      nameOf(policy), ...judged.map(({ rows }) => `${share((rows[at] as Row).figures.success)} / ${rate((rows[at] as Row).figures.p999)}`),
    ])),
    "## Where ours loses\n",
    losses(judged),
    "## The policies\n",
    table(["policy", "settings"], POLICIES.map(({ name, settings }) => [name, settings])),
  ].join("\n")]]);
  for (const { scenario, rows } of judged) {
    files.set(`${scenario.name}.md`, page(scenario, rows));
    files.set(`${scenario.name}.svg`, curves(scenario, rows));
  }
  return files;
}

function page(scenario: Scenario, rows: readonly Row[]): string {
  const header = ["policy", "success", "p50, ms", "p99, ms", "p99.9, ms", "extra load", "fair shares", "in the first second", "set aside after", "others set aside"];
  const cells = rows.map(({ policy, figures }) => [
    nameOf(policy), share(figures.success), rate(figures.p50), rate(figures.p99), rate(figures.p999), percent(figures.extraLoad),
    figures.share.toFixed(2), figures.firstShare.toFixed(2), aside(figures), String(figures.wronglyAside),
  ]);
  const size = rows[0]?.figures;
  return [
    `# (${scenario.name[0]}) ${scenario.title}\n`, `${scenario.says}\n`, `${size?.requests} requests in ${size?.runs} runs.\n`,
    table(header, cells), `![${scenario.title}](${scenario.name}.svg)\n`, "[All scenarios](README.md)\n",
  ].join("\n");
}

function aside({ asideClients, asideP50, asideMax, clients }: Figures): string {
  if (asideClients === 0) return "never";
  return `${asideP50} requests, at most ${asideMax}${asideClients < clients ? ` (by ${asideClients} of ${clients} clients)` : ""}`;
}

function percent(value: number): string {
  return value === 0 ? "0" : `${(100 * value).toFixed(1)} %`;
}

function nameOf({ name, isOurs }: PolicyEntry): string {
  return isOurs === true ? `**${name}**` : name;
}

/** Of two figures the worse one loses by at least so much of the better one; of two shares of failures by so much of all requests. */
const LOSS_MIN = 0.02;
const FAILURES_MIN = 0.0001;

/** Ours against every other one, plain against plain and hedged against hedged. */
function losses(judged: readonly { readonly scenario: Scenario; readonly rows: readonly Row[] }[]): string {
  const lines = judged.flatMap(({ scenario, rows }) => [false, true].flatMap((isHedged) => {
    const among = rows.filter(({ policy }) => (policy.hedges === true) === isHedged);
    const others = among.filter(({ policy }) => policy.isOurs !== true);
    const ours = among.findLast(({ policy }) => policy.isOurs === true);
    if (ours === undefined) return [];
    const say = (what: string, mine: string, other: Row, theirs: string) => `- (${scenario.name[0]}) ${scenario.title}: *${ours.policy.name}* has ${what} ${mine}, *${other.policy.name}* ${theirs}.`;
    const best = others.reduce((a, b) => (b.figures.success > a.figures.success ? b : a));
    const found = best.figures.success - ours.figures.success >= FAILURES_MIN ? [say("a success of", share(ours.figures.success), best, share(best.figures.success))] : [];
    for (const [name, of] of [["p50", "p50"], ["p99", "p99"], ["p99.9", "p999"]] as const) {
      const least = others.reduce((a, b) => (b.figures[of] < a.figures[of] ? b : a));
      if (ours.figures[of] > (1 + LOSS_MIN) * least.figures[of]) found.push(say(`a ${name} of`, `${rate(ours.figures[of])} ms`, least, `${rate(least.figures[of])} ms`));
    }
    return found;
  }));
  return lines.length === 0 ? "Nowhere by more than a fiftieth.\n" : `${lines.join("\n")}\n`;
}
