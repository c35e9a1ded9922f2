import { PhiAccrualDetector, REFERENCE_DETECTOR } from "@holdfast/core/peer";
import type { Rule } from "./rule.ts";

/**
 * φ with exponential intervals, suspect at 8: Hayashibara et al., "The φ Accrual Failure Detector" (SRDS 2004), as
 * our specification's reference has it (docs/spec/peers.md §4). Core's detector with the reference options.
 */
export class ExponentialPhi implements Rule {
  readonly #detector = new PhiAccrualDetector(REFERENCE_DETECTOR);
  #last = 0;

  beat(now: number): void {
    this.#detector.recordHeartbeat(now, this.#last);
    this.#last = now;
  }

  suspectsAt(): number {
    return this.#detector.crossing(REFERENCE_DETECTOR.suspectPhi, this.#last) ?? Infinity;
  }
}
