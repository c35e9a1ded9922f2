import type { Failure } from "@holdfast/core";

/** An execution that ended badly. `failure.code` is stable, `failure.at` says where, innermost first. */
export class ExecutionFailure extends Error {
  override readonly name = "ExecutionFailure";
  readonly execution: string;
  readonly failure: Failure;

  constructor(execution: string, failure: Failure) {
    super(`${failure.code}: ${failure.message}${failure.at.length === 0 ? "" : ` (at ${failure.at.join(" < ")})`}`);
    this.execution = execution;
    this.failure = failure;
  }
}
