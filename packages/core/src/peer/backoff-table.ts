import { assert } from "../base/assert.ts";
import { RuntimeError } from "../base/errors.ts";
import type { PeerId } from "../base/ids.ts";
import { NS_PER_MS, NS_PER_S, addNs } from "../base/time.ts";
import { MAX_ENTRIES, makeRoom } from "./make-room.ts";
import { UINT32_MAX, boundQuantity, isQuantity, powerOfTwo, readObject, readQuantity, wholeOption } from "./quantity.ts";

export interface BackoffOptions<K extends string = PeerId> {
  /** Delay after the first failure, in ns; doubles with each further one. At least 1. Default 10 ms. */
  readonly baseNs: number;
  /** Longest delay, in ns, also of one that the remote advised. At least 1. Default 60 s. */
  readonly maxDelayNs: number;
  /** Failures of one instant (a broken connection with many requests in flight) count as one. Reference: false. */
  readonly oneStepPerInstant: boolean;
  /** An advisory is kept apart: it never shortens a cooldown, and no success clears it. Reference: false. */
  readonly adviceApart: boolean;
  /**
   * Spreads delays, so that peers that failed together do not come back together: `full` draws from all of the
   * delay, `equal` from its upper half; both lengthen an advisory by up to a quarter. Default `none`.
   */
  readonly jitter: "none" | "full" | "equal";
  /** Draws from [0, 1): the engine's seeded generator. Needed for jitter only. */
  readonly random: () => number;
  /** Peers held, at least 1. At the bound those go that may be tried, or may be soonest. Default 16384. */
  readonly maxEntries: number;
  /** Told each peer that the bound drops, so that its stored state can go too. */
  readonly onEvict: ((peer: K) => void) | undefined;
}

/** What the product runs with, and the default. Jitter needs the engine's generator, so the engine switches it on. */
export const PRODUCT_BACKOFF: BackoffOptions<string> = {
  baseNs: 10 * NS_PER_MS,
  maxDelayNs: 60 * NS_PER_S,
  oneStepPerInstant: true,
  adviceApart: true,
  jitter: "none",
  random: () => 0,
  maxEntries: MAX_ENTRIES,
  onEvict: undefined,
};

/** The behaviour that the vectors record (spec/peers.md §1). */
export const REFERENCE_BACKOFF: BackoffOptions<string> = {
  ...PRODUCT_BACKOFF,
  oneStepPerInstant: false,
  adviceApart: false,
};

/** What is known of one peer that failed or asked to be left alone. Plain data; times are engine time. */
export interface BackoffState {
  /** Consecutive failures and advisories: the step of the schedule. */
  readonly attempts: number;
  readonly lastAttempt: number;
  /** End of the cooldown that failures caused; in the reference also of one that was advised. */
  readonly nextRetry: number;
  /** Instant of the last failure that counted, 0 = none. */
  readonly failedAt: number;
  /** End of the cooldown that the remote advised, 0 = none. Only with `adviceApart`. */
  readonly advisedUntil: number;
}

type Entry = { -readonly [Field in keyof BackoffState]: number };

/**
 * BackoffTable says how long to leave a failing peer alone. A peer without an entry may always be tried.
 *
 *     no entry ──failure──▶ cooling down, doubling each time ──success──▶ no entry
 *
 * Invariants:
 *   B1. No cooldown set by a call ends later than `now + maxDelayNs`.
 *   B2. With `adviceApart` an advisory never makes a peer's cooldown end earlier.
 *   B3. With `oneStepPerInstant` the failures of one instant raise `attempts` once.
 *   B4. At most `maxEntries` peers have an entry.
 */
export class BackoffTable<K extends string = PeerId> {
  readonly #options: BackoffOptions<K>;
  readonly #entries = new Map<K, Entry>();

