/** The simulator's figures: how fast simulated fleets run, and how fast a node's state is restored. */
import type { BenchOptions, Figure } from "./harness.ts";
import { measureRestore } from "./sim/restore.ts";
import { measureWorlds } from "./sim/worlds.ts";

export async function run(options: BenchOptions): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  for (const measure of [measureWorlds, measureRestore]) {
    options.note(measure.name);
    figures.push(...(await measure(options)));
  }
  return figures;
}
