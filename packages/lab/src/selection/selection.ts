import type { Laboratory } from "../laboratory.ts";
import { type Figures, figuresOf } from "./figures.ts";
import { POLICIES } from "./policies/policies.ts";
import { report } from "./report/report.ts";
import { runPolicy } from "./run-policy.ts";
import { SCENARIOS } from "./scenarios.ts";

/** Balancers: who is asked while one server is slow, fails, is new. */
export const SELECTION: Laboratory<readonly Figures[]> = {
  name: "selection",
  says: "Whom to ask: latencies and losses while one server of a group is slow, fails or is new; with and without hedging.",
  tasks: SCENARIOS.map(({ name }) => name),
  run(task, { seed, effort }) {
    const scenario = SCENARIOS.find(({ name }) => name === task);
    if (scenario === undefined) return [];
    const runs = Array.from({ length: Math.max(1, Math.round(scenario.runs * effort)) }, (_, run) => `${seed} ${task} ${run}`);
    return POLICIES.map((entry) => figuresOf(scenario, runs.map((run) => runPolicy(scenario, entry, run))));
  },
  report,
};
