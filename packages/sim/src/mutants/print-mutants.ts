import { catchMutant, INSIDE, MUTANT_SEEDS, MUTANTS } from "./mutants.ts";

/**
 * Prints, for each mutant, which seed noticed it and by which rule; and by which one from outside, where the first looks at
 * the machinery itself. True if all were noticed.
 */
export function printMutants(): boolean {
  let away = 0;
  for (const mutant of MUTANTS) {
    const caught = catchMutant(mutant);
    if (caught === undefined) away++;
    const show = (found: typeof caught): string => (found === undefined ? "-" : `${String(found.seed).padStart(3)} ${found.violation.rule}`);
    const outside = caught !== undefined && INSIDE.has(caught.violation.rule) ? show(catchMutant(mutant, { unwatched: INSIDE })) : "";
    const first = caught === undefined ? `NOT CAUGHT in ${MUTANT_SEEDS} seeds` : show(caught);
    console.log(`${mutant.name.padEnd(26)} ${first.padEnd(26)} ${outside.padEnd(26)} ${mutant.does}`);
  }
  console.log(`${MUTANTS.length - away} of ${MUTANTS.length} mutants caught`);
  return away === 0;
}
