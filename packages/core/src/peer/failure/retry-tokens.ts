import { elapsedNs, NS_PER_S } from "../../base/time.ts";

/** The rules of RetryBudget over `BUDGET_CELLS` numbers of somebody's, from `at` on. All zeros are a budget whose reserve is whole. */
export interface RetryBudgetOptions {
  /** Tokens that one success earns; above 0, at most 1. Default 0.1. */
  readonly share: number;
  /** What was earned fades with this time constant, in ns, at least 1. Default 10 s. */
  readonly fadeNs: number;
  /** Tokens that are there without any success, and at the start. Whole. Default 10. */
  readonly reserve: number;
  /** One of them comes back each time this has passed, in ns, at least 1. Default 2 s. */
  readonly reserveEveryNs: number;
}

export const PRODUCT_RETRY_BUDGET: RetryBudgetOptions = { share: 0.1, fadeNs: 10 * NS_PER_S, reserve: 10, reserveEveryNs: 2 * NS_PER_S };

/** Numbers that a budget takes, and which is which. */
export const BUDGET_CELLS = 3;
const EARNED = 0;
const FADED_AT = 1;
/** From which of the reserve's periods on it is whole again; one token comes back at the end of each. */
const WHOLE_AT = 2;

/** A success earns a share of a token. */
export function earn(cells: Float64Array, at: number, options: RetryBudgetOptions, now: number): void {
  fadeEarned(cells, at, options, now);
  cells[at + EARNED] = (cells[at + EARNED] as number) + options.share; // R2
}

/** Tokens, in parts. */
export function tokens(cells: Float64Array, at: number, options: RetryBudgetOptions, now: number): number {
  fadeEarned(cells, at, options, now);
  return (cells[at + EARNED] as number) + reserveLeft(cells, at, options, now);
}

/** Is there a token? */
export function hasToken(cells: Float64Array, at: number, options: RetryBudgetOptions, now: number): boolean {
  fadeEarned(cells, at, options, now);
  return (cells[at + EARNED] as number) >= 1 || reserveLeft(cells, at, options, now) >= 1;
}

/** Takes a token if there is one; what was earned goes before the reserve. */
export function takeToken(cells: Float64Array, at: number, options: RetryBudgetOptions, now: number): boolean {
  if (!hasToken(cells, at, options, now)) return false;
  if ((cells[at + EARNED] as number) >= 1) cells[at + EARNED] = (cells[at + EARNED] as number) - 1;
  else cells[at + WHOLE_AT] = Math.max(cells[at + WHOLE_AT] as number, Math.floor(now / options.reserveEveryNs)) + 1; // R1
  return true;
}

function fadeEarned(cells: Float64Array, at: number, { fadeNs }: RetryBudgetOptions, now: number): void {
  const elapsed = elapsedNs(now, cells[at + FADED_AT] as number);
  if (elapsed === 0) return;
  // As 1/(1 + t/τ) and not as e^(−t/τ): no engine may differ in a last digit from another (Math.exp may).
  if ((cells[at + EARNED] as number) > 0) cells[at + EARNED] = (cells[at + EARNED] as number) / (1 + elapsed / fadeNs);
  cells[at + FADED_AT] = now;
}

function reserveLeft(cells: Float64Array, at: number, { reserve, reserveEveryNs }: RetryBudgetOptions, now: number): number {
  const lent = Math.max(0, (cells[at + WHOLE_AT] as number) - Math.floor(now / reserveEveryNs));
  return Math.max(0, reserve - lent); // R1, also where the clock stepped back
}
