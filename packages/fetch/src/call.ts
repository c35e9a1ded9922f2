import { ADVICE_SPREAD } from "@holdfast/core/peer";
import type { Alarm, AlarmQueue } from "./alarm-queue.ts";
import { Attempt, isAnswer, judge, reportOf } from "./attempt.ts";
import type { AttemptOwner, AttemptWork, Sent } from "./attempt.ts";
import { nowNs, toMs, toNs } from "./clock.ts";
import type { Clock } from "./clock.ts";
import { Ender } from "./ender.ts";
import { BudgetExhaustedError, DeadlineExceededError, PeerError } from "./errors.ts";
import { HedgeDelay } from "./hedge-delay.ts";
import { isWorthAnother } from "./outcome.ts";
import type { Outcome } from "./outcome.ts";
import type { Pass, PeerBook } from "./peer-book.ts";
import type { PeerRecord } from "./peer-record.ts";
import type { Platform } from "./platform.ts";
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
  readonly platform: Platform;
}

/** How an attempt ended, or the call without one. */
type Ended<T> = Readonly<{ isValue: true; what: T; from: Sent } | { isValue: false; what: unknown; from?: Sent | undefined }>;

/** Runs one call to its end: attempts, each admitted anew, and the waits between them. */
export function runCall<T>(host: CallHost, key: string, work: AttemptWork<T>, options: CheckedRunOptions<T>): Promise<T> {
  const { signal, site, whenHeld } = options;
  if (signal?.aborted === true) return rejection(signal.reason);
  const now = nowNs(host.clock);
  const admitted = host.book.admit(key, site, now);
  if (admitted instanceof PeerError && whenHeld === "refuse") return rejection(admitted);
  const { attemptMs, totalMs, deadline, hedgeAfterMs } = options;
  const isAlone = deadline === "none" && (attemptMs ?? totalMs ?? hedgeAfterMs ?? signal) === undefined;
  if (isAlone && !(admitted instanceof PeerError)) return runAlone(host, key, work, options, admitted);
  return new Promise((resolve, reject) => new Call(host, key, work, options, now, resolve, reject).begin(admitted));
}

/** Nothing can end the first attempt but itself: there is no race, and nothing to pay for one. */
async function runAlone<T>(host: CallHost, key: string, work: AttemptWork<T>, options: CheckedRunOptions<T>, pass: Pass): Promise<T> {
  const ender = new Ender();
  let isValue = true;
  let what: unknown;
  try {
    what = await work(ender, 1, Infinity);
  } catch (error) {
    isValue = false;
    what = error;
  }
  const now = nowNs(host.clock);
  const outcome = judge(host, pass, options, isValue, what, now);
  host.report?.(reportOf(pass, 1, outcome, now, false));
  if (options.attempts > 1 && isWorthAnother(outcome)) {
    const ended = { isValue, what, from: { number: 1, pass, ender } } as Ended<T>;
    return new Promise((resolve, reject) => new Call(host, key, work, options, pass.startedAt, resolve, reject).goOn(ended, pass.record, now));
  }
  if (!isValue) throw what;
  options.deliver?.(what as T, { number: 1, pass, ender });
  return what as T;
}

/**
 * Call is everything between a question and its one answer: attempts, the waits between them, and the hedge beside one that is
 * slow. Its alarm ends a wait; while an attempt is under way, it is the hedge's time.
 *
 * Invariants:
 *   C1. The caller gets one answer, of the first attempt to end well; every other answer is discarded.
 *   C2. When the call is over, nothing of it is under way: no attempt, alarm or listener.
 *   C3. At most `attempts` attempts are made, at most two at a time; each beyond the first takes a token.
 */
