import type { Alarm } from "./alarm-queue.ts";
import type { AttemptReport, CallHost } from "./call.ts";
import { nowNs, toMs, toNs } from "./clock.ts";
import { Ender } from "./ender.ts";
import { DeadlineExceededError, withoutStack } from "./errors.ts";
import type { Outcome } from "./outcome.ts";
import type { Pass } from "./peer-book.ts";
import type { CheckedRunOptions } from "./run-options.ts";

/** Work that may want to know how long it has, in ns; Infinity = no bound. */
export type AttemptWork<T> = (ender: Ender, attempt: number, withinNs: number) => T | PromiseLike<T>;

/** What is known of an answer: the pass under which it was asked for, and what ends the rest of it. */
export interface Sent {
  /** Of the attempt; counts from 1. */
  readonly number: number;
  readonly pass: Pass;
  readonly ender: Ender;
}

/** Whose attempts they are. */
export interface AttemptOwner<T> {
  readonly host: CallHost;
  readonly options: CheckedRunOptions<T>;
  /** When all of it began and ends, in ns; Infinity = never. */
  readonly startedAt: number;
  readonly endsAt: number;
  /** It is over: with a value, or with an error. Its `outcome` is undefined if the user's judge threw that. */
  ended(attempt: Attempt<T>, isValue: boolean, what: unknown, now: number): void;
}

/**
 * Attempt is one try: work that races its deadline, and whatever else makes its owner give it up. What comes later is
 * learned from, and changes nothing else.
 */
export class Attempt<T> implements Alarm, Sent {
  readonly pass: Pass;
  /** Counts from 1. */
  readonly number: number;
  /** Does it go out beside another that is slow? */
  readonly isHedge: boolean;
  readonly ender = new Ender();
  /** The nearest of its deadlines, in ns; Infinity = never. */
  dueAt: number;
  place = -1;
  scope: Alarm["scope"];
  /** How it went; undefined while it is under way. */
  outcome: Outcome | undefined;
  readonly #owner: AttemptOwner<T>;
  readonly #deadline: DeadlineExceededError["deadline"];
  #isOver = false;

  constructor(owner: AttemptOwner<T>, pass: Pass, number: number, isHedge: boolean) {
    this.#owner = owner;
    this.pass = pass;
    this.number = number;
    this.isHedge = isHedge;
    const { host: { book }, options: { deadline, attemptMs }, endsAt } = owner;
    const { startedAt, site } = pass;
    const learnedAt = deadline === "none" ? Infinity : startedAt + book.deadlineNs(site, startedAt);
    const attemptAt = attemptMs === undefined ? Infinity : startedAt + toNs(attemptMs);
    this.dueAt = Math.min(learnedAt, attemptAt, endsAt);
    this.#deadline = this.dueAt === learnedAt ? "learned" : this.dueAt === attemptAt ? "attempt" : "total";
  }

  async run(work: AttemptWork<T>): Promise<void> {
    const { host: { alarms }, options } = this.#owner;
    if (this.dueAt !== Infinity) alarms.arm(this);
    let value: T;
    try {
      value = await work(this.ender, this.number, this.dueAt - this.pass.startedAt);
    } catch (error) {
      if (!this.#isOver) this.#judge(false, error);
      return;
    }
    if (!this.#isOver) return this.#judge(true, value);
    const { book, clock } = this.#owner.host;
    if (this.outcome?.kind === "timed-out") book.answeredLate(this.pass, nowNs(clock));
    options.discard?.(value);
  }

  /** Its deadline. */
  ring(now: number): void {
    const { pass, pass: { record, startedAt } } = this;
    const { host: { book }, startedAt: beganAt, endsAt } = this.#owner;
    const deadline = this.#deadline;
    if (deadline === "learned") book.timedOut(pass, now);
    else book.censored(pass, now);
    // What is left of the whole may be too little for anyone.
    const isFault = deadline !== "total" || endsAt - startedAt >= (endsAt - beganAt) / 2;
    this.#giveUp({ kind: isFault ? "timed-out" : "cancelled", retry: deadline !== "total" }, now);
    const error = withoutStack(() => new DeadlineExceededError(record.key, deadline, toMs(now - startedAt)));
    this.#owner.ended(this, false, error, now);
    this.ender.abort(error);
  }

  /** Nobody waits for it any more, and it is nobody's fault. The work is told by its signal; by itself if there is no reason. */
  abandon(reason: unknown, now: number): void {
    if (this.#isOver) return;
    const { alarms, book } = this.#owner.host;
    alarms.disarm(this);
    book.censored(this.pass, now);
    this.#giveUp({ kind: "cancelled" }, now);
    this.ender.abort(reason);
  }

  #judge(isValue: boolean, what: unknown): void {
    const { host, options } = this.#owner;
    const now = nowNs(host.clock);
    this.#isOver = true;
    host.alarms.disarm(this);
    try {
      this.outcome = judge(host, this.pass, options, isValue, what, now);
    } catch (error) {
      return this.#owner.ended(this, false, error, now);
    }
    this.#report(now);
    this.#owner.ended(this, isValue, what, now);
  }

  #giveUp(outcome: Outcome, now: number): void {
    this.#isOver = true;
    this.outcome = outcome;
    this.#owner.host.book.settle(this.pass, outcome, undefined, now);
    this.#report(now);
  }

  #report(now: number): void {
    this.#owner.host.report?.(reportOf(this.pass, this.number, this.outcome as Outcome, now, this.isHedge));
  }
}

/** What an attempt says of the peer that ended by itself; the book learns it. Throws what the user's judge throws: then nothing is known. */
export function judge<T>({ book, platform }: CallHost, pass: Pass, options: CheckedRunOptions<T>, isValue: boolean, what: unknown, now: number): Outcome {
  let outcome: Outcome;
  try {
    outcome = isValue ? options.judgeValue(what as T) : (options.judgeError?.(what) ?? { kind: platform.kindOfError?.(what) ?? "failed" });
  } catch (error) {
    book.release(pass);
    throw error;
  }
  book.settle(pass, outcome, isAnswer(isValue, outcome) ? now - pass.startedAt : undefined, now);
  return outcome;
}

/** An error that proves that the peer answered is an answer. */
export function isAnswer(isValue: boolean, outcome: Outcome | undefined): boolean {
  return isValue || outcome?.kind === "works" || outcome?.kind === "overload";
}

export function reportOf({ record, site, startedAt }: Pass, attempt: number, outcome: Outcome, now: number, isHedge: boolean): AttemptReport {
  return { peer: record.key, site: site.name, attempt, outcome, durationMs: toMs(now - startedAt), ...(isHedge ? { hedge: true } : {}) };
}
