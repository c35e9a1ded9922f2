/** A mistake of ours, never of a peer or a caller. Ends the process: only `main` catches it. */
export class BugError extends Error {
  override readonly name = "BugError";
}

/** Checks what only a bug can break. Stays on in production. One claim per call. */
export function assert(condition: boolean, claim: string): asserts condition {
  if (!condition) throw new BugError(claim);
}

/** Marks a branch that the types rule out. */
export function unreachable(value: never): never {
  throw new BugError(`unreachable: ${String(value)}`);
}
