import type { AnyFlow, Value } from "@holdfast/core";

/** A flow that `holdfast up` runs once over the fleet, shows the progress of, and then has proved. */
export interface FleetJob {
  /** Where the flow runs. */
  readonly node: string;
  readonly flow: AnyFlow;
  /** Name of the flow's map whose items are the job's progress. */
  readonly progress: string;
  /** What to do to the fleet's processes meanwhile. `--no-chaos` leaves it out. */
  readonly chaos?: ChaosPlan;
  /**
   * Makes the input from the words after the fleet file. The execution's id follows from the input: the same words take
   * an interrupted job up again. What it throws is told as bad usage.
   */
  prepare(args: readonly string[]): Promise<PreparedJob>;
  /** Called when the flow has completed: what came out, and whether it is right. */
  report(context: JobContext): Promise<JobReport>;
}

/**
 * At each share of the progress: one node of a group is killed (SIGKILL), another of a group is stopped for a while
 * (SIGSTOP), the broker is killed if that is wanted, and one node is killed last. Dead nodes are started again, as always.
 */
export interface ChaosPlan {
  /** Shares of the items settled, 0 to 1, ascending. */
  readonly at: readonly number[];
  readonly kill: string;
  readonly stop: string;
  readonly stopMs: number;
  readonly killLast: string;
  /** Kill the fleet's broker, too. Default false. */
  readonly broker?: boolean;
}

export interface PreparedJob {
  readonly input: Value;
  /** For people: what the job is about. */
  readonly title: string;
}

export interface JobContext {
  readonly input: Value;
  /** The flow's outputs. */
  readonly result: { readonly [port: string]: Value };
  /** Where `--export` wants the result. */
  readonly exportPath: string | undefined;
  /** Cells of the job's node, in key order. */
  readonly cells: (name: string) => AsyncIterable<readonly [key: string, cell: Value]>;
  /** Host operations begun by the nodes of a group, over all their lives; null if one of them does not answer. */
  readonly hostStarts: (group: string) => number | null;
  /** Aborts when somebody wants the fleet down: what takes long should end then. */
  readonly stop: AbortSignal;
  /** Tells people what is being done. */
  readonly say: (text: string) => void;
}

export interface JobReport {
  readonly rows: readonly (readonly [what: string, value: string])[];
  /** All must hold for exit status 0. */
  readonly proofs: readonly { readonly claim: string; readonly holds: boolean; readonly detail: string }[];
}
