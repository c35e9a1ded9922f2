import type { LabOptions } from "../laboratory.ts";
import { table } from "../report/table.ts";
import { rate, seconds, share } from "../report/numbers.ts";
import { type AdviceFigures, readings } from "./advice.ts";
import type { LayerFigures } from "./layers.ts";
import { CAPACITY, CLIENTS, RATE, type Storm, type StormFigures, STORMS } from "./model.ts";
import { POLICIES } from "./policies.ts";
import { curves } from "./curves.ts";

export interface StormResults {
  readonly storms: readonly (readonly StormFigures[])[];
  readonly advice: readonly AdviceFigures[];
  readonly layers: readonly LayerFigures[];
}

const bold = (name: string, isOurs: boolean): string => (isOurs ? `**${name}**` : name);

export function report({ storms, advice, layers }: StormResults, { seed }: LabOptions): Map<string, string> {
  const files = new Map<string, string>();
  STORMS.forEach((storm, at) => files.set(`${storm.name}.svg`, curves(storm.title, storms[at] ?? [])));
  files.set("README.md", [
    "# Storms\n",
    `What clients do to a server that is overloaded, fails, or asks to be left alone. Written by \`npm run lab -- storms\`; the same seed gives the same
bytes, so nothing here is edited by hand. Seed \`${seed}\`.

${CLIENTS} clients offer ${RATE} requests a second each to a server of ${CAPACITY}/s. A client gives an attempt up after 1 s, and a request after 10 s. Every
policy meets the same requests. **What to doubt**: one server, no network, fixed service times; the policies are re-implemented from their
publications, with the settings below.
`,
    ...STORMS.flatMap((storm, at) => stormSection(storm, storms[at] ?? [])),
    "## (l) 10 000 clients are given the same advice\n",
    `All are told to come back after 60 s in the same moment. *Peak ÷ mean*: arrivals are counted in 50 equal parts of the 30 s after that; 1 would be
perfectly even, 50 all at once. Then: how long a client is kept away by one advice of 9999999999 s, and by one of 120 s that is repeated every 30 s for an hour.
`,
    table(["rule", "peak ÷ mean", "kept away by a hostile value, s", "by advice upon advice, s", "settings"],
      advice.map((row) => [bold(row.rule, row.isOurs), rate(row.peakOverMean), seconds(row.hostileS), seconds(row.repeatedS), row.settings])),
    "What ours reads in a `Retry-After` field, on 1 January 2026:\n",
    table(["field", "meaning"], readings().map(([text, meaning]) => [text === "" ? "(empty)" : `\`${text}\``, meaning])),
    "## Three layers of services that retry\n",
    `100 requests a second pass three services, each of which may ask up to four times, to a last one that fails for 60 s. Retries go to other peers, so no
back-off delays them: what holds them back is the budget alone. (Envoy's counts what is under way at a time; here one request follows the other, so it is left out.)
`,
    table(["policy", "load on the last service ÷ offered"], layers.map((row) => [bold(row.policy, row.isOurs), row.load.toFixed(2)])),
    "## Where ours loses\n",
    losses(storms, layers),
    "## The policies\n",
    table(["policy", "settings"], POLICIES.map(({ name, settings }) => [name, settings])),
  ].join("\n"));
  return files;
}

function stormSection(storm: Storm, rows: readonly StormFigures[]): string[] {
  return [
    `## (k) ${storm.title}\n`,
    `${storm.says}\n`,
    table(
      ["policy", "attempts per success", "load ÷ offered in the storm", "requests that succeeded", "full recovery after the end, s", "peak after the end ÷ offered"],
      rows.map((row) => [
        bold(row.policy, isOurs(row.policy)), row.attemptsPerSuccess.toFixed(2), row.loadInStorm.toFixed(2), share(row.succeeded), seconds(row.recoveryS), row.peak.toFixed(2),
      ]),
    ),
    `![arrivals over time](${storm.name}.svg)\n`,
  ];
}

/** Every column of every table in which another does better, and by how much. */
function losses(storms: readonly (readonly StormFigures[])[], layers: readonly LayerFigures[]): string {
  const columns: readonly { says: string; of: (row: StormFigures) => number; form: (value: number) => string; isMore?: boolean }[] = [
    { says: "attempts per success", of: (row) => row.attemptsPerSuccess, form: (value) => value.toFixed(2) },
    { says: "load in the storm", of: (row) => row.loadInStorm, form: (value) => value.toFixed(2) },
    { says: "requests that succeeded", of: (row) => row.succeeded, form: share, isMore: true },
    { says: "time to full recovery, s", of: (row) => row.recoveryS, form: seconds },
    { says: "peak after the end", of: (row) => row.peak, form: (value) => value.toFixed(2) },
  ];
  const lines: string[] = [];
  storms.forEach((rows, at) => {
    const ours = rows.find(({ policy }) => isOurs(policy));
    if (ours === undefined) return;
    for (const { says, of, form, isMore } of columns) {
      const better = rows.filter((row) => form(of(row)) !== form(of(ours)) && (isMore === true ? of(row) > of(ours) : of(row) < of(ours)));
      if (better.length > 0) lines.push(`- ${STORMS[at]?.title}, ${says}: ours ${form(of(ours))}; ${better.map((row) => `${row.policy} ${form(of(row))}`).join(", ")}.`);
    }
  });
  const ours = layers.find((row) => row.isOurs);
  const better = layers.filter(({ load }) => ours !== undefined && load < ours.load);
  if (ours !== undefined && better.length > 0) lines.push(`- three layers: ours ${ours.load.toFixed(2)}; ${better.map(({ policy, load }) => `${policy} ${load.toFixed(2)}`).join(", ")}.`);
  return lines.length === 0 ? "In no column.\n" : `${lines.join("\n")}\n`;
}

function isOurs(policy: string): boolean {
  return POLICIES.find(({ name }) => name === policy)?.isOurs === true;
}
