import { assert } from "../base/assert.ts";
import { RuntimeError } from "../base/errors.ts";
import { log10 } from "../base/logarithm.ts";
import { NS_PER_MS, NS_MAX } from "../base/time.ts";
import { isQuantity, powerOfTwo, readList, readObject } from "./quantity.ts";

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
 *   L3. Constant memory; `record` and `phi` allocate nothing.
 */
export class LearnedTail {
  readonly #memory: number;
  readonly #priorNs: number;
  readonly #counts = new Float64Array(CENTRES.length);
  /** Weight of the next sample, and of all that were. */
  #weight = 1;
  #total = 0;
  /** The lines that are the lowest somewhere: φ = height + stay · slope, the steepest first. */
  readonly #heights = new Float64Array(CENTRES.length);
  readonly #slopes = new Float64Array(CENTRES.length);
  #lines = 0;

  /** `memory`: samples until an old one weighs 1/e. `priorNs`: how long a stay lasts of which nothing is known. */
  constructor(memory: number, priorNs: number) {
    this.#memory = memory;
    this.#priorNs = priorNs;
    this.#draw();
  }

  /** The samples' weight in samples: all of them at first, at most `memory`. */
  get samples(): number {
    return this.#total / this.#weight;
  }

  /** A sender that was well kept us waiting this long beyond its time, in ns. */
  record(excessNs: number): void {
    assert(isQuantity(excessNs), "a stay is a quantity");
    this.#weight *= 1 + 1 / this.#memory;
    if (this.#weight > WEIGHT_MAX) this.#rescale();
    const at = bucketOf(excessNs);
    this.#counts[at] = (this.#counts[at] as number) + this.#weight;
    this.#total += this.#weight;
    this.#draw();
  }

  /** −log10 of the probability that a stay lasts longer than this, in ns. */
  phi(excessNs: number): number {
    let least = PHI_MAX;
    for (let at = 0; at < this.#lines; at++) {
      const phi = (this.#heights[at] as number) + excessNs * (this.#slopes[at] as number);
      if (phi < least) least = phi;
    }
    return least > 0 ? least : 0; // L1
  }

  /** The stay, in ns, at which φ reaches this. */
  excessAt(phi: number): number {
    let longest = 0;
    for (let at = 0; at < this.#lines; at++) {
      const excess = (phi - (this.#heights[at] as number)) / (this.#slopes[at] as number);
      if (excess > longest) longest = excess;
    }
    return Math.min(Math.ceil(longest), NS_MAX); // L2
  }

  capture(): TailData {
    return { counts: Array.from(this.#counts, (count) => count / this.#weight) };
  }

  /** Throws SNAPSHOT_INVALID. */
  restore(data: TailData): void {
    const counts = readList("detector", "counts", readObject("detector", data).counts);
    const isCount = (count: unknown) => typeof count === "number" && count >= 0 && count <= this.#memory + 1;
    if (counts.length !== this.#counts.length || !counts.every(isCount)) throw new RuntimeError("SNAPSHOT_INVALID", { part: "detector", field: "counts" });
    this.#weight = 1;
    this.#counts.set(counts);
    this.#total = counts.reduce((sum, count) => sum + count, 0);
    this.#draw();
  }

  #rescale(): void {
    for (let at = 0; at < this.#counts.length; at++) this.#counts[at] = (this.#counts[at] as number) / this.#weight;
    this.#total /= this.#weight;
    this.#weight = 1;
  }

  /** Draws the lines anew, from the longest stay down: each edge's from what lies beyond it. */
  #draw(): void {
    this.#lines = 0;
    const one = this.#weight;
    const all = this.#total + one;
    this.#add(log10(all / one), 0, this.#priorNs);
    let beyond = 0;
    let sum = 0;
    for (let at = EDGES.length - 1; at >= 0; at--) {
      const count = this.#counts[at + 1] as number;
      if (count === 0) continue;
      beyond += count;
      sum += count * (CENTRES[at + 1] as number);
      const edge = EDGES[at] as number;
      // Few stays beyond the edge say little of how long such stays get: one more, as long as the edge, is added.
      const mean = (sum - beyond * edge + one * edge) / (beyond + one);
      this.#add(log10(all / beyond), edge, mean);
    }
  }

  #add(phiAtEdge: number, edge: number, mean: number): void {
    const slope = 1 / (mean * LN_10);
    this.#heights[this.#lines] = phiAtEdge - edge * slope;
    this.#slopes[this.#lines++] = slope;
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
