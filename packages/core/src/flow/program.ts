import type { Value } from "../base/value.ts";
import type { Chain, ProgramHash } from "../base/ids.ts";

/**
 * A program is a compiled flow: immutable plain data (a `Value`), named by the hash of its content. Operations are
 * listed in topological order; ports are slot numbers; functions and schemas are pinned as `name@version`.
 */
export interface Program {
  readonly format: 1;
  readonly name: string;
  readonly version: number;
  /** Input ports, sorted by name. */
  readonly inputs: readonly Port[];
  /** Output ports, sorted by name; each reads the slot that some operation writes. */
  readonly outputs: readonly Port[];
  /** Whole ns, or never; counted from the start of an execution. */
  readonly deadlineNs: number | "never";
  /** Number of slots; inputs and every operation's outputs each own one. */
  readonly slots: number;
  readonly operations: readonly Operation[];
  /** Programs run by this one's `map` and `call local` operations, as hashes; they are stored with it. */
  readonly children: readonly ProgramHash[];
  /** Event kinds (engine/event-bus) that start an execution of this flow; its single input port gets the event. */
  readonly subscribes: readonly string[];
}

export interface Port {
  readonly name: string;
  readonly slot: number;
  /** `name@version` of the schema that checks the value where it comes from outside; none = any value. */
  readonly schema: string | null;
}

/** Where the results of a `map` are folded: `entries(result)` gives [key, delta] pairs, `fold(cell, delta)` the new cell. */
export interface Fold {
  readonly cells: string;
  /** `name@version` of a pure function: result → [key, delta][]. */
  readonly entries: string;
  /** `name@version` of a pure function: (cell | null, delta) → cell. */
  readonly fold: string;
}

interface OperationBase {
  /** Unique within the program; what people see in errors and in `flow show`. */
  readonly name: string;
  /** Slots that must be written before the operation is ready, in argument order. A `race` needs only one of them. */
  readonly inputs: readonly number[];
  /** Slots that it writes when done, in order. */
  readonly outputs: readonly number[];
  /** Slot that takes the failure as a value instead of failing the execution, or null. */
  readonly onError: number | null;
}

export type Operation = Readonly<
  | (OperationBase & { kind: "constant"; value: Value })
  /** `fn` called with the inputs as positional arguments; one output. Runs inside the turn. */
  | (OperationBase & { kind: "pure"; fn: string })
  /** `fn` called outside with (input, context); at most one input, one output. */
  | (OperationBase & { kind: "host"; fn: string; deadlineNs: number | "never" })
  /** No inputs; the output is a selection, resolved anew at the gate for every call and attempt. */
  | (OperationBase & { kind: "select"; group: string })
  /** Inserted by the compiler. Input 0: the selection; outputs 0: the permit (the chosen peer) that its send or call consumes. */
  | (OperationBase & { kind: "gate" })
  /** Input 0: the selection, input 1 (after the gate pass): the permit, then one input a port of `ports`. One output: null, when queued. */
  | (OperationBase & { kind: "send"; flow: string; ports: readonly string[]; chain: Chain | null; deadlineNs: number | "never" })
  /** Inputs as for send. One output for each of `results`. */
  | (OperationBase & {
      kind: "call";
      flow: string;
      ports: readonly string[];
      results: readonly string[];
      chain: Chain | null;
      deadlineNs: number | "never";
      /** Attempts in all, on different peers of a selection; 1 = none beyond the first. */
      attempts: number;
      /** Left out: a second peer may be asked where the first is slow and the flow is repeatable. */
      hedge?: "never";
    })
  /** Input 0: a list, further inputs: values that every child gets at its remaining ports. One child execution of `program` an item. */
  | (OperationBase & {
      kind: "map";
      program: ProgramHash;
      /** The child's port that takes the item, then those that take the further inputs. */
      ports: readonly string[];
      concurrency: number;
      /** `fail`: the first failed item fails the operation. `collect`: the output lists {ok} | {failed}. */
      onItemFailure: "fail" | "collect";
      /** Folds in place of the list of results; the output is then the number of items folded in. */
      into: readonly Fold[];
    })
  /** Inputs: key (a string), then arguments. Calls `fn(cell | null, ...arguments)` and stores what it returns; also the output. */
  | (OperationBase & { kind: "update"; cells: string; fn: string })
  /** `by: key`: input 0 a key, output the value or null. `by: range`: input 0 {after?: string, limit?: number}, output [key, value][] in key order. */
  | (OperationBase & { kind: "read"; cells: string; by: "key" | "range" })
  /** Waits for the named event of this execution; the output is its value. Inputs only order it. */
  | (OperationBase & { kind: "wait"; event: string; schema: string | null; deadlineNs: number | "never" })
  /** Input 0, if any: the duration in ms, else `durationNs`. Output: null. */
  | (OperationBase & { kind: "sleep"; durationNs: number })
  /** Output: the wall time in ms since 1970. Inputs only order it. */
  | (OperationBase & { kind: "clock" })
  /** Output: the first input to be written; the others are cancelled if nothing else needs them. */
  | (OperationBase & { kind: "race" })
  /** Hands input 0 to the application under `port`, at least once. Output: null. */
  | (OperationBase & { kind: "output"; port: string })
>;

export type OperationKind = Operation["kind"];

/** What a `select` writes, and what a `peer` constant is: whom to ask. Resolved by the engine at the gate. */
export type Selection = { readonly group: string } | { readonly peer: string };
