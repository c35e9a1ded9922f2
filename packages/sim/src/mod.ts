export type { Mutant } from "./mutants/mutant.ts";
export { catchMutant, MUTANT_SEEDS, MUTANTS } from "./mutants/mutants.ts";
export { type BackupResult, restoreOldBackup } from "./run/old-backup.ts";
export { type Condition, CONDITIONS, type Plan, planFromSeed } from "./plan/plan.ts";
export { crashAtEverySeam, runPlan, type RunResult, runSeed, runSeedTwice } from "./run/run-seed.ts";
export { type Rule, Violation } from "./violation.ts";
export type { Flaws } from "./world/world.ts";
