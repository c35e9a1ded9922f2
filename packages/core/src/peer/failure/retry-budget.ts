import { RuntimeError } from "../../base/errors.ts";
import { elapsedNs, NS_PER_S } from "../../base/time.ts";
import { wholeOption } from "../quantity.ts";

export interface RetryBudgetOptions {
  /** Tokens that one success earns; above 0, at most 1. Default 0.1. */
  readonly share: number;
  /** What was earned fades with this time constant, in ns, at least 1. Default 10 s. */
  readonly fadeNs: number;
  /** Tokens that are there without any success, and at the start. Whole. Default 10. */
  readonly reserve: number;
  /** One of them comes back each time this has passed, in ns, at least 1. Default 2 s. */
  readonly reserveEveryNs: number;
}

export const PRODUCT_RETRY_BUDGET: RetryBudgetOptions = { share: 0.1, fadeNs: 10 * NS_PER_S, reserve: 10, reserveEveryNs: 2 * NS_PER_S };

/**
 * RetryBudget bounds what is sent beyond first attempts: retries, hedges and probes, out of one purse. Each takes a token
 * when it is entered upon. Tokens are earned by *successes*, not by attempts: where everything fails there is nothing to
 * earn, in each of several layers, so their shares do not multiply. With s successes a second before, what a total
 * failure of T seconds adds is at most
 *
 *     share · s · fade  +  reserve  +  T / reserveEvery
 *
 * attempts: with the defaults and s = 100, T = 60 s, 140 of 6000. The reserve is for peers that are seldom asked; it
 * does not grow with the load, so it is no tenth of it from some 10 requests a second on.
 *
 * Sources: the share of a tenth: Google's SRE book, ch. 21; earned by successes: gRPC proposal A6; fading: Finagle's
 * RetryBudget, which forgets after 10 s.
 *
 * Invariants:
 *   R1. Neither balance is ever negative; the reserve never exceeds `reserve`.
 *   R2. What was earned never exceeds what successes earned.
 */
export class RetryBudget {
  readonly #options: RetryBudgetOptions;
  #earned = 0;
  #reserve: number;
  #fadedAt = 0;
  #refilledAt = 0;

  /** Throws OPTION_INVALID. */
  constructor(given: Partial<RetryBudgetOptions> = {}) {
    const options = { ...PRODUCT_RETRY_BUDGET, ...given };
    if (!(options.share > 0 && options.share <= 1)) throw new RuntimeError("OPTION_INVALID", { option: "share", value: options.share });
    this.#options = {
      share: options.share, fadeNs: wholeOption("fadeNs", options.fadeNs, 1),
      reserve: wholeOption("reserve", options.reserve, 0), reserveEveryNs: wholeOption("reserveEveryNs", options.reserveEveryNs, 1),
    };
    this.#reserve = this.#options.reserve;
  }

  recordSuccess(now: number): void {
    this.#advance(now);
    this.#earned += this.#options.share; // R2
  }

  /** Is there a token? */
  has(now: number): boolean {
    this.#advance(now);
    return this.#earned >= 1 || this.#reserve >= 1;
  }

  /** Takes a token if there is one; what was earned goes before the reserve. */
  take(now: number): boolean {
    if (!this.has(now)) return false;
    if (this.#earned >= 1) this.#earned -= 1;
    else this.#reserve -= 1; // R1
    return true;
  }

  /** Tokens, in parts: for people. */
  balance(now: number): number {
    this.#advance(now);
    return this.#earned + this.#reserve;
  }

  #advance(now: number): void {
    const { fadeNs, reserve, reserveEveryNs } = this.#options;
    const elapsed = elapsedNs(now, this.#fadedAt);
    if (elapsed > 0) {
      // As 1/(1 + t/τ) and not as e^(−t/τ): no engine may differ in a last digit from another (Math.exp may).
      if (this.#earned > 0) this.#earned /= 1 + elapsed / fadeNs;
      this.#fadedAt = now;
    }
    const back = Math.floor(elapsedNs(now, this.#refilledAt) / reserveEveryNs);
    if (back === 0) return;
    this.#reserve = Math.min(reserve, this.#reserve + back);
    this.#refilledAt += back * reserveEveryNs;
  }
}
