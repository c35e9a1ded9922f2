import type { Alarm, AlarmQueue } from "./alarm-queue.ts";
import { Attempt, judge, reportOf } from "./attempt.ts";
import type { AttemptWork } from "./attempt.ts";
import { nowNs, toMs, toNs } from "./clock.ts";
import type { Clock } from "./clock.ts";
import { BudgetExhaustedError, DeadlineExceededError, PeerError } from "./errors.ts";
import { isWorthAnother } from "./outcome.ts";
import type { Outcome } from "./outcome.ts";
import type { Pass, PeerBook } from "./peer-book.ts";
import type { CheckedRunOptions } from "./run-options.ts";

/** One attempt that is over, for those who watch. */
export interface AttemptReport {
  readonly peer: string;
  readonly site: string;
  /** Counts from 1. */
  readonly attempt: number;
  readonly outcome: Outcome;
  readonly durationMs: number;
  /** It went out beside another that was slow. */
  readonly hedge?: true;
}

export interface CallHost {
  readonly book: PeerBook;
  readonly clock: Clock;
  readonly alarms: AlarmQueue;
  /** Undefined while nobody watches. */
  readonly report: ((report: AttemptReport) => void) | undefined;
}

type Ended<T> = Readonly<{ isValue: true; what: T } | { isValue: false; what: unknown }>;

/** Runs one call to its end: attempts, each admitted anew, and the waits between them. */
export function runCall<T>(host: CallHost, key: string, work: AttemptWork<T>, options: CheckedRunOptions<T>): Promise<T> {
  const { signal, site, whenHeld } = options;
  if (signal?.aborted === true) return rejection(signal.reason);
  const now = nowNs(host.clock);
  const admitted = host.book.admit(key, site, now);
  if (admitted instanceof PeerError && whenHeld === "refuse") return rejection(admitted);
  const { attemptMs, totalMs, deadline } = options;
  const isAlone = deadline === "none" && attemptMs === undefined && totalMs === undefined && signal === undefined;
  if (isAlone && !(admitted instanceof PeerError)) return runAlone(host, key, work, options, admitted);
  return new Promise((resolve, reject) => new Call(host, key, work, options, now, resolve, reject).begin(admitted));
}

/** Nothing can end the first attempt but itself: there is no race, and nothing to pay for one. */
async function runAlone<T>(host: CallHost, key: string, work: AttemptWork<T>, options: CheckedRunOptions<T>, pass: Pass): Promise<T> {
  const controller = new AbortController();
  let isValue = true;
  let what: unknown;
  try {
    what = await work(controller.signal, 1, controller);
  } catch (error) {
    isValue = false;
    what = error;
  }
  const now = nowNs(host.clock);
  const outcome = judge(host, pass, options, isValue, what, now);
  host.report?.(reportOf(pass, 1, outcome, now, false));
  if (options.attempts > 1 && isWorthAnother(outcome)) {
    return new Promise((resolve, reject) => new Call(host, key, work, options, pass.startedAt, resolve, reject).goOn(pass, isValue, what, now));
  }
  if (isValue) return what as T;
  throw what;
}

/**
 * Call is everything between the question and what its caller gets. Its alarm ends a wait; while an attempt is under way, it
 * is about the hedge.
 */
class Call<T> implements Alarm {
  readonly host: CallHost;
  readonly options: CheckedRunOptions<T>;
  readonly startedAt: number;
  readonly endsAt: number;
  dueAt = 0;
  place = -1;
  readonly #key: string;
  readonly #work: AttemptWork<T>;
  readonly #resolve: (value: T) => void;
  readonly #reject: (reason: unknown) => void;
  /** Attempts that were begun. */
  #attempts = 0;
  /** Those under way. */
  #attempt: Attempt<T> | undefined;
  /** How the last attempt ended that was worth another. */
  #last: Ended<T> | undefined;
  #isOver = false;

  constructor(
    host: CallHost, key: string, work: AttemptWork<T>, options: CheckedRunOptions<T>, startedAt: number,
    resolve: (value: T) => void, reject: (reason: unknown) => void,
  ) {
    this.host = host;
    this.options = options;
    this.startedAt = startedAt;
    this.endsAt = options.totalMs === undefined ? Infinity : startedAt + toNs(options.totalMs);
    this.#key = key;
    this.#work = work;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  begin(admitted: Pass | PeerError): void {
    this.options.signal?.addEventListener("abort", this);
    this.#go(admitted, this.startedAt);
  }

