/** Requests per second of 64 callers, beside the bare client of the same round: a fresh client process for each sample. */
import { dice, figure, median, shuffled } from "../harness.ts";
import type { BenchOptions, Figure } from "../harness.ts";
import type { Children } from "./children.ts";
import { CLIENTS, FETCH, UNDICI } from "./client-cases.ts";
import type { ClientName } from "./client-cases.ts";
import type { LoopParameters, LoopResult } from "./closed-loop.ts";
import type { ServerBegan } from "./server.ts";

/** The least share of what the bare client does. */
const TARGETS: Partial<Readonly<Record<ClientName, number>>> = { "undici + peers.undici()": 0.97, "peers.fetch()": 0.95 };
const SHUFFLE_SEED = 64;

export async function measureThroughput({ quick, note }: BenchOptions, children: Children): Promise<readonly Figure[]> {
  const [rounds, pace] = quick ? [2, { warmUpMs: 250, measuredMs: 400 }] : [4, { warmUpMs: 800, measuredMs: 1500 }];
  const names = Object.keys(CLIENTS) as ClientName[];
  const samples = new Map<ClientName, LoopResult[]>(names.map((name) => [name, []]));
  const random = dice(SHUFFLE_SEED);
  const server = children.start("plain-server.ts", {});
  const url = `http://127.0.0.1:${(await server.next<ServerBegan>()).port}/items`;
  for (let round = 0; round < rounds; round++) {
    for (const name of shuffled<ClientName>(names, random)) {
      const parameters: LoopParameters = { name, url, ...pace };
      const result = await children.result<LoopResult>("closed-loop.ts", parameters);
      if (result.failed > 0) note(`64 callers, ${name}: ${result.failed} requests failed`);
      samples.get(name)?.push(result);
    }
    note(`64 callers, round ${round + 1} of ${rounds}`);
  }
  await server.end();
  return ([UNDICI, FETCH] as const).flatMap((bare) => figuresOf(names.filter((name) => bareOf(name) === bare), bare, samples));
}

/** got speaks HTTP by node:http; beside fetch, as ky, because that is what people choose between. */
function bareOf(name: ClientName): ClientName {
  return name.startsWith("undici") ? UNDICI : FETCH;
}

function figuresOf(names: readonly ClientName[], bare: ClientName, samples: ReadonlyMap<ClientName, readonly LoopResult[]>): Figure[] {
  const of = (name: ClientName, part: keyof LoopResult): number => median((samples.get(name) ?? []).map(({ [part]: value }) => value));
  const parts = [["perSecond", "requests", "/s"], ["cpuUs", "processor time of a request", "µs"], ["p50Ms", "p50", "ms"], ["p99Ms", "p99", "ms"]] as const;
  return parts.flatMap(([part, title, unit]) => names.map((name) => {
    const least = part === "perSecond" ? TARGETS[name] : undefined;
    const line = figure({
      figure: `64 callers, ${title}: ${name}`, value: of(name, part), unit, comparison: `${bare}, nothing around it`, other: of(bare, part),
      target: least === undefined ? "none" : `≥ ${least}`, met: true,
    });
    if (part !== "perSecond") return line;
    // Of each round by itself: what the machine does besides falls on both.
    const ratio = median((samples.get(name) ?? []).map(({ perSecond }, round) => perSecond / (samples.get(bare)?.[round]?.perSecond ?? NaN)));
    return { ...line, ratio: Number(ratio.toPrecision(4)), met: least === undefined || ratio >= least };
  }));
}
