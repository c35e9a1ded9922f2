/** A server that answers, and then fails every call, at 2 000 calls a second: does the loop stall, and when are calls cut off? */
import { figure } from "../harness.ts";
import type { BenchOptions, Figure } from "../harness.ts";
import type { Children } from "./children.ts";
import { NONE, OURS, SETTINGS } from "./guards.ts";
import type { GuardName } from "./guards.ts";
import type { Begin } from "./open-loop.ts";
import type { OutageParameters, OutageResult } from "./outage-client.ts";
import type { ServerBegan, ServerOrder } from "./server.ts";

const NAMES: readonly GuardName[] = [NONE, OURS, "cockatiel, consecutive", "cockatiel, sampling", "opossum", "Effect"];
const PER_SECOND = 2000;
const STALL_MS_MAX = 10;
const CUT_OFF_MS_MAX = 1000;
/** For all processes to have heard when it begins. */
const LEAD_MS = 200;

export async function measureOutage({ quick, note }: BenchOptions, children: Children): Promise<readonly Figure[]> {
  const [healthyMs, outageMsMax, afterMs] = quick ? [1000, 3000, 500] : [10_000, 20_000, 2000];
  const results = new Map<GuardName, OutageResult>();
  for (const name of NAMES) {
    const isBare = name === NONE;
    results.set(name, await runOutage(children, { name, perSecond: PER_SECOND, healthyMs, outageMsMax: isBare ? 2 * afterMs : outageMsMax, afterMs }));
    note(`outage, ${name}: ${SETTINGS[name]}`);
  }
  const bare = results.get(NONE) as OutageResult;
  const guarded = NAMES.filter((name) => name !== NONE);
  const of = (name: GuardName): OutageResult => results.get(name) as OutageResult;
  return [
    ...guarded.map((name) => line(`longest stall of the loop: ${name}`, of(name).longestStallMs, "ms", "no guard", bare.longestStallMs, name === OURS ? STALL_MS_MAX : undefined)),
    ...guarded.map((name) => line(`share of a core: ${name}`, of(name).cpuShare, "", "no guard", bare.cpuShare, undefined)),
    ...guarded.map((name) => {
      const { cutOffMs, watchedMs } = of(name);
      const label = `calls are cut off after: ${name}${cutOffMs === undefined ? " (not yet)" : ""}`;
      return line(label, cutOffMs ?? watchedMs, "ms", "how long it was watched", watchedMs, name === OURS ? CUT_OFF_MS_MAX : undefined);
    }),
  ];
}

function line(name: string, value: number, unit: string, comparison: string, other: number, most: number | undefined): Figure {
  return figure({
    figure: `outage, ${name}`, value, unit, comparison, other, target: most === undefined ? "none" : `≤ ${most} ${unit}`, met: most === undefined || value <= most,
  });
}

async function runOutage(children: Children, parameters: Omit<OutageParameters, "url">): Promise<OutageResult> {
  const server = children.start("server.ts", {});
  const { port } = await server.next<ServerBegan>();
  const client = children.start("outage-client.ts", { ...parameters, url: `http://127.0.0.1:${port}/` } satisfies OutageParameters);
  await client.next();
  const startsAtMs = Date.now() + LEAD_MS;
  server.tell({ manners: [{ atMs: startsAtMs + parameters.healthyMs, manner: "failing" }] } satisfies ServerOrder);
  client.tell({ startsAtMs } satisfies Begin);
  const result = await client.next<OutageResult>();
  await Promise.all([client.end(), server.end()]);
  return result;
}