  /** The caller's signal. */
  handleEvent(): void {
    const { reason } = this.options.signal as AbortSignal;
    this.#drop();
    this.#finish(false, reason, reason, nowNs(this.host.clock));
  }

  ring(now: number): void {
    this.#go(this.host.book.admit(this.#key, this.options.site, now), now);
  }

  ended(attempt: Attempt<T>, isValue: boolean, what: unknown, now: number): void {
    const { outcome } = attempt;
    // Somebody who was told of it aborted the call.
    if (this.#isOver) return isValue ? this.options.discard?.(what as T) : undefined;
    this.#attempt = undefined;
    const isEnd = outcome === undefined || this.#attempts >= this.options.attempts || !isWorthAnother(outcome);
    if (isEnd) this.#finish(isValue, what, undefined, now);
    else this.goOn(attempt.pass, isValue, what, now);
  }

  /** After an attempt that is worth another, if there may be one. */
  goOn({ record }: Pass, isValue: boolean, what: unknown, now: number): void {
    this.#attempts ||= 1; // it was made alone
    const { book, clock } = this.host;
    const { options, endsAt } = this;
    this.#last = { isValue, what } as Ended<T>;
    const delayMs = waitBefore(book, this.#key, this.#attempts, options, clock, now);
    if (delayMs > options.backoffMaxMs || now + toNs(delayMs) >= endsAt) return this.#conclude(now);
    if (book.takeRetry(record, now)) return this.#wait(delayMs, now);
    if (!isValue) this.#last = { isValue, what: new BudgetExhaustedError(this.#key, what) };
    this.#conclude(now);
  }

  #go(admitted: Pass | PeerError, now: number): void {
    if (admitted instanceof PeerError) return this.#refused(admitted, now);
    const { book } = this.host;
    if (this.endsAt <= now) {
      book.release(admitted);
      this.#last ??= { isValue: false, what: new DeadlineExceededError(this.#key, "total", toMs(now - this.startedAt)) };
      return this.#conclude(now);
    }
    this.#drop();
    this.#attempt = new Attempt(this, admitted, ++this.#attempts, false);
    void this.#attempt.run(this.#work);
  }

  /** Waits out a hold, if that is what the caller wants and there is time. Policy and probes are not waited for. */
  #refused(refusal: PeerError, now: number): void {
    const { book, clock } = this.host;
    const { whenHeld, backoffBaseMs, backoffMaxMs } = this.options;
    const { retryAfterMs } = refusal;
    if (whenHeld === "wait" && retryAfterMs !== undefined && !book.backoff.shouldRetry(this.#key, now)) {
      // Upwards only, so that those who wait for one instant do not arrive in it.
      const delayMs = retryAfterMs + clock.random() * Math.min(backoffBaseMs, retryAfterMs);
      if (delayMs <= backoffMaxMs && now + toNs(delayMs) < this.endsAt) return this.#wait(delayMs, now);
    }
    this.#last ??= { isValue: false, what: refusal };
    this.#conclude(now);
  }

  #wait(delayMs: number, now: number): void {
    this.dueAt = now + toNs(delayMs);
    this.host.alarms.arm(this);
  }

  /** Frees what another attempt replaces. */
  #drop(): void {
    if (this.#last?.isValue === true) this.options.discard?.(this.#last.what);
    this.#last = undefined;
  }

  #conclude(now: number): void {
    const { isValue, what } = this.#last as Ended<T>;
    this.#finish(isValue, what, undefined, now);
  }

  #finish(isValue: boolean, what: unknown, reason: unknown, now: number): void {
    this.#isOver = true;
    this.host.alarms.disarm(this);
    this.options.signal?.removeEventListener("abort", this);
    if (isValue) this.#resolve(what as T);
    else this.#reject(what);
    this.#attempt?.abandon(reason, now);
  }
}

/** Full jitter, and on top of what the peer advised or cools down for. Source: M. Brooker, "Exponential Backoff And Jitter" (2015). */
function waitBefore<T>(book: PeerBook, key: string, attempt: number, { backoffBaseMs, backoffMaxMs }: CheckedRunOptions<T>, clock: Clock, now: number): number {
  const heldMs = Math.max(0, toMs(book.backoff.retryAt(key) - now));
  return heldMs + clock.random() * Math.min(backoffBaseMs * 2 ** (attempt - 1), backoffMaxMs);
}

/** One turn later: what is rejected before anybody can listen costs the platform more than all of a refusal. */
function rejection(error: unknown): Promise<never> {
  return new Promise((_resolve, reject) => queueMicrotask(() => reject(error)));
}
