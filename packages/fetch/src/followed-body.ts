import type { CallHost } from "./call.ts";
import { nowNs, toMs } from "./clock.ts";
import type { Ender } from "./ender.ts";
import { DeadlineExceededError } from "./errors.ts";
import type { Pass } from "./peer-book.ts";
import type { BodyWatch } from "./tracked-response.ts";

export interface FollowedTerms {
  /** Ends the request. */
  readonly ender: Ender;
  readonly signal: AbortSignal | null | undefined;
  /** When all of it ends, in ns, and how long that was, in ms; Infinity = never. */
  readonly endsAt: number;
  readonly totalMs: number;
  readonly idleMs: number | undefined;
  /** The answer, if its end is heard of only by whoever reads it. */
  readonly unheard: Response | undefined;
}

/** Hands the caller's abort on. Apart from the answer, which nothing that the signal holds may hold. */
class AbortRelay {
  readonly #signal: AbortSignal;
  readonly #ender: Ender;

  constructor(signal: AbortSignal, ender: Ender) {
    this.#signal = signal;
    this.#ender = ender;
    signal.addEventListener("abort", this, { once: true });
  }

  handleEvent(): void {
    this.#ender.abort(this.#signal.reason);
  }

  end(): void {
    this.#signal.removeEventListener("abort", this);
  }
}

/** An answer that nobody reads to its end is forgotten some day, and the listener on the caller's signal with it. */
const unread = new FinalizationRegistry<AbortRelay>((relay) => relay.end());

/** What follows the headers of an answer: the rest of its peer's work, under the caller's signal and the call's whole time. */
export class FollowedBody implements BodyWatch {
  readonly #host: CallHost;
  /** The one under which it was asked for: what had been asked before the peer was given up says nothing new. */
  readonly #pass: Pass;
  readonly #terms: FollowedTerms;
  readonly #relay: AbortRelay | undefined;
  readonly #timer: unknown;
  /** While a chunk is waited for. */
  #idleTimer: unknown;

  constructor(host: CallHost, pass: Pass, terms: FollowedTerms) {
    this.#host = host;
    this.#pass = pass;
    this.#terms = terms;
    const { ender, signal, endsAt, totalMs, unheard } = terms;
    if (signal) {
      this.#relay = new AbortRelay(signal, ender);
      // Somebody may read the body of an answer that is forgotten itself: the fetch that we hear cancels what nobody reads.
      if (unheard !== undefined) unread.register(unheard, this.#relay, this.#relay);
    }
    // A body that nobody reads keeps no process alive.
    if (endsAt !== Infinity) this.#timer = setEnd(host, pass, ender, "total", totalMs, toMs(Math.max(0, endsAt - nowNs(host.clock))), true);
  }

  get hasIdleBound(): boolean {
    return this.#terms.idleMs !== undefined;
  }

  onWait(): void {
    const { ender, idleMs } = this.#terms;
    if (idleMs !== undefined) this.#idleTimer = setEnd(this.#host, this.#pass, ender, "body-idle", idleMs, idleMs, false);
  }

  onWaited(): void {
    if (this.#idleTimer !== undefined) this.#host.clock.clearTimer(this.#idleTimer);
  }

  onEnd(): void {
    this.onCancel();
    if (this.#pass.record.bodiesBreak) this.#host.book.bodyEnded(this.#pass, nowNs(this.#host.clock));
  }

  onBroken(): void {
    this.onCancel();
    if (this.#terms.signal?.aborted !== true) this.#host.book.bodyBroke(this.#pass, nowNs(this.#host.clock));
  }

  onCancel(): void {
    if (this.#timer !== undefined) this.#host.clock.clearTimer(this.#timer);
    if (this.#relay === undefined) return;
    this.#relay.end();
    unread.unregister(this.#relay);
  }
}

/** Apart, so that the timer holds no answer. */
function setEnd(
  { clock }: CallHost, { record: { key } }: Pass, ender: Ender, deadline: "total" | "body-idle", deadlineMs: number, leftMs: number, isBackground: boolean,
): unknown {
  return clock.setTimer(() => ender.abort(new DeadlineExceededError(key, deadline, deadlineMs)), leftMs, isBackground);
}
