import { assert } from "../../base/assert.ts";
import { RuntimeError } from "../../base/errors.ts";
import type { PeerId } from "../../base/ids.ts";
import { addNs, NS_PER_MS, NS_PER_S } from "../../base/time.ts";
import { MAX_ENTRIES, makeRoom } from "../make-room.ts";
import { UINT32_MAX, boundQuantity, isQuantity } from "../quantity.ts";
import { readObject, readQuantity, wholeOption } from "../read-quantity.ts";
import {
  ADVICE_SPREAD, backOff, forgiveFailures, lengthenAdvice, newBackoff, nextAttempt, noteAttempt, retryAtOf, spreadDelay, takeAdvice,
} from "./backoff-schedule.ts";
import type { BackoffEntry, BackoffSchedule, BackoffState } from "./backoff-schedule.ts";

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
   * delay, `equal` from its upper half, `decorrelated` from `baseNs` to three times the last delay; each lengthens an
   * advisory by up to `adviceSpread` of it. Default `none`. Source: M. Brooker, "Exponential Backoff And Jitter" (AWS
   * Architecture Blog, 2015), for all three.
   */
  readonly jitter: "none" | "full" | "equal" | "decorrelated";
  /**
   * An advisory is lengthened by a uniform share of itself, up to this one; above 0. Default 0.5. Of n clients that were
   * given the same advice, more than 1.5 times the mean arrive in one of B equal parts of the spread with a probability
   * of at most B · exp(−0.108 · n / B) (Chernoff's bound for a Poisson count): 2e−8 for 10 000 clients and 50 parts,
   * whatever the share. The share is what divides their rate: half of the advice gives a server as many clients a
   * second as it gets when they come evenly over half of the time that it asked for.
   */
  readonly adviceSpread: number;
  /**
   * The longest that advice upon advice keeps us away without anything sent in between, or shown to work after it, in ns, at least 1;
   * the spread of the last one is part of it. Only with `adviceApart`. Default 300 s.
   */
  readonly adviceTotalMaxNs: number;
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
  adviceSpread: ADVICE_SPREAD,
  adviceTotalMaxNs: 300 * NS_PER_S,
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

/** The instant from which a peer may be tried that cools down until then. */
export type Cooldown = Readonly<{ allow: false; reason: "cooldown"; retryAt: number }>;

interface Entry extends BackoffEntry {
  /** What was last answered of it, so that asking again makes no garbage. */
  cooldown: Cooldown | undefined;
}

/**
 * BackoffTable says how long to leave a failing peer alone. A peer without an entry may always be tried.
 *
 *     no entry ──failure──▶ cooling down, doubling each time ──success──▶ no entry
 *
 * Invariants:
 *   B1. No cooldown that a failure sets ends later than `now + maxDelayNs`, and none that was advised later than
 *       `now + maxDelayNs · (1 + adviceSpread)`: the spread comes on top, or all who are told too much came back at once.
 *   B2. With `adviceApart` an advisory never makes a peer's cooldown end earlier.
 *   B3. With `oneStepPerInstant` the failures of one instant raise `attempts` once.
 *   B4. At most `maxEntries` peers have an entry.
 *   B5. With `adviceApart` no advisory ends later than `advisedSince + adviceTotalMaxNs`.
 */
export class BackoffTable<K extends string = PeerId> {
  readonly #options: BackoffOptions<K>;
  readonly #schedule: BackoffSchedule;
  readonly #entries = new Map<K, Entry>();
  #version = 0;

