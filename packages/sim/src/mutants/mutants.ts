import { runSeed } from "../run/run-seed.ts";
import { type Rule, Violation } from "../violation.ts";
import { EARLY_EFFECTS } from "./early-effects.ts";
import { GATES } from "./gates.ts";
import type { Mutant } from "./mutant.ts";
import { RESTARTS } from "./restarts.ts";
import { SESSIONS } from "./sessions.ts";
import { STORES } from "./stores.ts";
import { TABLES } from "./tables.ts";
import { WORKS } from "./works.ts";

export const MUTANTS: readonly Mutant[] = [...EARLY_EFFECTS, ...STORES, ...SESSIONS, ...RESTARTS, ...WORKS, ...TABLES, ...GATES];

/** A mutant must be noticed within so many seeds. */
export const MUTANT_SEEDS = 100;

/**
 * Rules that look at the machinery itself. What they see at once should show in the end, too: in what peers, applications and
 * the world outside get.
 */
export const INSIDE: ReadonlySet<Rule> = new Set(["commit-before-release", "load", "fold", "replay", "conservation", "bounds", "driver", "gate"]);

export interface CatchOptions {
  readonly seeds?: number;
  /** Without the checkers of these rules. */
  readonly unwatched?: ReadonlySet<Rule>;
}

/** Runs a mutant until it is caught: by which seed, and by which rule; or undefined. */
export function catchMutant({ flaws, course }: Mutant, { seeds = MUTANT_SEEDS, unwatched = new Set() }: CatchOptions = {}): { seed: number; violation: Violation } | undefined {
  for (let seed = 1; seed <= seeds; seed++) {
    const given = { ...flaws, unwatched };
    const violation = course === undefined ? runSeed(seed, given).violation : violationOf(() => course(seed, given));
    if (violation !== undefined) return { seed, violation };
  }
  return undefined;
}

function violationOf(run: () => void): Violation | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (error instanceof Violation) return error;
    throw error;
  }
}
