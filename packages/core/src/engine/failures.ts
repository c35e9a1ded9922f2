import type { Failure } from "../flow/definitions.ts";

/** Failures that the engine itself gives, in more than one place. */
export function deadlineFailure(flow: string): Failure {
  return { code: "DEADLINE", message: `The deadline of ${flow} passed.`, at: [], details: null };
}

export function deniedFailure(reason: string): Failure {
  return { code: "DENIED", message: `Policy denies the peer: ${reason}.`, at: [], details: null };
}

export function badInput(expected: string): Failure {
  return { code: "VALUE_INVALID", message: `The operation needs ${expected}.`, at: [], details: null };
}
