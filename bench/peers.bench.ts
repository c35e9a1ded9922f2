/** Peer state's figures: what a question about one peer of many costs beside a bare lookup, memory, and garbage. */
import type { BenchOptions, Figure } from "./harness.ts";
import { measureGarbage } from "./peers/garbage.ts";
import { measureMemory } from "./peers/memory.ts";
import { measureOperations } from "./peers/operations.ts";
import { measureScan } from "./peers/scan.ts";

export async function run(options: BenchOptions): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  for (const measure of [measureOperations, measureScan, measureGarbage, measureMemory]) {
    options.note(measure.name);
    figures.push(...(await measure(options)));
  }
  return figures;
}
