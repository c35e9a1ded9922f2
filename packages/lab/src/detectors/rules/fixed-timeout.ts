import type { PeerTrace } from "../traces/trace.ts";
import type { Rule } from "./rule.ts";
import { SETTINGS } from "./settings.ts";

const { timeoutNs } = SETTINGS.fixed;

/** A fixed timeout since the last beat: the textbook rule, 5 s at a beat a second. */
export class FixedTimeout implements Rule {
  #last = Infinity;

  beat(now: number): void {
    this.#last = now;
  }

  suspectsAt(): number {
    return this.#last + timeoutNs;
  }
}

/** The control of trace (m): the same on a clock that people set. No rule in the table reads one. */
export class WallClockTimeout implements Rule {
  readonly #jumps: PeerTrace["wallJumps"];
  #last = Infinity;

  constructor(jumps: PeerTrace["wallJumps"]) {
    this.#jumps = jumps;
  }

  beat(now: number): void {
    this.#last = now;
  }

  suspectsAt(): number {
    let shownNs = 0;
    for (const { at, byNs } of this.#jumps) {
      if (at <= this.#last) continue;
      const dueAt = this.#last + timeoutNs - shownNs;
      if (dueAt < at) return dueAt;
      shownNs += byNs;
      if (at - this.#last + shownNs >= timeoutNs) return at;
    }
    return this.#last + timeoutNs - shownNs;
  }
}