  constructor(given: Partial<BackoffOptions<K>> = {}) {
    const options = { ...PRODUCT_BACKOFF, ...given };
    if (!["none", "full", "equal", "decorrelated"].includes(options.jitter)) {
      throw new RuntimeError("OPTION_INVALID", { option: "jitter", value: options.jitter });
    }
    if (!(options.adviceSpread > 0 && options.adviceSpread <= 10)) {
      throw new RuntimeError("OPTION_INVALID", { option: "adviceSpread", value: options.adviceSpread });
    }
    this.#options = {
      ...options,
      baseNs: wholeOption("baseNs", options.baseNs, 1),
      maxDelayNs: wholeOption("maxDelayNs", options.maxDelayNs, 1),
      adviceTotalMaxNs: wholeOption("adviceTotalMaxNs", options.adviceTotalMaxNs, 1),
      maxEntries: wholeOption("maxEntries", options.maxEntries, 1),
    };
    this.#schedule = scheduleOf(this.#options);
  }

  /** Changes with everything that may change when a peer may be tried. */
  get version(): number {
    return this.#version;
  }

  /** Peers with an entry, whether their cooldown is over or not. */
  get size(): number {
    return this.#entries.size;
  }

  recordFailure(peer: K, now: number): void {
    assert(isQuantity(now), "an instant is a quantity");
    const entry = this.#entryOf(peer);
    if (this.#options.oneStepPerInstant && entry.attempts > 0 && entry.failedAt === now) {
      if (entry.nextRetry > now) return; // B3
      // A life sign may have ended the cooldown within this very instant: it is set anew, at the same step.
      entry.attempts--;
    }
    backOff(entry, this.#schedule, now); // B1
  }

  /**
   * The remote said how long to stay away, in ns: taken as told, up to `maxDelayNs`, and lengthened where there is
   * jitter. With `adviceApart` it is no failure, so that the schedule of failures does not move.
   */
  recordRemoteAdvisory(peer: K, now: number, minBackoffNs: number): void {
    assert(isQuantity(now), "an instant is a quantity");
    const entry = this.#entryOf(peer);
    if (this.#options.adviceApart) return takeAdvice(entry, this.#schedule, now, minBackoffNs); // B1, B2, B5
    entry.attempts = nextAttempt(entry.attempts);
    entry.lastAttempt = now;
    entry.nextRetry = addNs(now, this.#schedule.lengthen(Math.min(boundQuantity(minBackoffNs), this.#options.maxDelayNs))); // B1
  }

  /** Something is sent to the peer: what it advises from now on counts anew. True if that changed what is held. */
  recordAttempt(peer: K, now: number): boolean {
    const entry = this.#entries.get(peer);
    return entry !== undefined && noteAttempt(entry, now);
  }

  /** Forgets the peer's failures; with `adviceApart` not its advisory, unless that has run its time by `now`. */
  recordSuccess(peer: K, now = 0): void {
    const entry = this.#entries.get(peer);
    if (entry === undefined) return;
    this.#version++;
    if (forgiveFailures(entry, now)) this.#entries.delete(peer);
  }

  /**
   * The peer shows life: a back-off that failures caused ends at once, one that it advised runs its time. The step
   * of the schedule stays until a success, so that a peer that shows life and fails all the same is left longer.
   */
  endFailureBackoff(peer: K): void {
    const entry = this.#entries.get(peer);
    if (entry === undefined) return;
    this.#version++;
    entry.nextRetry = 0;
  }

  /** The boundary itself is allowed. */
  shouldRetry(peer: K, now: number): boolean {
    return now >= this.retryAt(peer);
  }

  /** The instant from which the peer may be tried; 0 for a peer without an entry. */
  retryAt(peer: K): number {
    const entry = this.#entries.get(peer);
    return entry === undefined ? 0 : retryAtOf(entry);
  }

  /** What keeps us from trying the peer at `now`. */
  cooldown(peer: K, now: number): Cooldown | undefined {
    const entry = this.#entries.get(peer);
    if (entry === undefined) return undefined;
    const { nextRetry, advisedUntil, cooldown } = entry;
    if (now >= nextRetry && now >= advisedUntil) return undefined;
    const isCurrent = cooldown !== undefined && (nextRetry > advisedUntil ? cooldown.retryAt === nextRetry : cooldown.retryAt === advisedUntil);
    return isCurrent ? cooldown : (entry.cooldown = { allow: false, reason: "cooldown", retryAt: retryAtOf(entry) });
  }

  /** Consecutive failures: the step of the schedule, 0 = none since the last success. */
  attempts(peer: K): number {
    return this.#entries.get(peer)?.attempts ?? 0;
  }

  /** A copy of what is held for the peer. */
  state(peer: K): BackoffState | undefined {
    const entry = this.#entries.get(peer);
    return entry && stateOf(entry);
  }

  /** Takes a state over verbatim, counting nothing. Throws SNAPSHOT_INVALID. */
  restoreState(peer: K, state: BackoffState): void {
    const entry = readBackoff(state);
    Object.assign(this.#entryOf(peer), entry);
  }

  *[Symbol.iterator](): IterableIterator<[K, BackoffState]> {
    for (const [peer, entry] of this.#entries) yield [peer, stateOf(entry)];
  }

  /** For whoever changes it. */
  #entryOf(peer: K): Entry {
    this.#version++;
    let entry = this.#entries.get(peer);
    if (entry === undefined) {
      makeRoom(this.#entries, this.#options.maxEntries, retryAtOf, this.#options.onEvict); // B4
      entry = { ...newBackoff(), cooldown: undefined };
      this.#entries.set(peer, entry);
    }
    return entry;
  }
}

function scheduleOf({ baseNs, maxDelayNs, adviceTotalMaxNs, adviceSpread, jitter, random }: Omit<BackoffOptions<never>, "onEvict">): BackoffSchedule {
  const bounds = { baseNs, maxDelayNs, adviceTotalMaxNs };
  if (jitter === "none") return { ...bounds, spread: (delayNs) => delayNs, lengthen: (adviceNs) => adviceNs };
  const lengthen = (adviceNs: number): number => lengthenAdvice(adviceNs, random(), adviceSpread);
  if (jitter === "full") return { ...bounds, lengthen, spread: (delayNs) => spreadDelay(delayNs, 0, random()) };
  if (jitter === "equal") return { ...bounds, lengthen, spread: (delayNs) => spreadDelay(delayNs, Math.floor(delayNs / 2), random()) };
  const spread = (_delayNs: number, lastNs: number): number => {
    // From `baseNs` to three times the last delay, which is `baseNs` at first; whole, and at most the cap.
    const widthNs = Math.max(0, 3 * Math.max(lastNs, baseNs) - baseNs);
    return Math.min(maxDelayNs, baseNs + Math.floor(random() * (widthNs + 1)));
  };
  return { ...bounds, lengthen, spread };
}

/** Checks a stored state. Throws SNAPSHOT_INVALID. */
function readBackoff(state: BackoffState): BackoffEntry {
  const { attempts, lastAttempt, nextRetry, failedAt, advisedUntil, advisedSince, delayNs } = readObject("backoff", state);
  return {
    attempts: readQuantity("backoff", "attempts", attempts, UINT32_MAX),
    lastAttempt: readQuantity("backoff", "lastAttempt", lastAttempt),
    nextRetry: readQuantity("backoff", "nextRetry", nextRetry),
    failedAt: readQuantity("backoff", "failedAt", failedAt),
    advisedUntil: readQuantity("backoff", "advisedUntil", advisedUntil),
    advisedSince: readQuantity("backoff", "advisedSince", advisedSince),
    delayNs: readQuantity("backoff", "delayNs", delayNs),
  };
}

function stateOf({ attempts, lastAttempt, nextRetry, failedAt, advisedUntil, advisedSince, delayNs }: Entry): BackoffState {
  return { attempts, lastAttempt, nextRetry, failedAt, advisedUntil, advisedSince, delayNs };
}
