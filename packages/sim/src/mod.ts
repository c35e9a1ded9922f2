export { catchMutant, type Mutant, MUTANT_SEEDS, MUTANTS } from "./mutants.ts";
export { type BackupResult, restoreOldBackup } from "./old-backup.ts";
export { type Fault, FAULTS, type Plan, planFromSeed } from "./plan.ts";
export { crashAtEverySeam, runPlan, type RunResult, runSeed, runSeedTwice } from "./run-seed.ts";
export { type Rule, Violation } from "./violation.ts";
export type { Flaws } from "./world/world.ts";
