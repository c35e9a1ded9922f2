import { addNs } from "../../base/time.ts";
import { UINT32_MAX, boundQuantity, powerOfTwo } from "../quantity.ts";

/**
 * The rules of BackoffTable for one peer, on its state, as the product has them: failures of one instant are each a step,
 * and advice is kept apart.
 *
 * Invariants: B1, B2 and B5 of BackoffTable.
 */

/** An advisory is lengthened by a uniform share of itself, up to this one: `adviceSpread` of BackoffOptions says why. */
export const ADVICE_SPREAD = 0.5;

/** How long to leave one failing peer alone: what BackoffOptions come to. */
export interface BackoffSchedule {
  /** Delay after the first failure, in ns; doubles with each further one. */
  readonly baseNs: number;
  /** Longest delay, in ns, also of one that the remote advised. */
  readonly maxDelayNs: number;
  /** The longest that advice upon advice keeps us away, in ns. */
  readonly adviceTotalMaxNs: number;
  /** Spreads the delay of a step, in ns, which the last one follows. */
  readonly spread: (delayNs: number, lastNs: number) => number;
  /** Spreads an advisory, in ns: never shortens it. */
  readonly lengthen: (adviceNs: number) => number;
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
export function backOff(entry: BackoffEntry, { baseNs, maxDelayNs, spread }: BackoffSchedule, now: number): void {
  entry.attempts = nextAttempt(entry.attempts);
  entry.lastAttempt = entry.failedAt = now;
  entry.delayNs = spread(Math.min(baseNs * powerOfTwo(entry.attempts - 1), maxDelayNs), entry.delayNs);
  entry.nextRetry = addNs(now, entry.delayNs); // B1
}

/**
 * The remote said how long to stay away, in ns: taken as told, up to `maxDelayNs`, and spread. It is no failure: the
 * schedule of failures does not move.
 */
export function takeAdvice(entry: BackoffEntry, { adviceTotalMaxNs, maxDelayNs, lengthen }: BackoffSchedule, now: number, minBackoffNs: number): void {
  entry.lastAttempt = now;
  const until = addNs(now, lengthen(Math.min(boundQuantity(minBackoffNs), maxDelayNs))); // B1
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

/** The step after this one. */
export function nextAttempt(attempts: number): number {
  return attempts < UINT32_MAX ? attempts + 1 : UINT32_MAX;
}

/** A delay from what is certain of it up to the whole one, at least 1 ns. `chance` is in [0, 1). */
export function spreadDelay(delayNs: number, certainNs: number, chance: number): number {
  return Math.min(delayNs, certainNs + 1 + Math.floor(chance * (delayNs - certainNs)));
}

/** An advisory and up to so large a share of it. `chance` is in [0, 1). */
export function lengthenAdvice(adviceNs: number, chance: number, share: number): number {
  return addNs(adviceNs, Math.floor(chance * adviceNs * share));
}
