import { OptionError } from "./errors.ts";
import type { Sent } from "./attempt.ts";
import { aCount, aDuration, aFunction, aSignal, aText, checkOptions, either, oneOf } from "./option-check.ts";
import type { Rules } from "./option-check.ts";
import type { Outcome } from "./outcome.ts";

/** What is to be done. `signal` ends with the attempt's deadline or the caller's signal; `attempt` counts from 1. */
export type Work<T> = (signal: AbortSignal, attempt: number) => T | PromiseLike<T>;

export interface CallLimits {
  /** Attempts in all, the first one included. Default 1 for `run`, 3 for `fetch` (of requests that may be repeated). */
  readonly attempts?: number;
  /** The longest that one attempt waits for its answer, in ms. Default: the learned deadline alone. */
  readonly attemptMs?: number;
  /** The longest that all of it takes, in ms: attempts, back-off, waiting; of a fetch the body, too. Default: no bound. */
  readonly totalMs?: number;
  /** Whether an attempt ends with the deadline that the peer's earlier answers taught. Default `learned`. */
  readonly deadline?: "learned" | "none";
  /** The mean of the first wait before another attempt is half of this, in ms; it doubles each time: full jitter. Default 100 ms. */
  readonly backoffBaseMs?: number;
  /** The longest wait before another attempt, in ms, advice included. What would be longer ends the call. Default 10 s. */
  readonly backoffMaxMs?: number;
  /**
   * After how long without an answer a second attempt goes out beside the first, in ms; of both the first good answer counts, and the
   * other attempt is aborted. `learned`: as long as one in twenty first attempts at the site takes; none goes out before ten have been
   * answered. It is one of the `attempts`, so these must be 2 at least; the peer's budget pays for it; none goes to a peer that has not
   * worked since it failed. Ask for it only where the work may be done twice at a time. Default: none goes out.
   */
  readonly hedgeAfterMs?: number | "learned";
  /** What a call does that meets a cooldown or advice: it is refused, or waits for up to `backoffMaxMs`, with others spread over half as long again. Default `refuse`. */
  readonly whenHeld?: "refuse" | "wait";
}

export interface RunOptions<T = unknown> extends CallLimits {
  /** The caller's own. Its reason is rethrown as it is, at once, and is nobody's fault. */
  readonly signal?: AbortSignal;
  /** What is asked of the peer: round trips are learned for each apart. */
  readonly site?: string;
  /** What an answer says about the peer. Default: that it works. */
  readonly judgeValue?: (value: T) => Outcome;
  /** What an error says about the peer. Default: by its `code`, or that of its cause, where the platform has codes. */
  readonly judgeError?: (error: unknown) => Outcome;
}

type Checked<T, Optional extends keyof T> = Required<Omit<T, Optional>> & { readonly [Option in Optional]?: T[Option] | undefined };
export type CheckedRunOptions<T> = Checked<RunOptions<T>, "attemptMs" | "totalMs" | "hedgeAfterMs" | "signal" | "judgeError"> & {
  /** Frees what an answer holds that another attempt replaces. */
  readonly discard?: ((value: T) => void) | undefined;
  /** Hears which attempt the value is of that the caller gets, before the caller does. */
  readonly deliver?: ((value: T, from: Sent) => void) | undefined;
};

const WORKS: Outcome = Object.freeze({ kind: "works" });

export const LIMIT_RULES: Rules<Required<CallLimits>> = {
  attempts: aCount(1, 1000), attemptMs: aDuration, totalMs: aDuration, deadline: oneOf("learned", "none"),
  backoffBaseMs: aDuration, backoffMaxMs: aDuration, hedgeAfterMs: either(aDuration, oneOf("learned")), whenHeld: oneOf("refuse", "wait"),
};

const RULES: Rules<Required<RunOptions<never>>> = { ...LIMIT_RULES, signal: aSignal, site: aText, judgeValue: aFunction, judgeError: aFunction };

/** What a run does where nothing else is said. */
export const RUN_DEFAULTS: CheckedRunOptions<unknown> = Object.freeze({
  attempts: 1, deadline: "learned", backoffBaseMs: 100, backoffMaxMs: 10_000, whenHeld: "refuse", site: "",
  judgeValue: () => WORKS,
});

/**
 * Checked at each call, and copied: a caller may change its own object between two calls. Each option by its name, which costs
 * half of a loop. Throws OPTION_INVALID.
 */
export function runOptions<T>(given: RunOptions<T> | undefined): CheckedRunOptions<T> {
  const defaults = RUN_DEFAULTS as CheckedRunOptions<T>;
  if (given === undefined) return defaults;
  checkOptions("run", given as Required<RunOptions<never>>, RULES);
  const {
    attempts = defaults.attempts, attemptMs, totalMs, deadline = defaults.deadline, backoffBaseMs = defaults.backoffBaseMs, backoffMaxMs = defaults.backoffMaxMs,
    hedgeAfterMs, whenHeld = defaults.whenHeld, signal, site = defaults.site, judgeValue = defaults.judgeValue, judgeError,
  } = given;
  const options = { attempts, attemptMs, totalMs, deadline, backoffBaseMs, backoffMaxMs, hedgeAfterMs, whenHeld, signal, site, judgeValue, judgeError };
  checkHedge("run", options);
  return options;
}

/** A hedge is an attempt. Throws OPTION_INVALID. */
export function checkHedge(of: string, { hedgeAfterMs, attempts }: Pick<CheckedRunOptions<unknown>, "hedgeAfterMs" | "attempts">): void {
  if (hedgeAfterMs === undefined || attempts !== 1) return;
  throw new OptionError(`${of}.hedgeAfterMs`, "needs 2 attempts at least");
}
