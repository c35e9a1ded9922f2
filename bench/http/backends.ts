/**
 * One of five backends answers slowly, then refuses connections, then is back. Several clients at a time, drawn anew in each round, ask the same five
 * servers, each from a process of its own: what the machine does besides falls on all of them.
 */
import { dice, figure, median, shuffled } from "../harness.ts";
import type { BenchOptions, Figure } from "../harness.ts";
import { CLIENT_SETTINGS } from "./backend-client.ts";
import type { BackendClientName, BackendParameters, BackendResult } from "./backend-client.ts";
import type { Children } from "./children.ts";
import { NONE, OURS } from "./guards.ts";
import { percentilesOf } from "./open-loop.ts";
import type { Begin, Percentiles, Taken } from "./open-loop.ts";
import type { Manner, ServerBegan, ServerOrder, ServerReport } from "./server.ts";

const BACKENDS = 5;
const TROUBLED = 2;
/** Of each client. More, and the machine is what is measured. */
const PER_SECOND = 100;
const LEAD_MS = 300;
const SEED = 5;
const OUR_NAMES: readonly BackendClientName[] = [OURS, "peers.fetch"];
/** Shared best: so close to the best of the others, in their share, and in ms, per 1000, or requests for one. */
const SHARED = { tookShare: 1.1, tookMs: 1, failed: 0, load: 0.01 } as const;

interface Phase {
  readonly name: string;
  readonly manner: Manner;
  readonly forMs: number;
}

/** Of all rounds together. */
interface Summary {
  readonly all: Percentiles;
  readonly phases: readonly Percentiles[];
  /** Of 1000 requests. */
  readonly failed: number;
  /** Requests that the backends received for one that was wanted. */
  readonly load: number;
  readonly usedAgainMs: number;
  readonly isUsedAgain: boolean;
}

export async function measureBackends({ quick, note }: BenchOptions, children: Children): Promise<readonly Figure[]> {
  const [rounds, groups, wellMs, slowMs, goneMs, backMs] = quick ? [1, 2, 1000, 2600, 1500, 2000] : [2, 3, 3000, 5000, 5000, 5000];
  const phases: readonly Phase[] = [
    { name: "well", manner: "well", forMs: wellMs }, { name: "slow", manner: "slow", forMs: slowMs },
    { name: "dead", manner: "gone", forMs: goneMs }, { name: "back", manner: "well", forMs: backMs },
  ];
  const names = Object.keys(CLIENT_SETTINGS) as BackendClientName[];
  const random = dice(SEED);
  const runs: GroupRun[] = [];
  for (let round = 0; round < rounds; round++) {
    const order = shuffled(names, random);
    for (let group = 0; group < groups; group++) runs.push(await runGroup(children, order.filter((_, at) => at % groups === group), phases, SEED + round));
    note(`five backends, round ${round + 1} of ${rounds}`);
  }
  const summaries = new Map<BackendClientName, Summary>(names.map((name) => [name, summaryOf(name, runs, phases)]));
  for (const [name, { phases: parts }] of summaries) {
    note(`five backends, ${name} (${CLIENT_SETTINGS[name]}): ${parts.map(({ p50, p99, p999 }, at) => `${phases[at]?.name} ${[p50, p99, p999].map((ms) => ms.toFixed(1)).join("/")}`).join(", ")} ms (p50/p99/p99.9)`);
  }
  return figuresOf(summaries);
}

interface GroupRun {
  readonly results: ReadonlyMap<BackendClientName, BackendResult>;
  /** Requests that reached a backend. */
  readonly received: ReadonlyMap<BackendClientName, number>;
}

