import type { Rule } from "./rule.ts";
import { SETTINGS } from "./settings.ts";
import { Window } from "./window.ts";

const { phi, window, leastDeviationNs, acceptablePauseNs, firstNs } = SETTINGS.akka;

/**
 * Akka's and Pekko's PhiAccrualFailureDetector with the cluster's settings: normal φ 8 over 1000 intervals, deviation
 * at least 100 ms, 3 s of acceptable pause added to the mean. Two intervals, 1 s ∓ 1/4, are there from the start; the
 * one that ends an unavailability is left out. Its normal tail is a logistic one: φ 8 lies at 4.84 deviations.
 */
export class Akka implements Rule {
  readonly #intervals = new Window(window);
  #last = 0;
  #suspectsAt = Infinity;

  constructor() {
    this.#intervals.push(firstNs - firstNs / 4);
    this.#intervals.push(firstNs + firstNs / 4);
  }

  beat(now: number): void {
    if (this.#last > 0 && now < this.#suspectsAt) this.#intervals.push(now - this.#last);
    this.#last = now;
    const deviation = Math.max(this.#intervals.deviation, leastDeviationNs);
    this.#suspectsAt = now + this.#intervals.mean + acceptablePauseNs + DEVIATIONS * deviation;
  }

  suspectsAt(): number {
    return this.#suspectsAt;
  }
}

/** How many deviations above the mean the published approximation of the tail reaches φ. */
export const DEVIATIONS = deviationsAt(phi);

/** φ = −log10(e / (1 + e)) with e = exp(−y · (1.5976 + 0.070566 · y²)), solved for y by halving. */
function deviationsAt(wantedPhi: number): number {
  let low = 0;
  let high = 20;
  for (let step = 0; step < 60; step++) {
    const y = (low + high) / 2;
    const e = Math.exp(-y * (1.5976 + 0.070566 * y * y));
    if (-Math.log10(e / (1 + e)) < wantedPhi) low = y;
    else high = y;
  }
  return high;
}
