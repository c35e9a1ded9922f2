import { assert } from "../base/assert.ts";

/**
 * Rows of the first two slabs; each further one has as many as all before it, up to the largest. Few slabs, so that they are
 * found without waiting for memory, and a node with few peers pays for few rows.
 */
const FIRST_BITS = 5;
const LARGEST_BITS = 10;
/** Slabs before the first of the largest. */
const GROWING = LARGEST_BITS - FIRST_BITS + 1;

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

  /** Rows that are lent. */
  get taken(): number {
    return this.#lent - this.#free.length;
  }

  /** The row's number. */
  take(): number {
    const row = this.#free.pop() ?? this.#lent++;
    const slab = slabOf(row);
    if (slab === this.#slabs.length) {
      const cells = new Float64Array(this.#width * rowsOf(slab));
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
    return (row & (rowsOf(slabOf(row)) - 1)) * this.#width;
  }

  cells(row: number): Float64Array {
    return (this.#slabs[slabOf(row)] as Slab).cells;
  }

  words(row: number): Uint16Array {
    return (this.#slabs[slabOf(row)] as Slab).words;
  }
}

function slabOf(row: number): number {
  if (row < 1 << LARGEST_BITS) return Math.max(0, 32 - FIRST_BITS - Math.clz32(row));
  return GROWING + (row >> LARGEST_BITS) - 1;
}

function rowsOf(slab: number): number {
  return 1 << Math.min(LARGEST_BITS, FIRST_BITS + Math.max(0, slab - 1));
}
