import { compileFlows, type Definitions } from "@holdfast/core";
import { APPROVAL_FLOWS } from "./approval.ts";
import { chainFlows, type Edition, FUNCTIONS_BEFORE } from "./chain.ts";
import { SPREAD_FLOWS } from "./spread.ts";
import { INDEX_FLOWS } from "./text-index.ts";

const compiled = new Map<string, Definitions>();

/**
 * The flows of a ring of so many nodes. The second edition has newer versions of the chains and knows no older program any
 * more, only the functions that these may still need.
 */
export function definitionsFor(nodes: number, edition: Edition = 1): Definitions {
  const known = compiled.get(`${nodes}/${edition}`);
  if (known !== undefined) return known;
  const names = Array.from({ length: nodes }, (_, at) => nodeName(at));
  const flows = [...chainFlows(names, edition), ...SPREAD_FLOWS, ...INDEX_FLOWS, ...APPROVAL_FLOWS];
  const definitions = compileFlows(flows, { keep: FUNCTIONS_BEFORE });
  compiled.set(`${nodes}/${edition}`, definitions);
  return definitions;
}

export function nodeName(at: number): string {
  return `n${at}`;
}
