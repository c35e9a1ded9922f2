/**
 * The engine's figures: envelopes, durable operations, calls, start, and the main job.
 * Each stands beside its comparison from the same run.
 */
import { measureCalls } from "./engine/calls.ts";
import { measureDurable } from "./engine/durable.ts";
import { measureEnvelopes } from "./engine/envelopes.ts";
import { measureFleet } from "./engine/fleet.ts";
import { measureStart } from "./engine/start.ts";
import type { BenchOptions, Figure } from "./harness.ts";

export async function run(options: BenchOptions): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  for (const measure of [measureEnvelopes, measureDurable, measureCalls, measureStart, measureFleet]) {
    options.note(measure.name);
    figures.push(...(await measure(options)));
  }
  return figures;
}
