import { RuntimeError } from "../../base/errors.ts";
import { wholeOption } from "../read-quantity.ts";
import { BUDGET_CELLS, earn, hasToken, PRODUCT_RETRY_BUDGET, takeToken, tokens } from "./retry-tokens.ts";
import type { RetryBudgetOptions } from "./retry-tokens.ts";

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
  readonly #cells = new Float64Array(BUDGET_CELLS);

  /** Throws OPTION_INVALID. */
  constructor(given: Partial<RetryBudgetOptions> = {}) {
    const options = { ...PRODUCT_RETRY_BUDGET, ...given };
    if (!(options.share > 0 && options.share <= 1)) throw new RuntimeError("OPTION_INVALID", { option: "share", value: options.share });
    this.#options = {
      share: options.share, fadeNs: wholeOption("fadeNs", options.fadeNs, 1),
      reserve: wholeOption("reserve", options.reserve, 0), reserveEveryNs: wholeOption("reserveEveryNs", options.reserveEveryNs, 1),
    };
  }

  recordSuccess(now: number): void {
    earn(this.#cells, 0, this.#options, now);
  }

  /** Is there a token? */
  has(now: number): boolean {
    return hasToken(this.#cells, 0, this.#options, now);
  }

  /** Takes a token if there is one; what was earned goes before the reserve. */
  take(now: number): boolean {
    return takeToken(this.#cells, 0, this.#options, now);
  }

  /** Tokens, in parts: for people. */
  balance(now: number): number {
    return tokens(this.#cells, 0, this.#options, now);
  }
}
