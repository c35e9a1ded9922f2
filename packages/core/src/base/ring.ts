import { assert } from "./assert.ts";

/**
 * Ring keeps the newest `capacity` values. It grows as it fills, so that a large capacity costs nothing before it is
 * used; once full, a push is one store.
 *
 * Invariants:
 *   R1. At most `capacity` values are held.
 *   R2. Until the ring is full its oldest value stands at index 0.
 */
export class Ring<T> {
  readonly capacity: number;
  #values: T[] = [];
  #oldest = 0;

  constructor(capacity: number) {
    assert(Number.isInteger(capacity) && capacity >= 1, "a ring holds at least one value");
    this.capacity = capacity;
  }

  get size(): number {
    return this.#values.length;
  }

  /** Returns the value that had to go, if any. */
  push(value: T): T | undefined {
    if (this.#values.length < this.capacity) {
      this.#values.push(value); // R1, R2
      // It grew by halves; full, it gives back what it does not need.
      if (this.#values.length === this.capacity) this.#values = this.#values.slice();
      return undefined;
    }
    const evicted = this.#values[this.#oldest];
    this.#values[this.#oldest] = value;
    this.#oldest = this.#oldest + 1 === this.capacity ? 0 : this.#oldest + 1;
    return evicted;
  }

  /** A copy, oldest first. */
  toArray(): T[] {
    return [...this.#values.slice(this.#oldest), ...this.#values.slice(0, this.#oldest)];
  }
}
