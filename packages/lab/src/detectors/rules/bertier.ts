import { ExpectedArrival } from "./expected-arrival.ts";
import type { Rule } from "./rule.ts";
import { SETTINGS } from "./settings.ts";

const { window, periodNs, gamma, beta, phi } = SETTINGS.bertier;

/**
 * Bertier, Marin, Sens, "Implementation and Performance Evaluation of an Adaptable Failure Detector" (DSN 2002): Chen's
 * expected arrival, and a margin learned as TCP learns its timeout (Jacobson), γ 0.1, β 1, φ 4. Its basic layer,
 * without the moderation that its upper layer adds for the application. The first delay is half a period, as in the
 * implementation for ZooKeeper (ZOOKEEPER-702).
 */
export class Bertier implements Rule {
  readonly #expected = new ExpectedArrival(window, periodNs);
  #delay = periodNs / 2;
  #variation = 0;
  #suspectsAt = Infinity;

  beat(now: number, sequence: number): void {
    if (this.#expected.isKnown) {
      const error = now - this.#expected.of(sequence) - this.#delay;
      this.#delay += gamma * error;
      this.#variation += gamma * (Math.abs(error) - this.#variation);
    }
    this.#expected.observe(now, sequence);
    this.#suspectsAt = this.#expected.of(sequence + 1) + beta * this.#delay + phi * this.#variation;
  }

  suspectsAt(): number {
    return this.#suspectsAt;
  }
}
