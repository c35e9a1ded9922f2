/**
 * Time from a client's connect to its first reply, by each route. Sample by sample the routes come in another order, drawn
 * from a fixed seed: what one leaves behind (a connection to be torn down, garbage) falls on the others alike.
 */
import { dice, figure, median, percentile, shuffled } from "../harness.ts";
import type { BenchOptions, Figure } from "../harness.ts";
import type { BrokerWorld, Way } from "./world.ts";

const WAYS: readonly Way[] = ["direct", "reconnect", "handoff", "proxy"];

type Percentiles = Readonly<Record<Way, { readonly p50: number; readonly p99: number }>>;

export async function measureRoutes(world: BrokerWorld, { quick, note }: BenchOptions): Promise<readonly Figure[]> {
  const [runs, warmUp, samples] = quick ? [3, 100, 400] : [5, 300, 2_000];
  const measured: Percentiles[] = [];
  for (let run = 0; run < runs; run++) {
    const one = await measureOnce(world, warmUp, samples);
    measured.push(one);
    note(`run ${run + 1}: ${WAYS.map((way) => `${way} ${one[way].p50.toFixed(0)}/${one[way].p99.toFixed(0)}`).join(", ")} µs (p50/p99)`);
  }
  const of = (way: Way, part: "p50" | "p99") => median(measured.map((one) => one[way][part]));
  const wins = measured.filter(({ handoff, reconnect }) => handoff.p50 < reconnect.p50 && handoff.p99 < reconnect.p99).length;
  const winsMin = Math.ceil(runs * 0.8);
  const compared = (way: Way, part: "p50" | "p99", target: string, isMet: (value: number, other: number) => boolean) => {
    const [value, other] = [of(way, part), of("reconnect", part)];
    return figure({ figure: `${way}, ${part}`, value, unit: "µs", comparison: `reconnect, ${part}`, other, target, met: isMet(value, other) });
  };
  return [
    compared("direct", "p50", "≤ 0.6 × reconnect", (value, other) => value <= 0.6 * other),
    compared("direct", "p99", "none", () => true),
    compared("handoff", "p50", "< reconnect", (value, other) => value < other),
    compared("handoff", "p99", "< reconnect", (value, other) => value < other),
    figure({
      figure: "runs that handoff won", value: wins, unit: "runs", comparison: "runs in all; won is strictly faster at p50 and p99", other: runs,
      target: `≥ ${winsMin}`, met: wins >= winsMin,
    }),
    compared("proxy", "p50", "none", () => true),
    compared("proxy", "p99", "none", () => true),
  ];
}

async function measureOnce(world: BrokerWorld, warmUp: number, samples: number): Promise<Percentiles> {
  const taken = Object.fromEntries(WAYS.map((way) => [way, [] as number[]])) as Record<Way, number[]>;
  const random = dice(1);
  for (let sample = 0; sample < warmUp + samples; sample++) {
    for (const way of shuffled(WAYS, random)) {
      const tookUs = await world.sample(way);
      if (sample >= warmUp) taken[way].push(tookUs);
    }
  }
  return Object.fromEntries(WAYS.map((way) => [way, { p50: percentile(taken[way], 0.5), p99: percentile(taken[way], 0.99) }])) as unknown as Percentiles;
}
