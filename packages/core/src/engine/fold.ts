import type { Value } from "../base/value.ts";
import type { Failure } from "../flow/definitions.ts";
import type { Fold } from "../flow/program.ts";
import type { EngineState } from "./engine-state.ts";

type CallPure = (name: string, args: readonly Value[]) => { value: Value } | { failure: Failure };

/**
 * Folds one result into cells: all of it or, when a function fails, nothing. It happens in the turn that takes the
 * result, so the fold and the fact that the result was taken become durable together: each is merged once.
 */
export function foldInto(state: EngineState, folds: readonly Fold[], result: Value, call: CallPure): Failure | undefined {
  // By table, so that two folds into one see each other's changes.
  const changes = new Map<string, Map<string, Value>>();
  for (const fold of folds) {
    const entries = call(fold.entries, [result]);
    if ("failure" in entries) return entries.failure;
    if (!Array.isArray(entries.value)) return malformed(fold);
    const table = state.cells.table(fold.cells);
    const changed = changes.get(fold.cells) ?? new Map<string, Value>();
    changes.set(fold.cells, changed);
    for (const entry of entries.value as readonly Value[]) {
      const [key, delta] = Array.isArray(entry) ? (entry as readonly Value[]) : [];
      if (typeof key !== "string" || delta === undefined) return malformed(fold);
      const folded = call(fold.fold, [changed.get(key) ?? table.get(key) ?? null, delta]);
      if ("failure" in folded) return folded.failure;
      changed.set(key, folded.value);
    }
  }
  for (const [cells, changed] of changes) {
    const table = state.cells.table(cells);
    for (const [key, value] of changed) table.set(key, value, state.journal);
  }
  return undefined;
}

function malformed(fold: Fold): Failure {
  return { code: "VALUE_INVALID", message: `${fold.entries} must return a list of [key, delta].`, at: [], details: null };
}
