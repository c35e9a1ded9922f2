import { nowNs, toMs } from "./clock.ts";
import type { Clock } from "./clock.ts";
import { DeadlineExceededError } from "./errors.ts";
import type { Outcome } from "./outcome.ts";
import type { Pass, PeerBook } from "./peer-book.ts";
import type { CheckedRunOptions } from "./run-options.ts";

/** Work that may end its own attempt later, when the answer's body is still on its way. */
export type AttemptWork<T> = (signal: AbortSignal, attempt: number, end: (reason: unknown) => void) => T | PromiseLike<T>;

/** A timer that comes so late, in ms, found our own loop busy: what has arrived meanwhile is heard first. */
const OWN_LAG_MS = 25;
const ROUNDING_MS = 0.001;

export interface AttemptTerms {
  /** When it ends, in ns, and by whose word; Infinity = never. */
  readonly dueAt: number;
  readonly deadline: DeadlineExceededError["deadline"];
  /** Whether the peer is to blame when it ends so. */
  readonly isFault: boolean;
}

/**
 * Attempt is one try: work that races its deadline and the caller's signal, whichever comes first. What comes later is
 * learned from, and changes nothing else. At most one timer, and one listener on the caller's signal; both are gone when
 * it is settled.
 */
export class Attempt<T> {
  readonly #book: PeerBook;
  readonly #clock: Clock;
  readonly #pass: Pass;
  readonly #options: CheckedRunOptions<T>;
  readonly #terms: AttemptTerms;
  readonly #controller = new AbortController();
  #timer: unknown;
  #isSettled = false;
  #isExcused = false;
  #resolve!: (value: T) => void;
  #reject!: (reason: unknown) => void;
  /** How it went; undefined while it is under way. */
  outcome: Outcome | undefined;

  constructor(book: PeerBook, clock: Clock, pass: Pass, options: CheckedRunOptions<T>, terms: AttemptTerms) {
    this.#book = book;
    this.#clock = clock;
    this.#pass = pass;
    this.#options = options;
    this.#terms = terms;
  }

  run(work: AttemptWork<T>, attempt: number): Promise<T> {
    return this.#terms.dueAt === Infinity && this.#options.signal === undefined ? this.#unbounded(work, attempt) : this.#race(work, attempt);
  }

  /** Nothing can end it but itself: there is no race, and nothing to pay for one. */
  async #unbounded(work: AttemptWork<T>, attempt: number): Promise<T> {
    let value: T;
    try {
      value = await work(this.#controller.signal, attempt, endOf(this.#controller));
    } catch (error) {
      throw this.#judgeError(error);
    }
    this.#judgeValue(value);
    return value;
  }

  #race(work: AttemptWork<T>, attempt: number): Promise<T> {
    const settled = new Promise<T>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const { dueAt } = this.#terms;
    if (dueAt !== Infinity) this.#arm(toMs(dueAt - this.#pass.startedAt));
    this.#options.signal?.addEventListener("abort", this);
    try {
      const answer = work(this.#controller.signal, attempt, endOf(this.#controller));
      if (isPromiseLike(answer)) answer.then((value) => this.#answered(value), (error: unknown) => this.#failed(error));
      else this.#answered(answer);
    } catch (error) {
      this.#failed(error);
    }
    return settled;
  }

  /** The caller's signal. */
  handleEvent(): void {
    if (this.#isSettled) return;
    const { reason } = this.#options.signal as AbortSignal;
    const now = nowNs(this.#clock);
    this.#settle();
    this.#book.censored(this.#pass, now);
    this.outcome = { kind: "cancelled" };
    this.#book.settle(this.#pass, this.outcome, undefined, now);
    this.#reject(reason);
    this.#controller.abort(reason);
  }

  #answered(value: T): void {
    if (this.#isSettled) {
      if (this.outcome?.kind === "timed-out") this.#book.answeredLate(this.#pass, nowNs(this.#clock));
      this.#options.discard?.(value);
      return;
    }
    this.#settle();
    try {
      this.#judgeValue(value);
    } catch (error) {
      return this.#reject(error);
    }
    this.#resolve(value);
  }

  #failed(error: unknown): void {
    if (this.#isSettled) return;
    this.#settle();
    this.#reject(this.#judgeError(error));
  }

  /** Throws what the user's judge throws: then nothing is known of the attempt. */
  #judgeValue(value: T): void {
    const now = nowNs(this.#clock);
    let outcome: Outcome;
    try {
      outcome = this.#options.judgeValue(value);
    } catch (error) {
      this.#book.release(this.#pass);
      throw error;
    }
    this.outcome = outcome;
    this.#book.settle(this.#pass, outcome, now - this.#pass.startedAt, now);
  }

  /** Answers what to throw: the error itself, or what the user's judge threw. */
  #judgeError(error: unknown): unknown {
    const now = nowNs(this.#clock);
    let outcome: Outcome;
    try {
      outcome = this.#options.judgeError(error);
    } catch (judgement) {
      this.#book.release(this.#pass);
      return judgement;
    }
    this.outcome = outcome;
    // An error that proves that the peer answered is an answer.
    const isAnswer = outcome.kind === "works" || outcome.kind === "overload";
    this.#book.settle(this.#pass, outcome, isAnswer ? now - this.#pass.startedAt : undefined, now);
    return error;
  }

  #timedOut(): void {
    if (this.#isSettled) return;
    const { dueAt, deadline, isFault } = this.#terms;
    const now = nowNs(this.#clock);
    const lateMs = toMs(now - dueAt);
    // Timers of this platform may be early, too; what a fraction of a ms loses in ns is nothing.
    if (lateMs < -ROUNDING_MS) return this.#arm(-lateMs);
    if (lateMs > OWN_LAG_MS && !this.#isExcused) {
      this.#isExcused = true;
      return this.#arm(1);
    }
    this.#settle();
    if (deadline === "learned") this.#book.timedOut(this.#pass, now);
    else this.#book.censored(this.#pass, now);
    this.outcome = { kind: isFault ? "timed-out" : "cancelled", retry: deadline !== "total" };
    this.#book.settle(this.#pass, this.outcome, undefined, now);
    const error = new DeadlineExceededError(this.#pass.record.key, deadline, toMs(now - this.#pass.startedAt));
    this.#reject(error);
    this.#controller.abort(error);
  }

  #arm(delayMs: number): void {
    this.#timer = this.#clock.setTimer(() => this.#timedOut(), delayMs);
  }

  #settle(): void {
    this.#isSettled = true;
    if (this.#timer !== undefined) this.#clock.clearTimer(this.#timer);
    this.#options.signal?.removeEventListener("abort", this);
  }
}

/** Holds on to nothing else: who keeps it for long keeps no answer. */
function endOf(controller: AbortController): (reason: unknown) => void {
  return (reason) => controller.abort(reason);
}

function isPromiseLike<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}
