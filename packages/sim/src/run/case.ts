import { ChoiceLog, type StoredChoices } from "../choice/choice-log.ts";
import { MUTANTS } from "../mutants/mutants.ts";
import { type Plan, planFromSeed } from "../plan/plan.ts";
import type { Story } from "../story/story.ts";
import type { Violation } from "../violation.ts";
import type { Flaws } from "../world/world.ts";
import { runPlan, type RunResult } from "./run-seed.ts";

const VERSION = 1;

/**
 * One run as data: what was planned, and every choice that was made on the way. A seed stands for a world only as long as the
 * code that draws from it stays the same; a case stands for it longer, and can be made smaller.
 */
export interface Case {
  readonly version: typeof VERSION;
  readonly plan: Plan;
  readonly choices: StoredChoices;
  /** Of a runtime that is broken on purpose. */
  readonly mutant: string | null;
  /** What it came to when it was stored. */
  readonly violation: { readonly rule: string; readonly message: string } | null;
}

/** Throws for a name that no mutant has. */
export function flawsOf(mutant: string | null): Flaws {
  if (mutant === null) return {};
  const found = MUTANTS.find(({ name }) => name === mutant);
  if (found === undefined) throw new Error(`there is no mutant ${mutant}`);
  return found.flaws;
}

/** Runs a seed, and keeps what it chose. */
export function caseOfSeed(seed: number, mutant: string | null = null): { case: Case; run: RunResult } {
  const kept = new ChoiceLog();
  const plan = planFromSeed(seed);
  const run = runPlan(plan, { flaws: flawsOf(mutant), kept });
  return { case: { version: VERSION, plan, choices: kept.toJSON(), mutant, violation: summary(run.violation) }, run };
}

/** Runs a case again: the choices are those it kept. What it chose this time stands in the case that is returned. */
export function runCase(given: Pick<Case, "plan" | "choices" | "mutant">, options: { story?: Story } = {}): { case: Case; run: RunResult } {
  const { plan, mutant } = given;
  const kept = new ChoiceLog();
  const run = runPlan(plan, { flaws: flawsOf(mutant), given: ChoiceLog.from(given.choices), kept, ...options });
  return { case: { version: VERSION, plan, choices: kept.toJSON(), mutant, violation: summary(run.violation) }, run };
}

/** Throws for a text that holds no case. */
export function parseCase(text: string): Case {
  const stored = JSON.parse(text) as Case;
  if (stored?.version !== VERSION || stored.plan === undefined || stored.choices === undefined) throw new Error("the file holds no case of this version");
  return stored;
}

function summary(violation: Violation | undefined): Case["violation"] {
  return violation === undefined ? null : { rule: violation.rule, message: violation.message };
}
