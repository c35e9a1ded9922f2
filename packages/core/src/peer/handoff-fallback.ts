import { assert } from "../base/assert.ts";
import { NS_PER_MS, NS_PER_S, elapsedNs } from "../base/time.ts";
import { MAX_ENTRIES, makeRoom } from "./make-room.ts";
import { UINT32_MAX, isQuantity } from "./quantity.ts";
import { readObject, readQuantity, wholeOption } from "./read-quantity.ts";

export interface HandoffFallbackOptions {
  /** Failed attempts of one backend and window that end further ones, at least 1. Default 8. */
  readonly maxFailedAttemptsPerWindow: number;
  /** Length of the window, in ns; 0 counts as 1 ms. Default 30 s. */
  readonly failedAttemptWindowNs: number;
  /** Backends with a window, at least 1. At the bound the oldest windows go. Default 16384. */
  readonly maxEntries: number;
}

const DEFAULTS: HandoffFallbackOptions = {
  maxFailedAttemptsPerWindow: 8,
  failedAttemptWindowNs: 30 * NS_PER_S,
  maxEntries: MAX_ENTRIES,
};

/** What is known when a connection could be handed to its backend. */
export interface HandoffInputs {
  /** The client's Hello says that it stays on a connection that changes hands. */
  readonly clientSupportsHandoff: boolean;
  /** The service's definition permits handoff. */
  readonly servicePolicyEnabled: boolean;
  /** Descriptor pressure has switched handoff off for now. */
  readonly fdPressureDisabled: boolean;
  /** The backend outlived an earlier broker; this broker has no channel to it. */
  readonly backendAdoptedExisting: boolean;
}

export type HandoffFailure = "permission-denied" | "integrity-mismatch" | "backend-ack-timeout";
export type FallbackReason =
  | "client-unsupported"
  | "service-policy-disabled"
  | "fd-pressure-disabled"
  | "adopted-backend"
  | "failed-attempt-rate-limited"
  | HandoffFailure;

/** Without `attempt` the client reconnects to the backend's own endpoint. `retryAfterNs` is what is left of a window. */
export type HandoffDecision = Readonly<
  { attempt: true } | { attempt: false; reason: FallbackReason; retryAfterNs: number | null }
>;

/** Plain data: where a backend's window began, and the failed attempts in it. */
export interface HandoffWindow {
  readonly startedAt: number;
  readonly count: number;
}

type Window = { -readonly [Field in keyof HandoffWindow]: number };

const ATTEMPT: HandoffDecision = Object.freeze({ attempt: true });

/**
 * HandoffFallbackPolicy decides whether to hand a connection to its backend. A failed handoff is never by itself an
 * error for a client: it falls back to reconnecting.
 *
 * Invariants:
 *   H1. The reasons are asked in the order of spec/handoff.md; a refusal for the inputs leaves the window untouched.
 *   H2. A count never passes the limit.
 *   H3. At most `maxEntries` backends have a window.
 */
export class HandoffFallbackPolicy<B extends string = string> {
  readonly options: HandoffFallbackOptions;
  readonly #windows = new Map<B, Window>();

  constructor(given: Partial<HandoffFallbackOptions> = {}) {
    const options = { ...DEFAULTS, ...given };
    const attemptsMax = wholeOption("maxFailedAttemptsPerWindow", options.maxFailedAttemptsPerWindow, 1, UINT32_MAX);
    const windowNs = wholeOption("failedAttemptWindowNs", options.failedAttemptWindowNs, 0);
    this.options = {
      maxFailedAttemptsPerWindow: attemptsMax,
      failedAttemptWindowNs: windowNs === 0 ? NS_PER_MS : windowNs,
      maxEntries: wholeOption("maxEntries", options.maxEntries, 1),
    };
  }

  shouldAttempt(backend: B, inputs: HandoffInputs, now: number): HandoffDecision {
    if (!inputs.clientSupportsHandoff) return fallback("client-unsupported"); // H1
    if (!inputs.servicePolicyEnabled) return fallback("service-policy-disabled");
    if (inputs.fdPressureDisabled) return fallback("fd-pressure-disabled");
    if (inputs.backendAdoptedExisting) return fallback("adopted-backend");
    const window = this.#refreshed(backend, now);
    if (window === undefined || window.count < this.options.maxFailedAttemptsPerWindow) return ATTEMPT;
    const leftNs = this.options.failedAttemptWindowNs - elapsedNs(now, window.startedAt);
    return fallback("failed-attempt-rate-limited", leftNs);
  }

  /** Counts a handoff that was attempted and failed, and answers the fallback that the client gets. */
  recordFailedAttempt(backend: B, failure: HandoffFailure, now: number): HandoffDecision {
    assert(isQuantity(now), "an instant is a quantity");
    let window = this.#refreshed(backend, now);
    if (window === undefined) {
      window = { startedAt: now, count: 0 };
      this.#makeRoom();
      this.#windows.set(backend, window);
    }
    window.count = Math.min(window.count + 1, this.options.maxFailedAttemptsPerWindow); // H2
    return fallback(failure);
  }

  failedAttemptCount(backend: B, now: number): number {
    return this.#refreshed(backend, now)?.count ?? 0;
  }

  recordSuccess(backend: B): void {
    this.#windows.delete(backend);
  }

  /** A copy of a backend's window, as it was last refreshed. */
  window(backend: B): HandoffWindow | undefined {
    const window = this.#windows.get(backend);
    return window && { ...window };
  }

  /** Takes a window over; a count beyond this policy's limit counts as the limit. Throws SNAPSHOT_INVALID. */
  restoreWindow(backend: B, window: HandoffWindow): void {
    const { startedAt, count } = readObject("handoff", window);
    const restored = {
      startedAt: readQuantity("handoff", "startedAt", startedAt),
      count: Math.min(readQuantity("handoff", "count", count, UINT32_MAX), this.options.maxFailedAttemptsPerWindow), // H2
    };
    if (!this.#windows.has(backend)) this.#makeRoom();
    this.#windows.set(backend, restored);
  }

  *[Symbol.iterator](): IterableIterator<[B, HandoffWindow]> {
    for (const [backend, window] of this.#windows) yield [backend, { ...window }];
  }

  /** The backend's window, started anew if it has expired; a window of exactly its full age has. */
  #refreshed(backend: B, now: number): Window | undefined {
    assert(isQuantity(now), "an instant is a quantity");
    const window = this.#windows.get(backend);
    if (window !== undefined && elapsedNs(now, window.startedAt) >= this.options.failedAttemptWindowNs) {
      window.startedAt = now;
      window.count = 0;
    }
    return window;
  }

  #makeRoom(): void {
    makeRoom(this.#windows, this.options.maxEntries, (window) => window.startedAt, undefined); // H3
  }
}

function fallback(reason: FallbackReason, retryAfterNs: number | null = null): HandoffDecision {
  return { attempt: false, reason, retryAfterNs };
}
