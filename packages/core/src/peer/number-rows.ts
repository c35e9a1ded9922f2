import { assert } from "../base/assert.ts";

/** Rows to a slab: large enough that its headers weigh nothing, small enough that a node with few peers pays for few. */
const SLAB_ROWS = 32;
const SLAB_BITS = 5;

/** One row: `width` numbers from `at` on; the same bytes are words of 16 bits from `4 · at` on. */
interface Slab {
  readonly cells: Float64Array;
  readonly words: Uint16Array;
}

/**
 * NumberRows lends rows of numbers that lie side by side in few large arrays. What is known of one of many sites is
 * then one run of bytes: an object for each part of it costs several times as much, in memory and in waiting for it.
 *
 * Invariant R1: a row is lent once at a time, and full of zeros when it is. Slabs never move and are never given up, so
 * there are as many rows as were ever lent at once.
 */
export class NumberRows {
  readonly #width: number;
  readonly #slabs: Slab[] = [];
  readonly #free: number[] = [];
  #lent = 0;

  /** Numbers to a row. */
  constructor(width: number) {
    this.#width = width;
  }

  /** The row's number. */
  take(): number {
    const row = this.#free.pop() ?? this.#lent++;
    if (row >> SLAB_BITS === this.#slabs.length) {
      const cells = new Float64Array(this.#width * SLAB_ROWS);
      this.#slabs.push({ cells, words: new Uint16Array(cells.buffer) });
    }
    return row;
  }

  giveBack(row: number): void {
    assert(row < this.#lent, "the row was lent");
    const at = this.at(row);
    this.cells(row).fill(0, at, at + this.#width); // R1
    this.#free.push(row);
  }

  /** Where the row begins in `cells`. */
  at(row: number): number {
    return (row & (SLAB_ROWS - 1)) * this.#width;
  }

  cells(row: number): Float64Array {
    return (this.#slabs[row >> SLAB_BITS] as Slab).cells;
  }

  words(row: number): Uint16Array {
    return (this.#slabs[row >> SLAB_BITS] as Slab).words;
  }
}
