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
export const BUDGET_CELLS = 4;
const EARNED = 0;
const FADED_AT = 1;
/** Tokens of the reserve that are out. */
const LENT = 2;
const REFILLED_AT = 3;

/** A success earns a share of a token. */
export function earn(cells: Float64Array, at: number, options: RetryBudgetOptions, now: number): void {
  fadeEarned(cells, at, options, now);
  cells[at + EARNED] = (cells[at + EARNED] as number) + options.share; // R2
}

/** Tokens, in parts. */
export function tokens(cells: Float64Array, at: number, options: RetryBudgetOptions, now: number): number {
  fadeEarned(cells, at, options, now);
  refill(cells, at, options, now);
  return (cells[at + EARNED] as number) + (options.reserve - (cells[at + LENT] as number));
}

/** Is there a token? */
export function hasToken(cells: Float64Array, at: number, options: RetryBudgetOptions, now: number): boolean {
  fadeEarned(cells, at, options, now);
  refill(cells, at, options, now);
  return (cells[at + EARNED] as number) >= 1 || options.reserve - (cells[at + LENT] as number) >= 1;
}

/** Takes a token if there is one; what was earned goes before the reserve. */
export function takeToken(cells: Float64Array, at: number, options: RetryBudgetOptions, now: number): boolean {
  if (!hasToken(cells, at, options, now)) return false;
  if ((cells[at + EARNED] as number) >= 1) cells[at + EARNED] = (cells[at + EARNED] as number) - 1;
  else cells[at + LENT] = (cells[at + LENT] as number) + 1; // R1
  return true;
}

function fadeEarned(cells: Float64Array, at: number, { fadeNs }: RetryBudgetOptions, now: number): void {
  const elapsed = elapsedNs(now, cells[at + FADED_AT] as number);
  if (elapsed === 0) return;
  // As 1/(1 + t/τ) and not as e^(−t/τ): no engine may differ in a last digit from another (Math.exp may).
  if ((cells[at + EARNED] as number) > 0) cells[at + EARNED] = (cells[at + EARNED] as number) / (1 + elapsed / fadeNs);
  cells[at + FADED_AT] = now;
}

function refill(cells: Float64Array, at: number, { reserveEveryNs }: RetryBudgetOptions, now: number): void {
  const refilledAt = cells[at + REFILLED_AT] as number;
  const back = Math.floor(elapsedNs(now, refilledAt) / reserveEveryNs);
  if (back === 0) return;
  cells[at + LENT] = Math.max(0, (cells[at + LENT] as number) - back);
  cells[at + REFILLED_AT] = refilledAt + back * reserveEveryNs;
}
