import { assert } from "../base/assert.ts";
import { StoredValue } from "../base/stored-value.ts";
import type { Value } from "../base/value.ts";
import type { ExecutionId } from "../base/ids.ts";
import type { Operation } from "../flow/program.ts";
import type { Failure } from "../flow/definitions.ts";
import type { Command } from "./command.ts";
import type { Outcome } from "./engine-events.ts";
import type { EngineState } from "./engine-state.ts";
import type { Execution, MapProgress } from "./execution.ts";
import { STATUS } from "./execution.ts";
import type { Executor } from "./executor.ts";
import { badInput } from "./failures.ts";
import { failureValue } from "./finished-executions.ts";
import { foldInto } from "./fold.ts";
import { callPure } from "./pure-call.ts";

export type MapOperation = Extract<Operation, { kind: "map" }>;

/**
 * Runs `map` operations: one child execution an item, at most `concurrency` at a time, in the order of the items. What
 * a child gives is listed, or folded into cells in the turn that takes it.
 */
export class MapRunner {
  readonly #state: EngineState;
  readonly #executor: Executor;
  /** Maps that could not start all the children they may, because a table was full. */
  readonly #stalled = new Map<Execution, Set<number>>();

  constructor(state: EngineState, executor: Executor) {
    this.#state = state;
    this.#executor = executor;
  }

  begin(execution: Execution, index: number, operation: MapOperation): void {
    if (!Array.isArray(execution.valueAt(operation.inputs[0] as number))) return this.#executor.fail(execution, index, badInput("a list"));
    const progress: MapProgress = { next: 0, settled: 0, failed: 0, folded: 0, inFlight: new Map(), results: new Map(), unstored: new Set(), filling: false };
    execution.maps.set(index, progress);
    execution.status[index] = STATUS.parked;
    this.#fill(execution, index, operation, progress);
  }

  #fill(execution: Execution, index: number, operation: MapOperation, progress: MapProgress): void {
    const state = this.#state;
    const items = execution.valueAt(operation.inputs[0] as number) as readonly Value[];
    const program = state.programByAddress(operation.program);
    assert(program !== undefined, "a map's program is stored with its parent's");
    const rest = operation.inputs.slice(1).map((slot) => execution.valueAt(slot));
    if (progress.filling) return; // a child ended as it started: the loop below goes on
    progress.filling = true;
    while (progress.inFlight.size < operation.concurrency && progress.next < items.length) {
      if (state.executionsFull || state.commandsFull) {
        const stalled = this.#stalled.get(execution) ?? new Set();
        this.#stalled.set(execution, stalled.add(index));
        break;
      }
      const item = progress.next++;
      const id = `#${state.nextExecution++}` as ExecutionId;
      const command = state.newCommand("child", execution, index, "never", [id, item]);
      progress.inFlight.set(command.id, item);
      const given = [items[item] as Value, ...rest];
      const values = program.program.inputs.map((port) => given[operation.ports.indexOf(port.name)] as Value);
      this.#executor.start(program, { kind: "parent", command: command.id }, values, {
        id, workKey: `${execution.workKey}.${operation.name}.${item}`, chain: execution.chain, deadlineAt: execution.deadlineAt,
      });
      if (execution.maps.get(index) !== progress) return; // it failed the map
    }
    progress.filling = false;
    this.#executor.touch(execution);
    if (progress.settled < items.length || execution.ended) return;
    const listed = operation.into.length > 0 ? progress.folded : items.map((_, item) => (progress.results.get(item) as StoredValue).value);
    this.#executor.complete(execution, index, [listed]);
  }

  childEnded(command: Command, outcome: Outcome): void {
    const state = this.#state;
    const execution = state.executions.get(command.execution);
    const progress = execution?.maps.get(command.operation);
    state.removeCommand(command);
    if (execution === undefined || progress === undefined) return;
    const operation = execution.program.operations[command.operation] as MapOperation;
    const item = progress.inFlight.get(command.id) as number;
    progress.inFlight.delete(command.id);
    progress.settled++;
    const failure = outcome.ok ? this.#takeResult(operation, progress, item, outcome.value) : outcome.failure;
    if (failure !== undefined) {
      progress.failed++;
      if (operation.onItemFailure === "fail") return this.#executor.fail(execution, command.operation, failure);
      if (operation.into.length === 0) this.#keepResult(progress, item, { failed: failureValue(failure) });
    }
    this.#fill(execution, command.operation, operation, progress);
  }

  #keepResult(progress: MapProgress, item: number, value: Value): void {
    progress.results.set(item, StoredValue.of(value));
    progress.unstored.add(item);
  }

  #takeResult(operation: MapOperation, progress: MapProgress, item: number, value: Value): Failure | undefined {
    if (operation.into.length === 0) {
      this.#keepResult(progress, item, operation.onItemFailure === "collect" ? { ok: value } : value);
      return undefined;
    }
    const failure = foldInto(this.#state, operation.into, value, (name, args) => callPure(this.#state.definitions, name, args));
    if (failure === undefined) progress.folded++;
    return failure;
  }

  /** Maps that a full table stopped look again. True if there were any. */
  fillStalled(): boolean {
    if (this.#stalled.size === 0) return false;
    const stalled = [...this.#stalled];
    this.#stalled.clear();
    for (const [execution, operations] of stalled) {
      for (const index of operations) {
        const progress = execution.maps.get(index);
        if (execution.ended || progress === undefined) continue;
        this.#fill(execution, index, execution.program.operations[index] as MapOperation, progress);
      }
    }
    return true;
  }

  /** After a restart: a map that a full table stopped goes on with the next turn. */
  resume(execution: Execution): void {
    if (execution.hasMaps) this.#stalled.set(execution, new Set(execution.maps.keys()));
  }

  dropChildren(execution: Execution, index: number): void {
    const progress = execution.maps.get(index);
    if (progress === undefined) return;
    execution.maps.delete(index);
    for (const id of progress.inFlight.keys()) {
      const command = this.#state.commands.get(id);
      if (command === undefined) continue;
      const child = this.#state.executions.get((command.subject as readonly Value[])[0] as ExecutionId);
      this.#state.removeCommand(command);
      if (child !== undefined) this.#executor.discard(child);
    }
  }

  /** The execution has ended. */
  forget(execution: Execution): void {
    this.#stalled.delete(execution);
  }
}
