import { parentPort } from "node:worker_threads";
import { experiment, type ExperimentOptions } from "./experiment.ts";
import { TRACES } from "./traces/traces.ts";

/** A thread that runs the traces it is told, by their place in the list, and answers with their figures. */
parentPort?.on("message", ({ index, options }: { index: number; options: ExperimentOptions }) => {
  const trace = TRACES[index];
  if (trace !== undefined) parentPort?.postMessage({ index, figures: experiment(trace, options) }, []);
});
