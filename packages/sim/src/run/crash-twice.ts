import { quietPlan } from "../plan/plan.ts";
import type { Violation } from "../violation.ts";
import { runPlan } from "./run-seed.ts";

/** From the claim of its disk to the effects of its first turn, a process passes fewer seams than this. */
const RECOVERY_SEAMS = 14;

export interface TwoCrashes {
  readonly seam: number;
  /** The second crash: so many seams of the same machine later. */
  readonly again: number;
  readonly violation: Violation;
}

/**
 * Crashes a small world at a seam, and the same machine again while it recovers: at its first seam after that, its second, ….
 * Takes one pair of seams in `every`.
 */
export function crashTwice(seed: number, { every = 1 }: { every?: number } = {}): { pairs: number; violations: TwoCrashes[] } {
  const plan = quietPlan(seed);
  const { seams } = runPlan(plan);
  const violations: TwoCrashes[] = [];
  let pairs = 0;
  for (let seam = 1; seam <= seams; seam++) {
    for (let again = 1; again <= RECOVERY_SEAMS; again++) {
      if ((seam + again) % every !== 0) continue;
      pairs++;
      const { violation } = runPlan({ ...plan, crashAtSeam: seam, crashAgainAfter: again });
      if (violation !== undefined) violations.push({ seam, again, violation });
    }
  }
  return { pairs, violations };
}
