import type { Outcome } from "@holdfast/core";
import { require } from "../violation.ts";
import { jobValue } from "../world/outside.ts";
import { APPROVED, NOBODY } from "./approval.ts";
import { caughtCode, chainResult, type Edition } from "./chain.ts";
import type { Request } from "./request.ts";
import { ITEMS } from "./spread.ts";
import { BATCHES } from "./text-index.ts";

/** Failures that policy explains: refused at the gate, or cut off with the outcome unknown. */
const POLICY_CODES: ReadonlySet<string> = new Set(["DENIED", "OUTCOME_UNKNOWN"]);

/** Is the outcome one that the request may have, as far as can be told when it ends? (Who ran which edition is seen at the end.) */
export function checkOutcome(request: Request, outcome: Outcome): void {
  const explained = outcome.ok ? isRight(request, (outcome.value as { n: number }).n) : mayFailBy(request, outcome.failure.code);
  require(explained, "outcome", () => `${request.id} (${request.flow}) came to ${JSON.stringify(outcome)}`);
}

function isRight(request: Request, n: number): boolean {
  const { id, kind, length, fails, cancel, approve } = request;
  if (cancel === "won") return false;
  switch (kind) {
    case "tell": return n === 1;
    case "spread": return n === ITEMS;
    case "index": return n === BATCHES;
    case "hasty": return !fails && n === 1 + jobValue(id);
    case "approval": return n === 1 + APPROVED && approve !== "no" && approve !== "wanted";
    case "approval-soon": return approve === "taken" ? n === 1 + APPROVED : n === 1 + NOBODY || (n === 1 + APPROVED && approve !== "no" && approve !== "wanted");
    case "hurried": {
      const caught = caughtCode(n);
      if (caught !== undefined) return caught === "DEADLINE" || mayFailBy(request, caught);
      return !fails && editionsOf(1).some((editions) => n === 1 + chainResult(id, editions));
    }
    // Over before it began: nobody else may have been asked in earnest.
    case "chain": return !fails && !(request.deadlineNs === 0 && length > 1) && editionsOf(length).some((editions) => n === chainResult(id, editions));
  }
}

function mayFailBy({ kind, fails, cancel, deadlineNs, isCut }: Request, code: string): boolean {
  if (code === "CANCELLED") return cancel === "asked" || cancel === "won" || cancel === "late";
  if (cancel === "won") return false;
  if (code === "DEADLINE") return deadlineNs !== undefined || kind === "hasty";
  if (code === "OUTSIDE") return fails && (kind === "chain" || kind === "hasty" || kind === "hurried");
  return isCut && POLICY_CODES.has(code);
}

/** Every node of a path in the first edition, one in the second, … */
function editionsOf(length: number): Edition[][] {
  return Array.from({ length: length + 1 }, (_, newer) => Array.from({ length }, (_, at) => (at < newer ? 2 : 1)));
}

/** Must everybody on its path have counted it, and all of its work have been done? */
export function isWhole(request: Request, outcome: Outcome): boolean {
  if (!outcome.ok) return outcome.failure.code === "OUTSIDE";
  if (request.kind === "tell") return !request.isCut;
  if (request.kind !== "hurried") return true;
  const caught = caughtCode((outcome.value as { n: number }).n);
  return caught === undefined || caught === "OUTSIDE";
}
