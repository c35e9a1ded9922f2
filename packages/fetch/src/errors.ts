/** Codes are stable; code branches on them, people read the message. */
export type PeerErrorCode =
  | "PEER_BLOCKED"
  | "PEER_COOLING_DOWN"
  | "PEER_ADVISED_TO_WAIT"
  | "DEADLINE_EXCEEDED"
  | "BUDGET_EXHAUSTED"
  | "PEERS_CLOSED";

export interface PeerErrorDetails {
  /** After how many ms another call may go out; undefined where nobody can say. */
  readonly retryAfterMs?: number | undefined;
  readonly cause?: unknown;
}

/** Marks our errors also where two copies of this package are loaded, so that `instanceof` would fail. */
const MARK: unique symbol = Symbol.for("holdfast.PeerError");

/**
 * A call that was refused or given up. What the call itself threw is rethrown as it is, and so is the reason of the
 * caller's own abort.
 */
export class PeerError extends Error {
  readonly code: PeerErrorCode;
  readonly peer: string;
  /** In ms; undefined where nobody can say. */
  readonly retryAfterMs: number | undefined;

  // Of the class, as what belongs to each error is made and shown with each.
  override get name(): string {
    return "PeerError";
  }

  get [MARK](): true {
    return true;
  }

  constructor(code: PeerErrorCode, peer: string, message: string, { retryAfterMs, cause }: PeerErrorDetails = {}) {
    super(`${code}: ${peer}: ${message}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.peer = peer;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Policy denies the peer. */
export class PeerBlockedError extends PeerError {
  override get name(): "PeerBlockedError" {
    return "PeerBlockedError";
  }

  constructor(peer: string, message: string, details?: PeerErrorDetails) {
    super("PEER_BLOCKED", peer, message, details);
  }
}

/** The peer failed, and is left alone; or it is being probed, and no place is free. */
export class CoolingDownError extends PeerError {
  override get name(): "CoolingDownError" {
    return "CoolingDownError";
  }

  constructor(peer: string, message: string, details?: PeerErrorDetails) {
    super("PEER_COOLING_DOWN", peer, message, details);
  }
}

/** The peer said when to come back. */
export class AdvisedToWaitError extends PeerError {
  override get name(): "AdvisedToWaitError" {
    return "AdvisedToWaitError";
  }

  constructor(peer: string, message: string, details?: PeerErrorDetails) {
    super("PEER_ADVISED_TO_WAIT", peer, message, details);
  }
}

/** No answer in time. */
export class DeadlineExceededError extends PeerError {
  /** `learned` from earlier answers, or given: for one attempt, for the whole call, for a silence within the body. */
  readonly deadline: "learned" | "attempt" | "total" | "body-idle";
  /** How long was waited, in ms. */
  readonly deadlineMs: number;

  override get name(): "DeadlineExceededError" {
    return "DeadlineExceededError";
  }

  constructor(peer: string, deadline: DeadlineExceededError["deadline"], deadlineMs: number) {
    super("DEADLINE_EXCEEDED", peer, `no answer within ${Math.round(deadlineMs)} ms (${deadline})`);
    this.deadline = deadline;
    this.deadlineMs = deadlineMs;
  }
}

/** Another attempt was wanted, and the peer's successes have not earned it. `cause` is how the last one failed. */
export class BudgetExhaustedError extends PeerError {
  override get name(): "BudgetExhaustedError" {
    return "BudgetExhaustedError";
  }

  constructor(peer: string, cause: unknown) {
    super("BUDGET_EXHAUSTED", peer, "too many attempts beyond the first", { cause });
  }
}

/** An option that is missing, unknown or out of its range. */
export class OptionError extends Error {
  override readonly name = "OptionError";
  readonly code = "OPTION_INVALID";
  readonly option: string;

  constructor(option: string, reason: string) {
    super(`OPTION_INVALID: ${option}: ${reason}`);
    this.option = option;
  }
}

/** Makes an error without a stack: a refusal is no surprise, and a stack costs ten times as much as everything else about it. */
export function withoutStack<E extends Error>(make: () => E): E {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return make();
  } finally {
    Error.stackTraceLimit = limit;
  }
}

/** Also of another copy of this package. */
export function isPeerError(error: unknown): error is PeerError {
  return typeof error === "object" && error !== null && (error as { [MARK]?: unknown })[MARK] === true;
}
