/**
 * The broker's figures: how soon a client has its first reply by each route, how many connections a second, and what the
 * broker takes of memory. Client, broker and backend are processes of their own, over Unix sockets.
 */
import { measureGrowth, measureIdleMemory } from "./broker/memory.ts";
import { measureRoutes } from "./broker/routes.ts";
import { measureThroughput } from "./broker/throughput.ts";
import { BrokerWorld } from "./broker/world.ts";
import type { BenchOptions, Figure } from "./harness.ts";

export async function run(options: BenchOptions): Promise<readonly Figure[]> {
  await using world = await BrokerWorld.open();
  const idleMb = await world.residentMb();
  await world.sample("reconnect"); // Starts the backend.
  options.note("time to the first reply");
  const routes = await measureRoutes(world, options);
  options.note("connections per second");
  const throughput = await measureThroughput(world, options);
  options.note("memory");
  return [...routes, ...throughput, measureIdleMemory(idleMb), await measureGrowth(world, options)];
}