async function runGroup(children: Children, names: readonly BackendClientName[], phases: readonly Phase[], seed: number): Promise<GroupRun> {
  const servers = Array.from({ length: BACKENDS }, () => children.start("server.ts", {}));
  const origins = await Promise.all(servers.map(async (server) => `http://127.0.0.1:${(await server.next<ServerBegan>()).port}`));
  const begins = phases.map((_, at) => phases.slice(0, at).reduce((sum, { forMs }) => sum + forMs, 0));
  const common = {
    perSecond: PER_SECOND, seed, forMs: phases.reduce((sum, { forMs }) => sum + forMs, 0), troubled: TROUBLED, backAtMs: begins.at(-1) as number,
  };
  const clients = names.map((name) => {
    return children.start("backend-client.ts", { ...common, name, origins, path: pathOf(name) } satisfies BackendParameters);
  });
  await Promise.all(clients.map((client) => client.next()));
  const startsAtMs = Date.now() + LEAD_MS;
  const manners = phases.map(({ manner }, at) => ({ atMs: startsAtMs + (begins[at] as number), manner }));
  servers[TROUBLED]?.tell({ manners } satisfies ServerOrder);
  for (const client of clients) client.tell({ startsAtMs } satisfies Begin);
  const results = await Promise.all(clients.map((client) => client.next<BackendResult>()));
  const reports = await Promise.all(servers.map((server) => {
    server.tell({ report: true } satisfies ServerOrder);
    return server.next<ServerReport>();
  }));
  await Promise.all([...clients, ...servers].map((child) => child.end()));
  const received = names.map((name) => [name, reports.reduce((sum, report) => sum + (report.received[pathOf(name)] ?? 0), 0)] as const);
  return { results: new Map(names.map((name, at) => [name, results[at] as BackendResult])), received: new Map(received) };
}

/** A path of one segment that looks like no value: a client has one site at each backend. */
function pathOf(name: BackendClientName): string {
  return `/${name.replaceAll(/[^a-z]+/gi, "-").toLowerCase()}`;
}

function summaryOf(name: BackendClientName, runs: readonly GroupRun[], phases: readonly Phase[]): Summary {
  const results = runs.flatMap((run) => run.results.get(name) ?? []);
  const taken: readonly Taken[] = results.flatMap((one) => one.taken);
  const received = runs.reduce((sum, run) => sum + (run.received.get(name) ?? 0), 0);
  const backMs = phases.at(-1)?.forMs ?? NaN;
  let fromMs = 0;
  return {
    all: percentilesOf(taken),
    phases: phases.map(({ forMs }) => percentilesOf(taken, fromMs, (fromMs += forMs))),
    failed: (taken.filter(({ ok }) => !ok).length * 1000) / taken.length,
    load: received / taken.length,
    usedAgainMs: median(results.map(({ usedAgainMs }) => usedAgainMs ?? backMs)),
    isUsedAgain: results.every(({ usedAgainMs }) => usedAgainMs !== undefined),
  };
}

function figuresOf(summaries: ReadonlyMap<BackendClientName, Summary>): Figure[] {
  const rivals = [...summaries].filter(([name]) => name !== NONE && !OUR_NAMES.includes(name));
  const lines = (title: string, unit: string, of: (summary: Summary) => number, shared?: (best: number) => number, remark = (_summary: Summary) => ""): Figure[] => {
    const [best, bestValue] = rivals.map(([name, summary]) => [name, of(summary)] as const).reduce((a, b) => (b[1] < a[1] ? b : a));
    return [...summaries].map(([name, summary]) => {
      const value = of(summary);
      const isJudged = shared !== undefined && OUR_NAMES.includes(name);
      return figure({
        figure: `five backends, ${title}: ${name}${remark(summary)}`, value, unit, comparison: `the best of the others: ${best}`, other: bestValue,
        target: isJudged ? "shared best" : "none", met: !isJudged || value <= shared(bestValue),
      });
    });
  };
  const tookShared = (best: number): number => Math.max(best * SHARED.tookShare, best + SHARED.tookMs);
  return [
    ...lines("p50", "ms", ({ all }) => all.p50),
    ...lines("p99", "ms", ({ all }) => all.p99, tookShared),
    ...lines("p99.9", "ms", ({ all }) => all.p999, tookShared),
    ...lines("failed of 1000", "", ({ failed }) => failed, (best) => best + SHARED.failed),
    ...lines("received for one wanted", "", ({ load }) => load, (best) => best + SHARED.load),
    ...lines("the one that is back is used after", "ms", ({ usedAgainMs }) => usedAgainMs, undefined, ({ isUsedAgain }) => (isUsedAgain ? "" : " (not yet)")),
  ];
}
