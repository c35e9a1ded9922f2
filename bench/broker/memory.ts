/** What an idle broker takes, and what ten thousand Hellos leave behind. */
import { figure } from "../harness.ts";
import type { BenchOptions, Figure } from "../harness.ts";
import type { BrokerWorld } from "./world.ts";

const IDLE_MB_MAX = 60;
/** Of what 10 000 Hellos may add to what the first thousands have settled at. Decision: 10 % is what RSS varies by. */
const GROWTH_MAX = 1.1;

export function measureIdleMemory(residentMb: number): Figure {
  return figure({
    figure: "memory of an idle broker", value: residentMb, unit: "MB", comparison: "this benchmark's process, for scale", other: process.memoryUsage.rss() / 1e6,
    target: `≤ ${IDLE_MB_MAX} MB`, met: residentMb <= IDLE_MB_MAX,
  });
}

export async function measureGrowth(world: BrokerWorld, { quick }: BenchOptions): Promise<Figure> {
  await hellos(world, quick ? 500 : 5_000);
  const before = await world.residentMb();
  const count = quick ? 2_000 : 10_000;
  await hellos(world, count);
  const after = await world.residentMb();
  return figure({
    figure: `memory after ${count} more Hellos`, value: after, unit: "MB", comparison: "before them", other: before, target: `≤ ${GROWTH_MAX} ×`, met: after <= before * GROWTH_MAX,
  });
}

async function hellos(world: BrokerWorld, count: number): Promise<void> {
  for (let at = 0; at < count; at++) await world.sample(at % 2 === 0 ? "reconnect" : "handoff");
}
