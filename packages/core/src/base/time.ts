/**
 * Times and durations are whole nanoseconds on the engine's own clock, as plain numbers. The clock starts at 1
 * (0 means "never seen") and goes on over restarts. Beyond 2^53 a number merely loses its last digits, so sums
 * saturate at 2^64 − 1's nearest double and never at 2^53 − 1, where time would stand still.
 */
export const NS_PER_MS = 1_000_000;
export const NS_PER_S = 1_000_000_000;

/** The largest quantity: what 2^64 − 1 rounds to as a double. */
export const NS_MAX = 18446744073709551615;

/** Sum of two non-negative quantities, saturating at `NS_MAX`. */
export function addNs(a: number, b: number): number {
  const sum = a + b;
  return sum > NS_MAX ? NS_MAX : sum;
}

/** Time from `since` to `now`; a clock that stepped backwards gives 0. */
export function elapsedNs(now: number, since: number): number {
  return now > since ? now - since : 0;
}

/** When something happens: an instant, or spelled-out never. */
export type Due = number | "never";
