import { assert } from "../../base/assert.ts";
import { RuntimeError } from "../../base/errors.ts";
import { log10 } from "../../base/logarithm.ts";
import { NS_PER_MS, NS_MAX } from "../../base/time.ts";
import { isQuantity, powerOfTwo } from "../quantity.ts";
import { readList, readObject } from "../read-quantity.ts";

/** One bucket more than edges: the first holds what lies below the lowest edge. Half an octave each, 4 ms … 185 s. */
const EDGES: readonly number[] = Array.from({ length: 32 }, (_, at) => Math.round(4 * NS_PER_MS * powerOfTwo(at >> 1) * (at % 2 === 0 ? 1 : Math.SQRT2)));

/** Where a bucket's values are taken to lie: at the geometric mean of its edges. */
const CENTRES: readonly number[] = [0, ...EDGES.map((edge) => Math.round(edge * Math.sqrt(Math.SQRT2)))];

const LN_10 = 2.302585092994046;

/** φ beyond which nothing is told apart: 10^−300 is about the least positive number there is. */
const PHI_MAX = 300;

/** Weights grow with each sample instead of all counts shrinking; at this size they are brought down together. */
const WEIGHT_MAX = 2 ** 40;

/** All of a tail, as plain data: how much weight each bucket has, the newest sample weighing 1. */
export interface TailData {
  readonly counts: readonly number[];
}

/** Numbers that a tail takes, and which is which. The weight is that of the next sample, the total that of all that were. */
export const LEARNED_CELLS = CENTRES.length + 2;
const WEIGHT = 0;
const TOTAL = 1;
const COUNTS = 2;

/**
 * The lines of the tail that was drawn last that are the lowest somewhere: φ = height + stay · slope, the steepest first.
 * Drawing them again gives the same ones, so one tail's suffice: they are asked for right after a sample, and seldom else.
 */
const heights = new Float64Array(CENTRES.length);
const slopes = new Float64Array(CENTRES.length);
let lines = 0;
/** Whose they are: of the tail at this place. Forgotten with every sample. */
let drawnCells: Float64Array | undefined;
let drawnAt = 0;

/**
 * LearnedTail learns how long arrivals stay out beyond their time while the sender is well, and says how improbable a
 * longer stay is: φ = −log10 P(stay > x).
 *
 * Samples are counted in buckets, older ones for less. For each bucket edge u that something exceeded, the stays
 * beyond it are taken to be exponential with their own mean, which makes a straight line in φ; φ is the lowest of all
 * lines: P is at least what any of them says. So jitter makes a steep line, a link that loses packets in bursts a
 * flat one that begins higher, and neither needs to be known beforehand. Source: the mean excess over a threshold is
 * that of peaks-over-threshold statistics (Davison and Smith, "Models for Exceedances over High Thresholds", 1990);
 * the rest follows from taking the least.
 *
 * What never happened may happen: by Laplace's rule of succession one further sample of mean `priorNs` is always
 * there, so that n samples promise no more than 1/n.
 *
 * Invariants:
 *   L1. φ is finite, never negative, and never falls as the stay grows, up to 300.
 *   L2. `excessAt` inverts `phi`: φ at its answer is what was asked for, to rounding.
 *   L3. Constant memory; `record`, `phi` and `excessesAt` allocate nothing.
 */
export class LearnedTail {
  readonly #memory: number;
  readonly #priorNs: number;
  readonly #cells: Float64Array;
  readonly #at: number;

  /**
   * `memory`: samples until an old one weighs 1/e. `priorNs`: how long a stay lasts of which nothing is known. Over numbers of
   * its own, or over `LEARNED_CELLS` zeros of somebody's.
   */
  constructor(memory: number, priorNs: number, cells: Float64Array = new Float64Array(LEARNED_CELLS), at = 0) {
    this.#memory = memory;
    this.#priorNs = priorNs;
    this.#cells = cells;
    this.#at = at;
    cells[at + WEIGHT] = 1;
    drawnCells = undefined; // perhaps another's who had the same place
  }

