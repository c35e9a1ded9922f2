import { Attempt } from "./attempt.ts";
import type { AttemptTerms, AttemptWork } from "./attempt.ts";
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
}

export interface CallHost {
  readonly book: PeerBook;
  readonly clock: Clock;
  /** Undefined while nobody watches. */
  readonly report: ((report: AttemptReport) => void) | undefined;
}

type Ended<T> = Readonly<{ ok: true; value: T } | { ok: false; error: unknown }>;

/** Runs one call to its end: attempts, each admitted anew, and the waits between them. */
export async function runCall<T>(host: CallHost, key: string, work: AttemptWork<T>, options: CheckedRunOptions<T>): Promise<T> {
  const { book, clock } = host;
  const { signal, totalMs } = options;
  const startedAt = nowNs(clock);
  const endsAt = totalMs === undefined ? Infinity : startedAt + toNs(totalMs);
  let last: Ended<T> | undefined;
  for (let attempt = 1; ; attempt++) {
    if (signal?.aborted === true) throw signal.reason;
    const now = nowNs(clock);
    const admitted = book.admit(key, options.site, now);
    if (admitted instanceof PeerError) {
      if (await mayWait(admitted, host, options, endsAt)) {
        attempt--;
        continue;
      }
      if (last !== undefined) return conclude(last);
      throw admitted;
    }
    if (endsAt <= now) {
      book.release(admitted);
      if (last !== undefined) return conclude(last);
      throw new DeadlineExceededError(key, "total", toMs(now - startedAt));
    }
    if (last?.ok === true) options.discard?.(last.value);
    const race = new Attempt(book, clock, admitted, options, termsOf(book, admitted, options, startedAt, endsAt, now));
    try {
      const value = await race.run(work, attempt);
      host.report?.(reportOf(admitted, attempt, race.outcome as Outcome, clock));
      if (attempt >= options.attempts || !isWorthAnother(race.outcome as Outcome)) return value;
      last = { ok: true, value };
    } catch (error) {
      if (race.outcome === undefined) throw error;
      host.report?.(reportOf(admitted, attempt, race.outcome, clock));
      if (attempt >= options.attempts || !isWorthAnother(race.outcome)) throw error;
      last = { ok: false, error };
    }
    const delayMs = waitBefore(book, key, attempt, options, clock);
    if (delayMs > options.backoffMaxMs || nowNs(clock) + toNs(delayMs) >= endsAt) return conclude(last);
    if (!book.takeRetry(admitted.record, nowNs(clock))) {
      if (last.ok) return last.value;
      throw new BudgetExhaustedError(key, last.error);
    }
    try {
      await wait(clock, delayMs, signal);
    } catch (reason) {
      if (last.ok) options.discard?.(last.value);
      throw reason;
    }
  }
}

/** Waits out a hold, if that is what the caller wants and there is time. Policy and probes are not waited for. */
async function mayWait<T>(refusal: PeerError, { book, clock }: CallHost, { whenHeld, backoffBaseMs, backoffMaxMs, signal }: CheckedRunOptions<T>, endsAt: number): Promise<boolean> {
  const { retryAfterMs } = refusal;
  if (whenHeld === "refuse" || retryAfterMs === undefined || nowNs(clock) >= book.retryAt(refusal.peer)) return false;
  // Upwards only, so that those who wait for one instant do not arrive in it.
  const delayMs = retryAfterMs + clock.random() * Math.min(backoffBaseMs, retryAfterMs);
  if (delayMs > backoffMaxMs || nowNs(clock) + toNs(delayMs) >= endsAt) return false;
  await wait(clock, delayMs, signal);
  return true;
}

/** Full jitter, and on top of what the peer advised or cools down for. Source: M. Brooker, "Exponential Backoff And Jitter" (2015). */
function waitBefore<T>(book: PeerBook, key: string, attempt: number, { backoffBaseMs, backoffMaxMs }: CheckedRunOptions<T>, clock: Clock): number {
  const heldMs = Math.max(0, toMs(book.retryAt(key) - nowNs(clock)));
  return heldMs + clock.random() * Math.min(backoffBaseMs * 2 ** (attempt - 1), backoffMaxMs);
}

/** The nearest of the deadlines. */
function termsOf<T>(book: PeerBook, pass: Pass, options: CheckedRunOptions<T>, startedAt: number, endsAt: number, now: number): AttemptTerms {
  const { attemptMs } = options;
  const learnedAt = options.deadline === "none" ? Infinity : now + book.deadlineNs(pass.site, now);
  const attemptAt = attemptMs === undefined ? Infinity : now + toNs(attemptMs);
  // What is left of the whole may be too little for anyone.
  if (endsAt < learnedAt && endsAt < attemptAt) return { dueAt: endsAt, deadline: "total", isFault: endsAt - now >= (endsAt - startedAt) / 2 };
  return attemptAt < learnedAt ? { dueAt: attemptAt, deadline: "attempt", isFault: true } : { dueAt: learnedAt, deadline: "learned", isFault: true };
}

function conclude<T>(last: Ended<T>): T {
  if (last.ok) return last.value;
  throw last.error;
}

function reportOf({ record, site, startedAt }: Pass, attempt: number, outcome: Outcome, clock: Clock): AttemptReport {
  return { peer: record.key, site: site.name, attempt, outcome, durationMs: toMs(nowNs(clock) - startedAt) };
}

/** Waits so long; the caller's abort ends it at once, with the caller's reason. */
export function wait(clock: Clock, delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      clock.clearTimer(timer);
      reject(signal?.reason);
    };
    const timer = clock.setTimer(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, delayMs);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
