import { FINAGLE } from "./finagle.ts";
import { OURS, OURS_WITHOUT_OUTLIERS } from "./holdfast.ts";
import { LEAST_LOADED } from "./least-loaded.ts";
import { RANDOM, ROUND_ROBIN } from "./plain.ts";
import type { PolicyEntry } from "./policy.ts";

function hedged(entry: PolicyEntry): PolicyEntry {
  return { ...entry, name: `${entry.name}, hedged`, settings: `as ${entry.name}, with our hedging`, hedges: true };
}

/** In the order of the report. */
export const POLICIES: readonly PolicyEntry[] = [
  ROUND_ROBIN, RANDOM, LEAST_LOADED, FINAGLE, OURS_WITHOUT_OUTLIERS, OURS, hedged(LEAST_LOADED), hedged(FINAGLE), hedged(OURS),
];
