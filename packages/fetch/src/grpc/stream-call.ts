import { InterceptingCall, status as Status } from "@grpc/grpc-js";
import type { InterceptingListener, Listener, Metadata, StatusObject } from "@grpc/grpc-js";
import type { Alarm } from "../alarm-queue.ts";
import { nowNs, toMs, toNs } from "../clock.ts";
import { DeadlineExceededError, PeerError } from "../errors.ts";
import type { Outcome } from "../outcome.ts";
import type { Pass } from "../peer-book.ts";
import type { PeersHost } from "../peers-host.ts";
import { isAnswer, judgeStatus, statusOfError } from "./status.ts";
import type { InnerCall } from "./unary-call.ts";

export interface StreamTerms {
  readonly site: string;
  /** Whether the peer answers in messages; otherwise in one, when all was sent. */
  readonly isAnswerStream: boolean;
  /** How long it may take until the first message, if that depends on the peer alone. */
  readonly firstMessageMs: number | "learned" | undefined;
}

/** A call that streams, admitted and judged; messages, and who waits for whom, are none of our business. */
export function streamCall(host: PeersHost, key: string, inner: InnerCall, terms: StreamTerms): InterceptingCall {
  let stream: Stream | undefined;
  return new InterceptingCall(inner, {
    start(metadata: Metadata, listener: InterceptingListener, next) {
      try {
        stream = new Stream(host, key, inner, terms);
      } catch (error) {
        // Nothing was sent of it, and nothing holds on to it.
        inner.cancelWithStatus(Status.CANCELLED, "refused");
        return queueMicrotask(() => listener.onReceiveStatus(statusOfError(error)));
      }
      next(metadata, stream.listener());
    },
    cancel(next) {
      stream?.cancel();
      next();
    },
  });
}

/**
 * One stream. Its first message proves that the peer works; that it broke off after it is a failure for itself. Its alarm is
 * armed until the first message, if ever.
 */
class Stream implements Alarm {
  readonly #host: PeersHost;
  readonly #inner: InnerCall;
  readonly #terms: StreamTerms;
  readonly #pass: Pass;
  dueAt = Infinity;
  place = -1;
  scope: Alarm["scope"];
  #state: "waiting" | "answering" | "over" = "waiting";
  #isCancelled = false;
  /** With what we ended it. */
  #given: StatusObject | undefined;

  /** Throws a `PeerError` if the peer is not to be asked. */
  constructor(host: PeersHost, key: string, inner: InnerCall, terms: StreamTerms) {
    host.enter(key);
    const pass = host.book.admit(key, terms.site, nowNs(host.clock));
    if (pass instanceof PeerError) throw pass;
    this.#host = host;
    this.#inner = inner;
    this.#terms = terms;
    this.#pass = pass;
    const { firstMessageMs } = terms;
    if (firstMessageMs === undefined) return;
    const waitNs = firstMessageMs === "learned" ? host.book.deadlineNs(pass.site, pass.startedAt) : toNs(firstMessageMs);
    this.dueAt = pass.startedAt + waitNs;
    host.alarms.arm(this);
  }

  listener(): Listener {
    return {
      onReceiveMessage: (message: unknown, next: (message: unknown) => void) => {
        if (this.#terms.isAnswerStream && this.#state === "waiting") this.#settle({ kind: "works" }, "answering", true);
        next(message);
      },
      onReceiveStatus: (status, next) => next(this.#ended(status)),
    };
  }

  /** The caller's, of whatever reason. */
  cancel(): void {
    this.#isCancelled = true;
  }

  #ended(status: StatusObject): StatusObject {
    if (this.#given !== undefined) return this.#given;
    const outcome: Outcome = this.#isCancelled && !isAnswer(status) ? { kind: "cancelled" } : judgeStatus(status);
    if (this.#state === "waiting") {
      this.#settle(outcome, "over", outcome.kind === "works");
      this.#report(outcome);
    } else if (this.#state === "answering") {
      this.#state = "over";
      this.#report(this.#broke(outcome));
    }
    return status;
  }

  /** How a stream ended that had begun to answer. */
  #broke(outcome: Outcome): Outcome {
    const { kind } = outcome;
    if (kind === "works" || kind === "local" || kind === "cancelled") return outcome;
    const broken: Outcome = kind === "overload" ? outcome : { ...outcome, kind: "body-broken" };
    this.#host.book.judge(this.#pass, broken, nowNs(this.#host.clock));
    return broken;
  }

  /** Nothing came in time. */
  ring(now: number): void {
    const isLearned = this.#terms.firstMessageMs === "learned";
    if (isLearned) this.#host.book.timedOut(this.#pass, now);
    else this.#host.book.censored(this.#pass, now);
    const error = new DeadlineExceededError(this.#pass.record.key, isLearned ? "learned" : "attempt", toMs(now - this.#pass.startedAt));
    this.#given = statusOfError(error);
    this.#settle({ kind: "timed-out" }, "over", false);
    this.#report({ kind: "timed-out" });
    this.#inner.cancelWithStatus(this.#given.code, this.#given.details);
  }

  #settle(outcome: Outcome, state: "answering" | "over", isAnswered: boolean): void {
    this.#state = state;
    const { alarms, book, clock } = this.#host;
    const now = nowNs(clock);
    const isMeasured = isAnswered && this.#terms.firstMessageMs !== undefined;
    alarms.disarm(this);
    book.settle(this.#pass, outcome, isMeasured ? now - this.#pass.startedAt : undefined, now);
  }

  #report(outcome: Outcome): void {
    const { record, site, startedAt } = this.#pass;
    this.#host.report?.({ peer: record.key, site: site.name, attempt: 1, outcome, durationMs: toMs(nowNs(this.#host.clock) - startedAt) });
  }
}
