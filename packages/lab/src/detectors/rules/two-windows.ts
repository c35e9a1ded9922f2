import { ExpectedArrival } from "./expected-arrival.ts";
import type { Rule } from "./rule.ts";
import { SETTINGS } from "./settings.ts";

const { short, long, periodNs, marginNs } = SETTINGS.twoWindows;

/**
 * Tomsic et al., "2W-FD: A Failure Detector Algorithm with QoS" (IPDPS 2015): Chen's expected arrival from a short
 * window and from a long one, the later of the two, plus a constant margin. Windows 1 and 1000 as in its evaluation
 * (from memory: the paper's text was out of reach); the margin is a parameter, and here Chen's, to compare the windows.
 */
export class TwoWindows implements Rule {
  readonly #short = new ExpectedArrival(short, periodNs);
  readonly #long = new ExpectedArrival(long, periodNs);
  #suspectsAt = Infinity;

  beat(now: number, sequence: number): void {
    this.#short.observe(now, sequence);
    this.#long.observe(now, sequence);
    this.#suspectsAt = Math.max(this.#short.of(sequence + 1), this.#long.of(sequence + 1)) + marginNs;
  }

  suspectsAt(): number {
    return this.#suspectsAt;
  }
}