  /** The samples' weight in samples: all of them at first, at most `memory`. */
  get samples(): number {
    return (this.#cells[this.#at + TOTAL] as number) / (this.#cells[this.#at + WEIGHT] as number);
  }

  /** A sender that was well kept us waiting this long beyond its time, in ns. */
  record(excessNs: number): void {
    assert(isQuantity(excessNs), "a stay is a quantity");
    const cells = this.#cells;
    const at = this.#at;
    cells[at + WEIGHT] = (cells[at + WEIGHT] as number) * (1 + 1 / this.#memory);
    if ((cells[at + WEIGHT] as number) > WEIGHT_MAX) this.#rescale();
    const weight = cells[at + WEIGHT] as number;
    const bucket = at + COUNTS + bucketOf(excessNs);
    cells[bucket] = (cells[bucket] as number) + weight;
    cells[at + TOTAL] = (cells[at + TOTAL] as number) + weight;
    drawnCells = undefined;
  }

  /** −log10 of the probability that a stay lasts longer than this, in ns. */
  phi(excessNs: number): number {
    if (drawnCells !== this.#cells || drawnAt !== this.#at) this.#draw();
    let least = PHI_MAX;
    for (let line = 0; line < lines; line++) {
      const phi = (heights[line] as number) + excessNs * (slopes[line] as number);
      if (phi < least) least = phi;
    }
    return least > 0 ? least : 0; // L1
  }

  /** The stay, in ns, at which φ reaches this. */
  excessAt(phi: number): number {
    const numbers = Float64Array.of(phi, 0);
    this.excessesAt(numbers, 0, 1, 1);
    return numbers[1] as number;
  }

  /** The same for `count` numbers from `phis` on, to where `excesses` begin: numbers that stay in arrays make no garbage. */
  excessesAt(numbers: Float64Array, phis: number, excesses: number, count: number): void {
    if (drawnCells !== this.#cells || drawnAt !== this.#at) this.#draw();
    for (let which = 0; which < count; which++) {
      const phi = numbers[phis + which] as number;
      let longest = 0;
      for (let line = 0; line < lines; line++) {
        const excess = (phi - (heights[line] as number)) / (slopes[line] as number);
        if (excess > longest) longest = excess;
      }
      numbers[excesses + which] = Math.min(Math.ceil(longest), NS_MAX); // L2
    }
  }

  capture(): TailData {
    const weight = this.#cells[this.#at + WEIGHT] as number;
    return { counts: Array.from(this.#counts, (count) => count / weight) };
  }

  /** Throws SNAPSHOT_INVALID. */
  restore(data: TailData): void {
    const counts = readList("detector", "counts", readObject("detector", data).counts);
    const isCount = (count: unknown) => typeof count === "number" && count >= 0 && count <= this.#memory + 1;
    if (counts.length !== CENTRES.length || !counts.every(isCount)) throw new RuntimeError("SNAPSHOT_INVALID", { part: "detector", field: "counts" });
    this.#counts.set(counts);
    this.#cells[this.#at + WEIGHT] = 1;
    this.#cells[this.#at + TOTAL] = counts.reduce((sum, count) => sum + count, 0);
    drawnCells = undefined;
  }

  get #counts(): Float64Array {
    return this.#cells.subarray(this.#at + COUNTS, this.#at + LEARNED_CELLS);
  }

  #rescale(): void {
    const cells = this.#cells;
    const weight = cells[this.#at + WEIGHT] as number;
    for (let at = this.#at; at < this.#at + LEARNED_CELLS; at++) cells[at] = (cells[at] as number) / weight;
  }

  /** Draws the lines anew, from the longest stay down: each edge's from what lies beyond it. */
  #draw(): void {
    const cells = this.#cells;
    drawnCells = cells;
    drawnAt = this.#at;
    const one = cells[this.#at + WEIGHT] as number;
    const all = (cells[this.#at + TOTAL] as number) + one;
    heights[0] = log10(all / one);
    slopes[0] = 1 / (this.#priorNs * LN_10);
    let count = 1;
    let beyond = 0;
    let sum = 0;
    for (let at = EDGES.length - 1; at >= 0; at--) {
      const weight = cells[this.#at + COUNTS + at + 1] as number;
      if (weight === 0) continue;
      beyond += weight;
      sum += weight * (CENTRES[at + 1] as number);
      const edge = EDGES[at] as number;
      // Few stays beyond the edge say little of how long such stays get: one more, as long as the edge, is added.
      const mean = (sum - beyond * edge + one * edge) / (beyond + one);
      const slope = 1 / (mean * LN_10);
      heights[count] = log10(all / beyond) - edge * slope;
      slopes[count++] = slope;
    }
    lines = count;
  }
}

/** The last bucket whose edge the stay reaches. */
function bucketOf(excessNs: number): number {
  let low = 0;
  let high = EDGES.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (excessNs >= (EDGES[middle] as number)) low = middle + 1;
    else high = middle;
  }
  return low;
}
