// Of whoever uses the package, `lib` may have no disposal.
/// <reference lib="esnext.disposable" preserve="true" />
import type { CallHost } from "./call.ts";
import { nowNs, toMs, toNs } from "./clock.ts";
import type { Outcome, OutcomeKind } from "./outcome.ts";
import type { Pass } from "./peer-book.ts";

/**
 * Permit is leave to use a peer, for what is no single call: a stream, a socket. The first word counts; disposal gives it
 * back and says nothing of the peer.
 */
export class Permit implements Disposable {
  readonly #host: CallHost;
  readonly #pass: Pass;
  #isSettled = false;
  /** How long this peer's answers may take, as learned, in ms. */
  readonly deadlineMs: number;

  constructor(host: CallHost, pass: Pass) {
    this.#host = host;
    this.#pass = pass;
    this.deadlineMs = toMs(host.book.deadlineNs(pass.site, pass.startedAt));
  }

  get peer(): string {
    return this.#pass.record.key;
  }

  /** The peer works. `roundTripMs`: how long an answer took, if one was measured. */
  success(roundTripMs?: number): void {
    const isMeasured = roundTripMs !== undefined && roundTripMs > 0 && Number.isFinite(roundTripMs);
    this.#settle({ kind: "works" }, isMeasured ? toNs(roundTripMs) : undefined);
  }

  /** `retryAfterMs`: what the peer said about coming back. */
  failure(kind: Exclude<OutcomeKind, "works"> = "failed", retryAfterMs?: number): void {
    this.#settle({ kind, retryAfterMs }, undefined);
  }

  [Symbol.dispose](): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#host.book.release(this.#pass);
  }

  #settle(outcome: Outcome, roundTripNs: number | undefined): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#host.book.settle(this.#pass, outcome, roundTripNs, nowNs(this.#host.clock));
  }
}
