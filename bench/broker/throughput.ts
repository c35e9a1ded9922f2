/** Connections per second, from so many clients at once, each connecting again when it has its reply. */
import { figure, interleave, median, rounds } from "../harness.ts";
import type { BenchOptions, Figure } from "../harness.ts";
import type { BrokerWorld, Way } from "./world.ts";

const WAYS: readonly Way[] = ["direct", "reconnect", "handoff", "proxy"];

export async function measureThroughput(world: BrokerWorld, options: BenchOptions): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  for (const concurrency of [1, 16, 64]) {
    const connections = (options.quick ? 300 : 1_000) * (concurrency === 1 ? 1 : 2);
    const rates = await interleave(Math.min(5, rounds(options)), Object.fromEntries(WAYS.map((way) => [way, () => rate(world, way, concurrency, connections)])));
    const [reconnect] = [median(rates["reconnect"] as number[])];
    for (const way of WAYS) {
      if (way === "reconnect") continue;
      figures.push(figure({
        figure: `${way}, ${concurrency} at once`, value: median(rates[way] as number[]), unit: "/s", comparison: `reconnect, ${concurrency} at once`, other: reconnect,
        target: "none", met: true,
      }));
    }
  }
  return figures;
}

async function rate(world: BrokerWorld, way: Way, concurrency: number, connections: number): Promise<number> {
  const beganAt = performance.now();
  let left = connections;
  const client = async () => {
    while (left-- > 0) await world.sample(way);
  };
  await Promise.all(Array.from({ length: concurrency }, client));
  return (connections * 1000) / (performance.now() - beganAt);
}
