import { encodeValue } from "../base/value-codec.ts";
import { ROW } from "./rows.ts";
import { STATUS, type Execution } from "./execution.ts";
import type { Row } from "./journal.ts";

/** A frontier that never empties gives its used part back when it is this long, and half of all. */
const COMPACT_MIN = 4096;

/** Operations that have all their inputs, first in, first out. What a turn leaves over waits here, durably, for the next. */
export class Frontier implements Row {
  readonly key = ROW.frontier;
  removed = false;
  persisted = false;
  #executions: Execution[] = [];
  #operations: number[] = [];
  #head = 0;

  get size(): number {
    return this.#executions.length - this.#head;
  }

  push(execution: Execution, operation: number): void {
    this.#executions.push(execution);
    this.#operations.push(operation);
  }

  /** Takes the oldest entry: `visit` gets it. False when there is none. */
  shift(visit: (execution: Execution, operation: number) => void): boolean {
    if (this.#head === this.#executions.length) {
      this.#executions.length = 0;
      this.#operations.length = 0;
      this.#head = 0;
      return false;
    }
    if (this.#head >= COMPACT_MIN && this.#head * 2 >= this.#executions.length) {
      this.#executions.splice(0, this.#head);
      this.#operations.splice(0, this.#head);
      this.#head = 0;
    }
    const at = this.#head++;
    visit(this.#executions[at] as Execution, this.#operations[at] as number);
    return true;
  }

  encode(): Uint8Array {
    const entries: [string, number][] = [];
    for (let at = this.#head; at < this.#executions.length; at++) {
      const execution = this.#executions[at] as Execution;
      const operation = this.#operations[at] as number;
      // A race may have cancelled it since it was queued.
      if (!execution.ended && execution.status[operation] === STATUS.ready) entries.push([execution.id, operation]);
    }
    return encodeValue([entries]);
  }
}
