import type { Laboratory } from "../laboratory.ts";
import { type AdviceFigures, runAdvice } from "./advice.ts";
import { type LayerFigures, runLayers } from "./layers.ts";
import { runStorm, type StormFigures, STORMS } from "./model.ts";
import { POLICIES } from "./policies.ts";
import { report } from "./report.ts";

type Result = readonly StormFigures[] | readonly AdviceFigures[] | readonly LayerFigures[];

/** Retries, back-off and advice: what clients do to a server in trouble, and how soon it recovers. */
export const STORMS_LABORATORY: Laboratory<Result> = {
  name: "storms",
  says: "Retries, back-off and advice: what clients do to a server in trouble, and how soon it recovers.",
  tasks: [...STORMS.map(({ name }) => name), "advice", "layers"],
  run(task, { seed }) {
    if (task === "advice") return runAdvice(seed);
    if (task === "layers") return runLayers(seed);
    const storm = STORMS.find(({ name }) => name === task);
    return storm === undefined ? [] : POLICIES.map((policy) => runStorm(storm, policy, seed));
  },
  report(results, options) {
    const [advice, layers] = results.slice(STORMS.length) as [readonly AdviceFigures[], readonly LayerFigures[]];
    return report({ storms: results.slice(0, STORMS.length) as (readonly StormFigures[])[], advice, layers }, options);
  },
};
