import { NS_PER_MS } from "./clock.ts";
import type { Site } from "./peer-record.ts";

/** Answers before anything is known of the site's slow ones. */
const SAMPLES_MIN = 10;
/** What one answer in twenty raises the delay by, and the others lower it by. */
const UP = 1.2;
const DOWN = UP ** (-1 / 19);
/** What a timer can tell, in ns. */
const DELAY_MIN_NS = NS_PER_MS;

/** Sites that were asked with a learned hedge. */
const delays = new WeakMap<Site, HedgeDelay>();

/**
 * HedgeDelay learns how long a site's slowest answers take: the delay that one first attempt in twenty exceeds.
 *
 *     at first                  the longest of ten answers
 *     after an attempt of t     delay ← 1.2 · delay if t > delay, else delay · 1.2^(−1/19)
 *
 * An attempt that is given up after t without an answer is counted if t > delay: whether it exceeded the delay is all that is
 * asked. A mean and a deviation will not do, as the slow attempts that a hedge beat are never measured: the delay would
 * shrink towards what is typical. Source: stochastic approximation of a quantile (H. Robbins, S. Monro, 1951), in steps that are a share of it.
 */
export class HedgeDelay {
  #samples = 0;
  #delayNs = 0;

  static of(site: Site): HedgeDelay {
    let delay = delays.get(site);
    if (delay === undefined) delays.set(site, (delay = new HedgeDelay()));
    return delay;
  }

  /** When a second attempt may go out, in ns after the first; Infinity while too little is known. */
  get ns(): number {
    return this.#samples < SAMPLES_MIN ? Infinity : Math.max(this.#delayNs, DELAY_MIN_NS);
  }

  /** A first attempt took so long, in ns. */
  learn(tookNs: number, isAnswered: boolean): void {
    const exceeds = tookNs > this.#delayNs;
    if (!exceeds && !isAnswered) return;
    if (this.#samples < SAMPLES_MIN) {
      if (isAnswered) this.#samples++;
      this.#delayNs = Math.max(this.#delayNs, tookNs);
    } else this.#delayNs *= exceeds ? UP : DOWN;
  }
}
