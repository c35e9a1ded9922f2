import type { CallHost } from "./call.ts";
import { nowNs, toMs } from "./clock.ts";
import type { Ender } from "./ender.ts";
import { DeadlineExceededError } from "./errors.ts";
import type { PeerRecord } from "./peer-record.ts";
import type { BodyWatch } from "./tracked-response.ts";

export interface FollowedTerms {
  /** When the peer was asked: what had been asked before it was given up says nothing new. */
  readonly epoch: number;
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
  readonly #record: PeerRecord;
  readonly #epoch: number;
  readonly #signal: AbortSignal | null | undefined;
  readonly #relay: AbortRelay | undefined;
  readonly #timer: unknown;
  readonly ender: Ender;
  readonly idle: BodyWatch["idle"];

  constructor(host: CallHost, record: PeerRecord, { epoch, ender, signal, endsAt, totalMs, idleMs, unheard }: FollowedTerms) {
    this.#host = host;
    this.#record = record;
    this.#epoch = epoch;
    this.#signal = signal;
    this.ender = ender;
    const { clock } = host;
    const { key } = record;
    this.idle = idleMs === undefined ? undefined : { ms: idleMs, error: () => new DeadlineExceededError(key, "body-idle", idleMs) };
    if (signal) {
      this.#relay = new AbortRelay(signal, ender);
      // Somebody may read the body of an answer that is forgotten itself: the fetch that we hear cancels what nobody reads.
      if (unheard !== undefined) unread.register(unheard, this.#relay, this.#relay);
    }
    if (endsAt !== Infinity) this.#timer = totalTimer(host, key, ender, totalMs, toMs(Math.max(0, endsAt - nowNs(clock))));
  }

  onEnd(): void {
    this.#end();
    if (this.#record.bodiesBreak) this.#host.book.bodyEnded(this.#record, this.#epoch, nowNs(this.#host.clock));
  }

  onBroken(): void {
    this.#end();
    if (this.#signal?.aborted !== true) this.#host.book.bodyBroke(this.#record, this.#epoch, nowNs(this.#host.clock));
  }

  onCancel(): void {
    this.#end();
  }

  setTimer(wake: () => void, delayMs: number): unknown {
    return this.#host.clock.setTimer(wake, delayMs);
  }

  clearTimer(timer: unknown): void {
    this.#host.clock.clearTimer(timer);
  }

  #end(): void {
    if (this.#timer !== undefined) this.#host.clock.clearTimer(this.#timer);
    if (this.#relay === undefined) return;
    this.#relay.end();
    unread.unregister(this.#relay);
  }
}

/** Runs behind the program's back: a body that nobody reads keeps no process alive. Apart, so that it holds no answer. */
function totalTimer({ clock }: CallHost, key: string, ender: Ender, totalMs: number, leftMs: number): unknown {
  return clock.setTimer(() => ender.abort(new DeadlineExceededError(key, "total", totalMs)), leftMs, true);
}
