import { assert } from "../base/assert.ts";
import { addNs, NS_MAX } from "../base/time.ts";
import { isQuantity, powerOfTwo, readObject, readQuantity } from "./quantity.ts";

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
 * Source: RFC 6298 §2 with α = 1/8 and β = 1/4, in whole numbers; each term is floored by itself. Divides by powers
 * of two, since the values exceed what bit shifts hold. Invariant E1: all three fields are quantities; sums saturate.
 */
export class RttEma {
  #srttNs = 0;
  #rttvarNs = 0;
  #sampleCount = 0;
  /** Awake time of the last sample; 0 = not known, and then it does not age. No part of the state. */
  updatedAt = 0;

  /** Throws SNAPSHOT_INVALID. */
  static restore(state: EmaState): RttEma {
    const { srttNs, rttvarNs, sampleCount } = readObject("rtt", state);
    const ema = new RttEma();
    ema.#srttNs = readQuantity("rtt", "srttNs", srttNs);
    ema.#rttvarNs = readQuantity("rtt", "rttvarNs", rttvarNs);
    ema.#sampleCount = readQuantity("rtt", "sampleCount", sampleCount);
    return ema;
  }

  get srttNs(): number {
    return this.#srttNs;
  }

  get rttvarNs(): number {
    return this.#rttvarNs;
  }

  get sampleCount(): number {
    return this.#sampleCount;
  }

  get isWarm(): boolean {
    return this.#sampleCount >= WARM_SAMPLES;
  }

  observe(sampleNs: number): void {
    this.observeWithShifts(sampleNs, 3, 2);
  }

  /** Weighs the sample with 2^−alphaShift in the mean and 2^−betaShift in the deviation; shifts are 0 … 63. */
  observeWithShifts(sampleNs: number, alphaShift: number, betaShift: number): void {
    assert(isQuantity(sampleNs), "a sample is a quantity");
    if (this.#sampleCount === 0) {
      this.#srttNs = sampleNs;
      this.#rttvarNs = Math.floor(sampleNs / 2);
    } else {
      // The deviation first: it is taken from the old mean.
      this.#rttvarNs = blend(this.#rttvarNs, Math.abs(this.#srttNs - sampleNs), powerOfTwo(betaShift));
      this.#srttNs = blend(this.#srttNs, sampleNs, powerOfTwo(alphaShift));
    }
    this.#sampleCount = addNs(this.#sampleCount, 1);
  }

  /**
   * Takes a sample of which only a lower bound was seen, at what it is reckoned to be and with a share of a sample's
   * weight, 0 … 1. It is not counted.
   */
  observeImputed(sampleNs: number, share: number): void {
    assert(isQuantity(sampleNs), "a sample is a quantity");
    if (this.#sampleCount === 0) return;
    const error = sampleNs - this.#srttNs;
    const deviationNs = bounded(this.#rttvarNs + ((Math.abs(error) - this.#rttvarNs) * share) / 4);
    if (error < 0 || deviationNs > this.#rttvarNs) this.#rttvarNs = deviationNs; // what came late makes nothing narrower
    this.#srttNs = bounded(this.#srttNs + (error * share) / 8);
  }

  /** Begins again at this sample, as it would with a first one, but counts for no less than it did. */
  relearn(sampleNs: number): void {
    assert(isQuantity(sampleNs), "a sample is a quantity");
    this.#srttNs = sampleNs;
    this.#rttvarNs = Math.floor(sampleNs / 2);
  }

  /** Makes the estimate count for `samples` at most. */
  discount(samples: number): void {
    this.#sampleCount = Math.min(this.#sampleCount, Math.floor(samples));
  }

  /**
   * How long to wait for an answer, in ns: mean + 4 × deviation. `minDeviationNs` keeps an estimate that never
   * strayed from taking the first hiccup for a timeout.
   */
  budgetNs(minDeviationNs = 0): number {
    return addNs(this.#srttNs, 4 * Math.max(this.#rttvarNs, minDeviationNs));
  }

  state(): EmaState {
    return { srttNs: this.#srttNs, rttvarNs: this.#rttvarNs, sampleCount: this.#sampleCount };
  }
}

function blend(old: number, sample: number, divisor: number): number {
  return addNs(old - Math.floor(old / divisor), Math.floor(sample / divisor));
}

/** The whole quantity below. */
function bounded(value: number): number {
  return value < NS_MAX ? Math.floor(value) : NS_MAX;
}
