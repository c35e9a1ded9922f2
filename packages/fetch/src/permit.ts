// Of whoever uses the package, `lib` may have no disposal.
/// <reference lib="esnext.disposable" preserve="true" />
import type { Clock } from "./clock.ts";
import { nowNs } from "./clock.ts";
import type { OutcomeKind } from "./outcome.ts";
import type { Pass, PeerBook } from "./peer-book.ts";

/**
 * Permit is leave to use a peer, for what is no single call: a stream, a socket. The first word counts; disposal gives it
 * back and says nothing of the peer.
 */
export class Permit implements Disposable {
  readonly #book: PeerBook;
  readonly #clock: Clock;
  readonly #pass: Pass;
  #isSettled = false;
  /** How long this peer's answers may take, as learned, in ms. */
  readonly deadlineMs: number;

  constructor(book: PeerBook, clock: Clock, pass: Pass, deadlineMs: number) {
    this.#book = book;
    this.#clock = clock;
    this.#pass = pass;
    this.deadlineMs = deadlineMs;
  }

  get peer(): string {
    return this.#pass.record.key;
  }

  /** The peer works. `roundTripMs`: how long an answer took, if one was measured. */
  success(roundTripMs?: number): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    const isMeasured = roundTripMs !== undefined && roundTripMs > 0 && Number.isFinite(roundTripMs);
    this.#book.settle(this.#pass, { kind: "works" }, isMeasured ? roundTripMs * 1e6 : undefined, nowNs(this.#clock));
  }

  /** `retryAfterMs`: what the peer said about coming back. */
  failure(kind: Exclude<OutcomeKind, "works"> = "failed", retryAfterMs?: number): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#book.settle(this.#pass, { kind, retryAfterMs }, undefined, nowNs(this.#clock));
  }

  [Symbol.dispose](): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#book.release(this.#pass);
  }
}
