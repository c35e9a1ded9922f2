import type { Laboratory } from "../laboratory.ts";
import { experiment, type ExperimentOptions, type Results } from "./experiment.ts";
import { report } from "./report/report.ts";
import { TRACES } from "./traces/traces.ts";

/** Clients of each trace at an effort of 1. */
const CLIENTS = 16;

/** Deadlines: how seldom an answer is given up too early, and how long one waits for what is lost. */
export const DEADLINES: Laboratory<Results> = {
  name: "deadlines",
  says: "Deadlines: how seldom an answer is given up too early, and how long one waits for what is lost.",
  tasks: TRACES.map(({ name }) => name),
  run(task, options) {
    const trace = TRACES.find(({ name }) => name === task);
    return trace === undefined ? { figures: [], curves: [], trips: [] } : experiment(trace, sizeOf(options));
  },
  report: (results, options) => report(results, sizeOf(options)),
};

function sizeOf({ seed, effort }: { seed: string; effort: number }): ExperimentOptions {
  return { seed, clients: Math.max(1, Math.round(CLIENTS * effort)) };
}
