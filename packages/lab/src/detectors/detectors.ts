import type { Laboratory } from "../laboratory.ts";
import { experiment, type ExperimentOptions } from "./experiment.ts";
import type { Figures } from "./measure.ts";
import { judge, report } from "./report/report.ts";
import { TRACES } from "./traces/traces.ts";

/** Peers of each trace at an effort of 1: a hundred peer-days. */
const PEERS = 400;

/** Failure detectors: how fast a death is found, and how often the living are suspected. */
export const DETECTORS: Laboratory<readonly Figures[]> = {
  name: "detectors",
  says: "Failure detectors: how fast a death is found, and how often the living are suspected.",
  tasks: TRACES.map(({ name }) => name),
  run(task, options) {
    const trace = TRACES.find(({ name }) => name === task);
    return trace === undefined ? [] : experiment(trace, sizeOf(options));
  },
  report: (results, options) => report(TRACES.map((trace, place) => judge(trace, results[place] ?? [])), sizeOf(options)),
};

function sizeOf({ seed, effort }: { seed: string; effort: number }): ExperimentOptions {
  return { seed, peers: Math.max(1, Math.round(PEERS * effort)) };
}
