import { assert } from "../base/assert.ts";

/**
 * Rows of the first two slabs; each further one has as many as all before it, up to the largest. Few slabs, so that they are
 * found without waiting for memory, and a node with few peers pays for few rows.
 */
const ROWS_MIN = 32; // 2^5: see `#slab`
const ROWS_MAX = 1024;

/** Rows from `first` on: `width` numbers each; the same bytes are words of 16 bits. */
interface Slab {
  readonly cells: Float64Array;
  readonly words: Uint16Array;
  readonly first: number;
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
  /** The slab of each `ROWS_MIN` rows. */
  readonly #slabs: Slab[] = [];
  readonly #free: number[] = [];
  #lent = 0;

  /** Numbers to a row. */
  constructor(width: number) {
    this.#width = width;
  }

  /** Rows that are lent. */
  get taken(): number {
    return this.#lent - this.#free.length;
  }

  /** The row's number. */
  take(): number {
    const row = this.#free.pop() ?? this.#lent++;
    if (row === this.#slabs.length * ROWS_MIN) {
      const count = Math.min(ROWS_MAX, Math.max(ROWS_MIN, row));
      const cells = new Float64Array(this.#width * count);
      const slab = { cells, words: new Uint16Array(cells.buffer), first: row };
      for (let rows = 0; rows < count; rows += ROWS_MIN) this.#slabs.push(slab);
    }
    return row;
  }

  giveBack(row: number): void {
    assert(row < this.#lent, "the row was lent");
    const at = this.at(row);
    this.cells(row).fill(0, at, at + this.#width); // R1
    this.#free.push(row);
  }

  /** Where the row begins in `cells`, and at four times that in `words`. */
  at(row: number): number {
    return (row - this.#slab(row).first) * this.#width;
  }

  cells(row: number): Float64Array {
    return this.#slab(row).cells;
  }

  words(row: number): Uint16Array {
    return this.#slab(row).words;
  }

  #slab(row: number): Slab {
    return this.#slabs[row >> 5] as Slab;
  }
}
