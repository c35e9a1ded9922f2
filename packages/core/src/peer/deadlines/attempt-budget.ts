import { powerOfTwo } from "../quantity.ts";

/**
 * How long one attempt may take, in ns, after its budget ran out `doublings` times: the learned budget (at least
 * 1 ns, since nothing doubles to nothing), doubled as often, at most `ceilingNs`. An attempt that is late is not
 * failed by itself; it is given more time (design.md §3).
 *
 * @example attemptBudgetNs(100, 3, 1_000) // 800
 */
export function attemptBudgetNs(learnedNs: number, doublings: number, ceilingNs: number): number {
  return Math.min(Math.max(learnedNs, 1) * powerOfTwo(doublings), ceilingNs);
}
