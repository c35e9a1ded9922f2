import { addNs } from "../../base/time.ts";
import { UINT32_MAX, boundQuantity, powerOfTwo } from "../quantity.ts";

/**
 * The rules of BackoffTable for one peer, on its state.
 *
 * Invariants: B1, B2, B3 and B5 of BackoffTable.
 */

/** What an advisory is lengthened by at most, as a share of itself: see `adviceSpread`. */
export const ADVICE_SPREAD = 0.5;

/** How long to leave one failing peer alone. */
export interface BackoffSchedule {
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
}

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
  /** Since when advice has kept us away without an attempt, 0 = something was sent since. Only with `adviceApart`. */
  readonly advisedSince: number;
  /** The delay that the last failure caused, in ns, 0 = none: what `decorrelated` draws the next one from. */
  readonly delayNs: number;
}

/** The same, for whoever changes it. */
export type BackoffEntry = { -readonly [Field in keyof BackoffState]: BackoffState[Field] };

export function newBackoff(): BackoffEntry {
  return { attempts: 0, lastAttempt: 0, nextRetry: 0, failedAt: 0, advisedUntil: 0, advisedSince: 0, delayNs: 0 };
}

/** The peer failed. */
export function backOff(entry: BackoffEntry, schedule: BackoffSchedule, now: number): void {
  const repeated = schedule.oneStepPerInstant && entry.attempts > 0 && entry.failedAt === now;
  if (repeated && entry.nextRetry > now) return; // B3
  // A life sign may have ended the cooldown within this very instant: it is set anew, at the same step.
  if (!repeated) entry.attempts = nextAttempt(entry.attempts);
  entry.lastAttempt = now;
  entry.failedAt = now;
  entry.delayNs = delayOf(entry, schedule);
  entry.nextRetry = addNs(now, entry.delayNs); // B1
}

/**
 * The remote said how long to stay away, in ns: taken as told, up to `maxDelayNs`, and lengthened where there is
 * jitter. With `adviceApart` it is no failure, so that the schedule of failures does not move.
 */
export function takeAdvice(entry: BackoffEntry, schedule: BackoffSchedule, now: number, minBackoffNs: number): void {
  const { adviceApart, adviceTotalMaxNs, maxDelayNs } = schedule;
  entry.lastAttempt = now;
  const until = addNs(now, lengthened(Math.min(boundQuantity(minBackoffNs), maxDelayNs), schedule)); // B1
  if (!adviceApart) {
    entry.attempts = nextAttempt(entry.attempts);
    entry.nextRetry = until;
    return;
  }
  // Advice that ended so long ago kept nobody away; neither did any that we never wanted to act against.
  if (entry.advisedSince === 0 || now >= addNs(entry.advisedUntil, adviceTotalMaxNs)) entry.advisedSince = now;
  entry.advisedUntil = Math.max(entry.advisedUntil, Math.min(until, addNs(entry.advisedSince, adviceTotalMaxNs))); // B2, B5
}

/** Something is sent to the peer: what it advises from now on counts anew. True if that changed what is held. */
export function noteAttempt(entry: BackoffEntry, now: number): boolean {
  if (entry.advisedSince === 0 || entry.advisedUntil > now) return false;
  entry.advisedSince = 0;
  return true;
}

/** The peer works: its failures are forgotten; an advisory, too, that has run its time by `now`. True if nothing is left. */
export function forgiveFailures(entry: BackoffEntry, now: number): boolean {
  if (entry.advisedUntil <= now) return true;
  entry.attempts = entry.nextRetry = entry.failedAt = entry.delayNs = 0;
  return false;
}

/** The instant from which the peer may be tried. */
export function retryAtOf(entry: BackoffState): number {
  return Math.max(entry.nextRetry, entry.advisedUntil);
}

function nextAttempt(attempts: number): number {
  return attempts < UINT32_MAX ? attempts + 1 : UINT32_MAX;
}

/** What a failure costs, in ns, of the step that it made. */
function delayOf({ attempts, delayNs: lastNs }: BackoffState, { jitter, random, baseNs, maxDelayNs }: BackoffSchedule): number {
  if (jitter === "decorrelated") {
    // From `baseNs` to three times the last delay, which is `baseNs` at first; whole, and at most the cap.
    const widthNs = Math.max(0, 3 * Math.max(lastNs, baseNs) - baseNs);
    return Math.min(maxDelayNs, baseNs + Math.floor(random() * (widthNs + 1)));
  }
  const delayNs = Math.min(baseNs * powerOfTwo(attempts - 1), maxDelayNs);
  if (jitter === "none") return delayNs;
  // At least 1 ns and at most the whole one.
  const certainNs = jitter === "full" ? 0 : Math.floor(delayNs / 2);
  return Math.min(delayNs, certainNs + 1 + Math.floor(random() * (delayNs - certainNs)));
}

function lengthened(adviceNs: number, { jitter, random, adviceSpread }: BackoffSchedule): number {
  return jitter === "none" ? adviceNs : addNs(adviceNs, Math.floor(random() * adviceNs * adviceSpread));
}
