import type { Rule } from "./rule.ts";
import { SETTINGS } from "./settings.ts";
import { Window } from "./window.ts";

const { threshold, window, priorNs, priorWeight, longestNs } = SETTINGS.chitchat;

/**
 * quickwit-oss/chitchat's failure_detector.rs: "φ" is silence / mean, without the logarithm, and dead is above 8. The
 * mean counts a prior of 5 s as five intervals; intervals over 10 s are left out; a death empties the window.
 */
export class Chitchat implements Rule {
  readonly #intervals = new Window(window);
  #last = 0;

  beat(now: number): void {
    if (this.#last > 0 && now > this.suspectsAt()) this.#intervals.clear();
    else if (this.#last > 0 && now - this.#last <= longestNs) this.#intervals.push(now - this.#last);
    this.#last = now;
  }

  suspectsAt(): number {
    if (this.#last === 0) return Infinity;
    const mean = (this.#intervals.sum + priorNs * priorWeight) / (this.#intervals.size + priorWeight);
    return this.#last + threshold * mean;
  }
}
