import { assert } from "../../base/assert.ts";
import { addNs } from "../../base/time.ts";
import { isQuantity, powerOfTwo } from "../quantity.ts";
import { readObject, readQuantity } from "../read-quantity.ts";
import { ALPHA, BETA, discountAt, imputeAt, learnAt, relearnAt } from "./ema-cells.ts";
import { COUNT, EMA_CELLS, EMA_UPDATED_AT, RTTVAR, SRTT } from "./site-layout.ts";

/** Samples after which an estimate answers for itself (spec/peers.md §3.1). */
export const WARM_SAMPLES = 3;

/** One estimate as plain data. All whole numbers. */
export interface EmaState {
  readonly srttNs: number;
  readonly rttvarNs: number;
  readonly sampleCount: number;
}

/**
 * RttEma is one smoothed round-trip estimate: the mean, and how far samples stray from it.
 *
 * Source: RFC 6298 §2 with α = 1/8 and β = 1/4, in whole numbers; each term is floored by itself. Weights are
 * powers of two, and no bit shifts, since the values exceed what those hold. Invariant E1: all three fields are quantities; sums saturate.
 */
export class RttEma {
  /** Where its numbers are. */
  cells: Float64Array;
  at: number;

  /** Over numbers of its own, or over four of somebody's. */
  constructor(cells: Float64Array = new Float64Array(EMA_CELLS), at = 0) {
    this.cells = cells;
    this.at = at;
  }

  /** Looks at other numbers from now on: one view serves many estimates. */
  over(cells: Float64Array, at: number): this {
    this.cells = cells;
    this.at = at;
    return this;
  }

  /** Throws SNAPSHOT_INVALID. */
  static restore(state: EmaState): RttEma {
    return new RttEma().set(state);
  }

  /** Takes a stored state over. Throws SNAPSHOT_INVALID. */
  set(state: EmaState): this {
    const { srttNs, rttvarNs, sampleCount } = readObject("rtt", state);
    this.cells[this.at + SRTT] = readQuantity("rtt", "srttNs", srttNs);
    this.cells[this.at + RTTVAR] = readQuantity("rtt", "rttvarNs", rttvarNs);
    this.cells[this.at + COUNT] = readQuantity("rtt", "sampleCount", sampleCount);
    return this;
  }

  get srttNs(): number {
    return this.cells[this.at + SRTT] as number;
  }

  get rttvarNs(): number {
    return this.cells[this.at + RTTVAR] as number;
  }

  get sampleCount(): number {
    return this.cells[this.at + COUNT] as number;
  }

  /** Awake time of the last sample; 0 = not known, and then it does not age. No part of the state. */
  get updatedAt(): number {
    return this.cells[this.at + EMA_UPDATED_AT] as number;
  }

  set updatedAt(now: number) {
    this.cells[this.at + EMA_UPDATED_AT] = now;
  }

  get isWarm(): boolean {
    return this.sampleCount >= WARM_SAMPLES;
  }

  observe(sampleNs: number): void {
    assert(isQuantity(sampleNs), "a sample is a quantity");
    this.learn(sampleNs);
  }

  /** Weighs the sample with 2^−alphaShift in the mean and 2^−betaShift in the deviation; shifts are 0 … 63. */
  observeWithShifts(sampleNs: number, alphaShift: number, betaShift: number): void {
    assert(isQuantity(sampleNs), "a sample is a quantity");
    this.learn(sampleNs, 1 / powerOfTwo(alphaShift), 1 / powerOfTwo(betaShift));
  }

  /** As `observe`, of a sample that was checked. The weights are powers of two. */
  learn(sampleNs: number, alpha = ALPHA, beta = BETA): void {
    learnAt(this.cells, this.at, sampleNs, alpha, beta);
  }

  /**
   * Takes a sample of which only a lower bound was seen, at what it is reckoned to be and with a share of a sample's
   * weight, 0 … 1. It is not counted.
   */
  observeImputed(sampleNs: number, share: number): void {
    assert(isQuantity(sampleNs), "a sample is a quantity");
    imputeAt(this.cells, this.at, sampleNs, share);
  }

  /** Begins again at this sample, as it would with a first one, but counts for no less than it did. */
  relearn(sampleNs: number): void {
    assert(isQuantity(sampleNs), "a sample is a quantity");
    relearnAt(this.cells, this.at, sampleNs);
  }

  /** Makes the estimate count for `samples` at most. */
  discount(samples: number): void {
    discountAt(this.cells, this.at, samples);
  }

  /**
   * How long to wait for an answer, in ns: mean + 4 × deviation. `minDeviationNs` keeps an estimate that never
   * strayed from taking the first hiccup for a timeout.
   */
  budgetNs(minDeviationNs = 0): number {
    return addNs(this.srttNs, 4 * Math.max(this.rttvarNs, minDeviationNs));
  }

  state(): EmaState {
    return { srttNs: this.srttNs, rttvarNs: this.rttvarNs, sampleCount: this.sampleCount };
  }
}
