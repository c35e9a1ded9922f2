import { parentPort } from "node:worker_threads";
import type { LabOptions } from "./laboratory.ts";
import { LABORATORIES } from "./laboratories.ts";

/** A part of a laboratory, by their names. */
export interface Part {
  readonly laboratory: string;
  readonly task: string;
}

/** A thread that runs the parts it is told, and answers with their results. */
parentPort?.on("message", ({ part, options }: { part: Part; options: LabOptions }) => {
  const laboratory = LABORATORIES.find(({ name }) => name === part.laboratory);
  parentPort?.postMessage(laboratory?.run(part.task, options), []);
});