class Call<T> implements Alarm, AttemptOwner<T> {
  readonly host: CallHost;
  readonly options: CheckedRunOptions<T>;
  readonly startedAt: number;
  readonly endsAt: number;
  dueAt = 0;
  place = -1;
  scope: Alarm["scope"];
  readonly #key: string;
  readonly #work: AttemptWork<T>;
  #resolve: (value: T) => void;
  #reject: (reason: unknown) => void;
  /** Attempts that were begun. */
  #attempts = 0;
  /** Those under way. */
  #attempt: Attempt<T> | undefined;
  #hedge: Attempt<T> | undefined;
  /** How the last one ended. */
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
    const { signal } = this.options;
    signal?.addEventListener("abort", this);
    // Somebody who was told of its admission has aborted it.
    if (signal?.aborted === true) this.handleEvent();
    this.#go(admitted, this.startedAt);
  }

  /** The caller's signal. */
  handleEvent(): void {
    const { reason } = this.options.signal as AbortSignal;
    this.#keep({ isValue: false, what: reason });
    this.#conclude(nowNs(this.host.clock), reason);
  }

  ring(now: number): void {
    if (this.#attempt !== undefined) this.#sendHedge(this.#attempt, now);
    else this.#go(this.host.book.admit(this.#key, this.options.site, now), now);
  }

  ended(attempt: Attempt<T>, isValue: boolean, what: unknown, now: number): void {
    const ended = { isValue, what, from: attempt } as Ended<T>;
    // Somebody who was told of it aborted the call.
    if (this.#isOver) return this.#discard(ended);
    const { outcome, isHedge, pass } = attempt;
    if (isHedge) this.#hedge = undefined;
    else {
      this.#attempt = undefined;
      this.#learn(pass, isAnswer(isValue, outcome), now);
    }
    const isLast = outcome === undefined || !isWorthAnother(outcome);
    const isAlone = (this.#attempt ?? this.#hedge) === undefined;
    if (isAlone && !isLast && this.#attempts < this.options.attempts) return this.goOn(ended, pass.record, now);
    this.#keep(ended);
    if (isAlone || isLast) this.#conclude(now);
  }

  /** After an attempt that is worth another, if there may be one. */
  goOn(ended: Ended<T>, record: PeerRecord, now: number): void {
    const { options, endsAt, host: { alarms, book, clock } } = this;
    this.#attempts ||= 1; // it was made alone
    this.#keep(ended);
    alarms.disarm(this);
    const delayMs = waitBefore(book, this.#key, this.#attempts, options, clock, now);
    if (delayMs > options.backoffMaxMs || now + toNs(delayMs) >= endsAt) return this.#conclude(now);
    if (book.takeRetry(record, now)) return this.#wait(toNs(delayMs), now); // C3
    if (!ended.isValue) this.#keep({ isValue: false, what: new BudgetExhaustedError(this.#key, ended.what) });
    this.#conclude(now);
  }

  #go(admitted: Pass | PeerError, now: number): void {
    if (this.#isOver) return admitted instanceof PeerError ? undefined : this.host.book.release(admitted);
    if (admitted instanceof PeerError) return this.#refused(admitted, now);
    if (this.endsAt <= now) {
      this.host.book.release(admitted);
      this.#last ??= { isValue: false, what: new DeadlineExceededError(this.#key, "total", toMs(now - this.startedAt)) };
      return this.#conclude(now);
    }
    this.#keep(undefined);
    const attempt = (this.#attempt = new Attempt(this, admitted, ++this.#attempts, false));
    const { hedgeAfterMs, attempts } = this.options;
    if (hedgeAfterMs !== undefined && this.#attempts < attempts) {
      const delayNs = hedgeAfterMs === "learned" ? HedgeDelay.of(admitted.site).ns : toNs(hedgeAfterMs);
      if (now + delayNs < attempt.dueAt) this.#wait(delayNs, now);
    }
    void attempt.run(this.#work);
  }

  /** None goes to a peer that has not worked since it failed. */
  #sendHedge({ pass: { record } }: Attempt<T>, now: number): void {
    const { book } = this.host;
    if (record.trouble !== undefined) return;
    const admitted = book.admit(this.#key, this.options.site, now);
    if (admitted instanceof PeerError) return;
    if (this.#isOver || !book.takeRetry(record, now)) return book.release(admitted); // C3
    this.#hedge = new Attempt(this, admitted, ++this.#attempts, true);
    void this.#hedge.run(this.#work);
  }

  /** Waits out a hold, if that is what the caller wants and there is time. Policy and probes are not waited for. */
  #refused(refusal: PeerError, now: number): void {
    const { book, clock } = this.host;
    const { whenHeld, backoffBaseMs, backoffMaxMs } = this.options;
    const { retryAfterMs } = refusal;
    if (whenHeld === "wait" && retryAfterMs !== undefined && now < book.retryAt(this.#key)) {
      // Upwards only, so that those who wait for one instant do not arrive in it: over half as long again, as far as they may wait.
      const roomMs = Math.min(backoffMaxMs, toMs(this.endsAt - now)) - retryAfterMs;
      const spreadMs = Math.max(Math.min(backoffBaseMs, retryAfterMs), Math.min(ADVICE_SPREAD * retryAfterMs, roomMs));
      const delayMs = retryAfterMs + clock.random() * spreadMs;
      if (delayMs <= backoffMaxMs && now + toNs(delayMs) < this.endsAt) return this.#wait(toNs(delayMs), now);
    }
    this.#last ??= { isValue: false, what: refusal };
    this.#conclude(now);
  }

  #wait(delayNs: number, now: number): void {
    this.dueAt = now + delayNs;
    this.host.alarms.arm(this);
  }

  /** In place of what the last attempt came to. */
  #keep(ended: Ended<T> | undefined): void {
    if (this.#last !== undefined) this.#discard(this.#last);
    this.#last = ended;
  }

  /** Frees what an answer holds that nobody gets. */
  #discard({ isValue, what }: Ended<T>): void {
    if (isValue) this.options.discard?.(what); // C1
  }

  /** The last attempt's end is the call's. `reason`: why what is still under way is given up, if not for this. */
  #conclude(now: number, reason?: unknown): void {
    const { host: { alarms }, options: { signal, deliver } } = this;
    const { isValue, what, from } = this.#last as Ended<T>;
    this.#isOver = true; // C2
    alarms.disarm(this);
    signal?.removeEventListener("abort", this);
    if (isValue) {
      this.#resolve(what);
      deliver?.(what, from);
    } else this.#reject(what);
    // Work that never ends must not hold the answer.
    this.#last = undefined;
    this.#resolve = this.#reject = ignore;
    if (this.#attempt !== undefined) this.#learn(this.#attempt.pass, false, now);
    this.#attempt?.abandon(reason, now);
    this.#hedge?.abandon(reason, now);
  }

  /** Of a first attempt: when its like should be hedged. */
  #learn({ site, startedAt }: Pass, isAnswered: boolean, now: number): void {
    if (this.options.hedgeAfterMs === "learned") HedgeDelay.of(site).learn(now - startedAt, isAnswered);
  }
}

function ignore(): void {}

/** Full jitter, and on top of what the peer advised or cools down for. Source: M. Brooker, "Exponential Backoff And Jitter" (2015). */
function waitBefore<T>(book: PeerBook, key: string, attempt: number, { backoffBaseMs, backoffMaxMs }: CheckedRunOptions<T>, clock: Clock, now: number): number {
  const heldMs = Math.max(0, toMs(book.retryAt(key) - now));
  return heldMs + clock.random() * Math.min(backoffBaseMs * 2 ** (attempt - 1), backoffMaxMs);
}

/** One turn later: what is rejected before anybody can listen costs the platform more than all of a refusal. */
function rejection(error: unknown): Promise<never> {
  return new Promise((_resolve, reject) => queueMicrotask(() => reject(error)));
}