  constructor(given: Partial<BackoffOptions<K>> = {}) {
    const options = { ...PRODUCT_BACKOFF, ...given };
    if (!["none", "full", "equal"].includes(options.jitter)) {
      throw new RuntimeError("OPTION_INVALID", { option: "jitter", value: options.jitter });
    }
    this.#options = {
      ...options,
      baseNs: wholeOption("baseNs", options.baseNs, 1),
      maxDelayNs: wholeOption("maxDelayNs", options.maxDelayNs, 1),
      maxEntries: wholeOption("maxEntries", options.maxEntries, 1),
    };
  }

  /** Peers with an entry, whether their cooldown is over or not. */
  get size(): number {
    return this.#entries.size;
  }

  recordFailure(peer: K, now: number): void {
    assert(isQuantity(now), "an instant is a quantity");
    const entry = this.#entryOf(peer);
    const repeated = this.#options.oneStepPerInstant && entry.attempts > 0 && entry.failedAt === now;
    if (repeated && entry.nextRetry > now) return; // B3
    // A life sign may have ended the cooldown within this very instant: it is set anew, at the same step.
    if (!repeated) entry.attempts = nextAttempt(entry.attempts);
    entry.lastAttempt = now;
    entry.failedAt = now;
    entry.nextRetry = addNs(now, this.#spread(this.#delayNs(entry.attempts))); // B1
  }

  /** The remote said how long to stay away, in ns: taken as told, up to `maxDelayNs`. */
  recordRemoteAdvisory(peer: K, now: number, minBackoffNs: number): void {
    assert(isQuantity(now), "an instant is a quantity");
    const entry = this.#entryOf(peer);
    entry.attempts = nextAttempt(entry.attempts);
    entry.lastAttempt = now;
    const until = addNs(now, this.#lengthen(boundQuantity(minBackoffNs))); // B1
    if (this.#options.adviceApart) entry.advisedUntil = Math.max(entry.advisedUntil, until); // B2
    else entry.nextRetry = until;
  }

  /** Forgets the peer's failures; with `adviceApart` not its advisory, unless that has run its time by `now`. */
  recordSuccess(peer: K, now = 0): void {
    const entry = this.#entries.get(peer);
    if (entry === undefined) return;
    if (entry.advisedUntil <= now) this.#entries.delete(peer);
    else Object.assign(entry, { attempts: 0, nextRetry: 0, failedAt: 0 });
  }

  /**
   * The peer shows life: a back-off that failures caused ends at once, one that it advised runs its time. The step
   * of the schedule stays until a success, so that a peer that shows life and fails all the same is left longer.
   */
  endFailureBackoff(peer: K): void {
    const entry = this.#entries.get(peer);
    if (entry !== undefined) entry.nextRetry = 0;
  }

  /** The boundary itself is allowed. */
  shouldRetry(peer: K, now: number): boolean {
    return now >= this.retryAt(peer);
  }

  /** The instant from which the peer may be tried; 0 for a peer without an entry. */
  retryAt(peer: K): number {
    const entry = this.#entries.get(peer);
    return entry === undefined ? 0 : endOf(entry);
  }

  /** A copy of what is held for the peer. */
  state(peer: K): BackoffState | undefined {
    const entry = this.#entries.get(peer);
    return entry && { ...entry };
  }

  /** Takes a state over verbatim, counting nothing. Throws SNAPSHOT_INVALID. */
  restoreState(peer: K, state: BackoffState): void {
    const { attempts, lastAttempt, nextRetry, failedAt, advisedUntil } = readObject("backoff", state);
    const entry = {
      attempts: readQuantity("backoff", "attempts", attempts, UINT32_MAX),
      lastAttempt: readQuantity("backoff", "lastAttempt", lastAttempt),
      nextRetry: readQuantity("backoff", "nextRetry", nextRetry),
      failedAt: readQuantity("backoff", "failedAt", failedAt),
      advisedUntil: readQuantity("backoff", "advisedUntil", advisedUntil),
    };
    Object.assign(this.#entryOf(peer), entry);
  }

  *[Symbol.iterator](): IterableIterator<[K, BackoffState]> {
    for (const [peer, entry] of this.#entries) yield [peer, { ...entry }];
  }

  #entryOf(peer: K): Entry {
    let entry = this.#entries.get(peer);
    if (entry === undefined) {
      makeRoom(this.#entries, this.#options.maxEntries, endOf, this.#options.onEvict); // B4
      entry = { attempts: 0, lastAttempt: 0, nextRetry: 0, failedAt: 0, advisedUntil: 0 };
      this.#entries.set(peer, entry);
    }
    return entry;
  }

  #delayNs(attempts: number): number {
    return Math.min(this.#options.baseNs * powerOfTwo(attempts - 1), this.#options.maxDelayNs);
  }

  /** A delay of at least 1 ns and at most the whole one. */
  #spread(delayNs: number): number {
    const { jitter, random } = this.#options;
    if (jitter === "none") return delayNs;
    const certainNs = jitter === "full" ? 0 : Math.floor(delayNs / 2);
    return Math.min(delayNs, certainNs + 1 + Math.floor(random() * (delayNs - certainNs)));
  }

  #lengthen(adviceNs: number): number {
    const { jitter, random, maxDelayNs } = this.#options;
    const extraNs = jitter === "none" ? 0 : Math.floor((random() * adviceNs) / 4);
    return Math.min(adviceNs + extraNs, maxDelayNs);
  }
}

function nextAttempt(attempts: number): number {
  return attempts < UINT32_MAX ? attempts + 1 : UINT32_MAX;
}

function endOf(entry: BackoffState): number {
  return Math.max(entry.nextRetry, entry.advisedUntil);
}
