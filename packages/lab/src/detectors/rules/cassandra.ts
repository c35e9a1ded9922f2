import type { Rule } from "./rule.ts";
import { SETTINGS } from "./settings.ts";
import { Window } from "./window.ts";

const { phi, window, seedNs, longestNs, pauseNs } = SETTINGS.cassandra;

/**
 * Apache Cassandra 4's gms/FailureDetector: exponential φ over 1000 intervals, the first taken to be 2 s, those over
 * 2 s left out; convicts above φ 8. Its guard: a check that comes more than 5 s after the last one convicts nobody,
 * nor does any in the 5 s after that. It checks once a second; here at once, which flatters it by half a second.
 */
export class Cassandra implements Rule {
  readonly #intervals = new Window(window);
  #last = 0;
  #mutedUntil = 0;
  /** Since when it has been down for want of a word, Infinity = it was heard, or is not known. */
  #unheardSince = Infinity;

  beat(now: number): void {
    const interval = this.#last === 0 ? seedNs : now - this.#last;
    if (interval <= longestNs) this.#intervals.push(interval);
    this.#last = now;
  }

  pause(now: number, pausedNs: number): void {
    if (pausedNs > pauseNs) this.#mutedUntil = now + pauseNs;
  }

  /** Members are stored, their intervals are not; one of whom nothing was heard since the start is down (Gossiper.addSavedEndpoint). */
  restart(now: number): void {
    if (this.#last > 0) this.#unheardSince = now;
    this.#intervals.clear();
    this.#last = this.#mutedUntil = 0;
  }

  suspectsAt(): number {
    if (this.#last === 0) return this.#unheardSince;
    return Math.max(this.#last + phi * Math.LN10 * this.#intervals.mean, this.#mutedUntil);
  }
}
