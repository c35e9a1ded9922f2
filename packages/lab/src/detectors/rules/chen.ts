import { ExpectedArrival } from "./expected-arrival.ts";
import type { Rule } from "./rule.ts";
import { SETTINGS } from "./settings.ts";

const { window, periodNs, marginNs } = SETTINGS.chen;

/**
 * NFD-E of Chen et al. (2002; see ExpectedArrival): suspects when the next beat is later than expected by a constant
 * margin α. The paper derives α from wanted quality of service; window 1000 and α 1.25 s are those of its
 * implementation for Apache ZooKeeper (ZOOKEEPER-702). The period is known, not learned.
 */
export class Chen implements Rule {
  readonly #expected = new ExpectedArrival(window, periodNs);
  #suspectsAt = Infinity;

  beat(now: number, sequence: number): void {
    this.#expected.observe(now, sequence);
    this.#suspectsAt = this.#expected.of(sequence + 1) + marginNs;
  }

  suspectsAt(): number {
    return this.#suspectsAt;
  }
}
