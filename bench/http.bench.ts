/**
 * What peer state costs a call, and what it does for one, beside the libraries that people use for it today: the newest of each, installed
 * when this first runs (http/package.json). Every case runs in a process of its own.
 */
import type { BenchOptions, Figure } from "./harness.ts";
import { measureBackends } from "./http/backends.ts";
import { measureCalls } from "./http/calls.ts";
import { Children } from "./http/children.ts";
import { competitorVersions, installCompetitors } from "./http/competitors.ts";
import { measureIdle } from "./http/idle.ts";
import { measureOutage } from "./http/outage.ts";
import { measureThroughput } from "./http/throughput.ts";

export async function run(options: BenchOptions): Promise<readonly Figure[]> {
  installCompetitors(options.note);
  options.note(`beside ${Object.entries(competitorVersions()).map(([name, version]) => `${name} ${version}`).join(", ")}`);
  using children = new Children();
  const figures: Figure[] = [];
  for (const measure of [measureCalls, measureIdle, measureThroughput, measureOutage, measureBackends]) {
    options.note(measure.name);
    figures.push(...(await measure(options, children)));
  }
  return figures;
}
