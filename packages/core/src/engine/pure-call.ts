import { BugError } from "../base/assert.ts";
import { checkValue } from "../base/value-codec.ts";
import type { Value } from "../base/value.ts";
import type { Definitions, Failure } from "../flow/definitions.ts";

/** Calls a registered pure function, inside the turn. What it throws, or returns that is no value, is a failure. */
export function callPure(definitions: Definitions, name: string, args: readonly Value[]): { value: Value } | { failure: Failure } {
  const definition = definitions.pure.get(name);
  if (definition === undefined) { // `parkMissing`, and a map that was already running
    return { failure: { code: "DEFINITION_MISSING", message: `${name} is not registered.`, at: [], details: null } };
  }
  try {
    const value: unknown = (definition.fn as (...args: readonly Value[]) => unknown)(...args);
    checkValue(value);
    return { value };
  } catch (error) {
    if (error instanceof BugError) throw error;
    const { code, message } = error as { code?: unknown; message?: unknown };
    return { failure: { code: typeof code === "string" ? code : "PURE_THREW", message: `${name}: ${String(message ?? error)}`, at: [], details: null } };
  }
}
