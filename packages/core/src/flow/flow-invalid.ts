import { RuntimeError } from "../base/errors.ts";
import { NS_PER_MS } from "../base/time.ts";

/** The one error of everything that builds, compiles or checks a flow: where, and what is wrong. */
export function flowInvalid(flow: string, operation: string | null, reason: string): RuntimeError {
  return new RuntimeError("FLOW_INVALID", { flow, operation, reason });
}

/**
 * What names a function, schema, port, operation, group, event or set of cells. No `@` (it sets off the version),
 * no `/` (it sets off the operation in `flow/operation`), no `:` (what the compiler makes itself has one). A flow's name
 * may be a path of such names: `text-index/search`.
 */
const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;

export function checkName(flow: string, what: string, name: string): void {
  if (typeof name === "string" && NAME.test(name)) return;
  throw flowInvalid(flow, null, `the ${what} ${JSON.stringify(name)} is not 1–128 letters, digits, "_", "-" or "."`);
}

export function checkFlowName(name: string): void {
  if (typeof name === "string" && name.length <= 128 && name.split("/").every((part) => NAME.test(part))) return;
  throw flowInvalid(name, null, `the flow's name ${JSON.stringify(name)} is not a path of letters, digits, "_", "-" and ".", 128 in all`);
}

export function checkCount(flow: string, what: string, count: number): void {
  if (Number.isSafeInteger(count) && count >= 1) return;
  throw flowInvalid(flow, null, `${what} is ${String(count)}, not a whole number from 1`);
}

/** Whole ns of a duration that a person gave in ms; at least 1 ns unless `zero` is allowed. */
export function nsFromMs(flow: string, what: string, ms: number, zero: "zero" | "positive" = "positive"): number {
  const ns = Math.round(ms * NS_PER_MS);
  if (Number.isFinite(ns) && ns >= (zero === "zero" ? 0 : 1)) return ns;
  throw flowInvalid(flow, null, `${what} is ${String(ms)} ms, not a ${zero === "zero" ? "non-negative" : "positive"} duration`);
}

/** Whole ns of a deadline in ms, or never. */
export function deadlineNsFromMs(flow: string, deadlineMs: number | "never"): number | "never" {
  return deadlineMs === "never" ? "never" : nsFromMs(flow, "deadlineMs", deadlineMs);
}

/** How programs refer to a definition. */
export function pinOf(definition: { readonly name: string; readonly version: number }): string {
  return `${definition.name}@${definition.version}`;
}
