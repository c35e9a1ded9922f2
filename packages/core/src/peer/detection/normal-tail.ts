import { log10 } from "../../base/logarithm.ts";
import { NS_MAX, NS_PER_MS } from "../../base/time.ts";
import { decay } from "../decay.ts";
import { readList, readObject } from "../read-quantity.ts";
import { RuntimeError } from "../../base/errors.ts";

const LOG10_E = 0.43429448190325182765;
const LN_10 = 2.302585092994046;
/** ln √(2π) */
const LN_SQRT_2PI = 0.91893853320467274178;
const SQRT_2PI = 2.50662827463100050242;
const PHI_MAX = 300;
/** Above it the continued fraction, below it the series. */
const FAR = 2.5;
const FRACTION_STEPS = 60;
const SERIES_TERMS = 40;

export interface NormalTailOptions {
  /** The deviation counts as at least this, in ns: arrivals that never strayed teach no impatience. Default 100 ms. */
  readonly deviationMinNs: number;
  /** A pause of the sender that is no reason for suspicion, in ns. Default 0. */
  readonly acceptablePauseNs: number;
}

export const NORMAL_TAIL: NormalTailOptions = { deviationMinNs: 100 * NS_PER_MS, acceptablePauseNs: 0 };

/** Mean and variance of the delay in ns and ns², the weight of the samples, and that of beats that were missed. */
export interface NormalData {
  readonly moments: readonly number[];
}

/**
 * NormalTail takes delays to be normally distributed, and beats to be lost independently: a stay of x while the sender
 * is well means that for some j the next j beats were lost (with the learned p each) and the one after is late:
 *
 *     φ(x) = min over j of  −j · log10 p + φ_normal((x − j · interval − mean − pause) ÷ deviation)
 *
 * Source: the normal model and the minimum deviation are those of Hayashibara et al. (SRDS 2004) as used in practice;
 * the sum over lost beats is ours. φ_normal is −log10 of the upper tail, by its continued fraction where that is small
 * (Abramowitz and Stegun 26.2.14) and by its series where it is not (26.2.10), so that φ is finite and grows to 300.
 */
export class NormalTail {
  readonly #memory: number;
  readonly #options: NormalTailOptions;
  #mean = 0;
  #variance = 0;
  #samples = 0;
  #missed = 0;

  constructor(memory: number, options: Partial<NormalTailOptions> = {}) {
    this.#memory = memory;
    this.#options = { ...NORMAL_TAIL, ...options };
  }

  get samples(): number {
    return this.#samples;
  }

  record(excessNs: number, intervalNs: number): void {
    const missed = Math.floor(excessNs / intervalNs);
    const delay = excessNs - missed * intervalNs;
    const kept = 1 - 1 / this.#memory;
    this.#samples = this.#samples * kept + 1;
    const share = 1 / this.#samples; // the first counts whole
    const stray = delay - this.#mean;
    this.#mean += stray * share;
    this.#variance += (stray * (delay - this.#mean) - this.#variance) * share;
    this.#missed = this.#missed * kept + missed;
  }

  phi(excessNs: number, intervalNs: number): number {
    const lossPhi = this.#lossPhi;
    const late = this.#mean + this.#options.acceptablePauseNs;
    const deviation = this.#deviation;
    let least = PHI_MAX;
    for (let lost = 0; lost * lossPhi < least; lost++) {
      const phi = lost * lossPhi + normalPhi((excessNs - lost * intervalNs - late) / deviation);
      if (phi < least) least = phi;
    }
    return least;
  }

  excessAt(phi: number, intervalNs: number): number {
    const lossPhi = this.#lossPhi;
    const late = this.#mean + this.#options.acceptablePauseNs;
    let longest = 0;
    for (let lost = 0; lost * lossPhi <= phi; lost++) {
      longest = Math.max(longest, lost * intervalNs + late + this.#deviation * deviationsAt(phi - lost * lossPhi));
    }
    return Math.min(Math.ceil(longest), NS_MAX);
  }

  /** `excessAt` for several φ at once, which stand in a row, into as many cells. */
  excessesAt(cells: Float64Array, phis: number, excesses: number, count: number, intervalNs: number): void {
    for (let at = 0; at < count; at++) cells[excesses + at] = this.excessAt(cells[phis + at] as number, intervalNs);
  }

  capture(): NormalData {
    return { moments: [this.#mean, this.#variance, this.#samples, this.#missed] };
  }

  /** Throws SNAPSHOT_INVALID. */
  restore(data: NormalData): void {
    const moments = readList("detector", "moments", readObject("detector", data).moments);
    if (moments.length !== 4 || !moments.every((moment) => typeof moment === "number" && moment >= 0 && moment < Infinity)) {
      throw new RuntimeError("SNAPSHOT_INVALID", { part: "detector", field: "moments" });
    }
    [this.#mean, this.#variance, this.#samples, this.#missed] = moments as [number, number, number, number];
  }

  get #deviation(): number {
    return Math.max(Math.sqrt(this.#variance), this.#options.deviationMinNs);
  }

  /** −log10 of the share of beats that are lost, with one more lost than were seen (Laplace). */
  get #lossPhi(): number {
    return -log10((this.#missed + 1) / (this.#samples + this.#missed + 2));
  }
}

/** −log10 of the probability that a standard normal variable exceeds `deviations`. */
export function normalPhi(deviations: number): number {
  if (deviations > FAR) {
    let fraction = deviations;
    for (let step = FRACTION_STEPS; step >= 1; step--) fraction = deviations + step / fraction;
    return Math.min(PHI_MAX, ((deviations * deviations) / 2 + LN_SQRT_2PI) * LOG10_E + log10(fraction));
  }
  if (deviations < -8) return 0;
  let term = deviations;
  let sum = term;
  for (let at = 1; at <= SERIES_TERMS && deviations > -FAR; at++) {
    term *= (deviations * deviations) / (2 * at + 1);
    sum += term;
  }
  if (deviations <= -FAR) return -log10(1 - decay(normalPhi(-deviations) * LN_10, 1));
  return -log10(0.5 - (sum * decay((deviations * deviations) / 2, 1)) / SQRT_2PI);
}

/** The deviations at which `normalPhi` reaches this, by halving; at least −8. */
function deviationsAt(phi: number): number {
  let low = -8;
  let high = 40;
  for (let step = 0; step < 50; step++) {
    const middle = (low + high) / 2;
    if (normalPhi(middle) < phi) low = middle;
    else high = middle;
  }
  return high;
}
