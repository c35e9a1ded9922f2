import { type Plan, planFromSeed, quietPlan } from "../plan/plan.ts";
import { Violation } from "../violation.ts";
import { type Flaws, World, type WorldOptions } from "../world/world.ts";

/** What came of one run. */
export interface RunResult {
  readonly plan: Plan;
  readonly hash: string;
  readonly events: number;
  readonly virtualNs: number;
  readonly seams: number;
  readonly labels: ReadonlySet<string>;
  readonly violation: Violation | undefined;
  /** The last lines of the trace. */
  readonly end: (lines: number) => string[];
}

export function runPlan(plan: Plan, options: WorldOptions = {}): RunResult {
  const world = new World(plan, options);
  let violation: Violation | undefined;
  try {
    world.run();
  } catch (error) {
    violation = error instanceof Violation ? error : new Violation("bug", `${(error as Error).name}: ${(error as Error).message}`, { cause: error });
  }
  const { events, now, trace, labels, weather } = world;
  return { plan, hash: trace.hash, events, virtualNs: now, seams: weather.seams, labels, violation, end: (lines) => trace.end(lines) };
}

/** Runs a seed once. */
export function runSeed(seed: number, flaws: Flaws = {}): RunResult {
  return runPlan(planFromSeed(seed), { flaws });
}

/** Runs a seed twice: two paths are a violation of their own. */
export function runSeedTwice(seed: number): RunResult {
  const first = runSeed(seed);
  const second = runSeed(seed);
  if (first.hash === second.hash || first.violation !== undefined) return first;
  return { ...second, violation: new Violation("deterministic", `the same seed left ${first.hash} and then ${second.hash}`) };
}

/** Runs the same small world again and again, with one crash each time: at its first seam, its second, … */
export function crashAtEverySeam(seed: number): { seams: number; violations: { seam: number; violation: Violation }[] } {
  const plan = quietPlan(seed);
  const calm = runPlan(plan);
  const violations: { seam: number; violation: Violation }[] = calm.violation === undefined ? [] : [{ seam: 0, violation: calm.violation }];
  for (let seam = 1; seam <= calm.seams; seam++) {
    const { violation } = runPlan({ ...plan, crashAtSeam: seam });
    if (violation !== undefined) violations.push({ seam, violation });
  }
  return { seams: calm.seams, violations };
}
