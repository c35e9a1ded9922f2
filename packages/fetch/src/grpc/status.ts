import { parsePushbackMs } from "@holdfast/core/peer";
import { Metadata, status as Status } from "@grpc/grpc-js";
import type { StatusObject } from "@grpc/grpc-js";
import { toMs } from "../clock.ts";
import { BudgetExhaustedError, DeadlineExceededError, isPeerError } from "../errors.ts";
import { kindOfError } from "../error-codes.ts";
import type { Outcome, OutcomeKind } from "../outcome.ts";

/** A status that carries why we ended the call. Its fields become those of the caller's `ServiceError`. */
export interface CausedStatus extends StatusObject {
  readonly cause: unknown;
  /** In ms; undefined where nobody can say. */
  readonly retryAfterMs?: number | undefined;
}

/** An attempt that ended without an answer. */
export class StatusError extends Error {
  override readonly name = "StatusError";
  readonly status: StatusObject;

  constructor(status: StatusObject) {
    super(status.details);
    this.status = status;
  }
}

/** Source: gRPC proposal A6, "Pushback". */
const PUSHBACK = "grpc-retry-pushback-ms";

/**
 * What each status says about the peer. One that refuses what was asked proves that the peer works; a method that it does
 * not have, too. Source: gRPC's list of status codes, and which of them its libraries generate.
 */
const OUTCOMES: Readonly<Record<Status, Outcome>> = {
  [Status.OK]: { kind: "works" },
  [Status.INVALID_ARGUMENT]: { kind: "works" }, [Status.NOT_FOUND]: { kind: "works" }, [Status.ALREADY_EXISTS]: { kind: "works" },
  [Status.PERMISSION_DENIED]: { kind: "works" }, [Status.UNAUTHENTICATED]: { kind: "works" }, [Status.FAILED_PRECONDITION]: { kind: "works" },
  [Status.ABORTED]: { kind: "works" }, [Status.OUT_OF_RANGE]: { kind: "works" }, [Status.UNIMPLEMENTED]: { kind: "works" },
  [Status.RESOURCE_EXHAUSTED]: { kind: "overload" },
  [Status.UNKNOWN]: { kind: "server-error" }, [Status.INTERNAL]: { kind: "server-error" }, [Status.UNAVAILABLE]: { kind: "server-error" },
  [Status.DATA_LOSS]: { kind: "server-error", retry: false },
  // What it asks in its turn did not answer: as 504.
  [Status.DEADLINE_EXCEEDED]: { kind: "server-error" },
  // Nobody here did it.
  [Status.CANCELLED]: { kind: "reset", retry: false },
};

/** Statuses that the library makes itself, told by their texts: there is nothing else to tell them by. */
const OWN_TEXTS: readonly (readonly [RegExp, Outcome])[] = [
  [/^Getting metadata from plugin failed|^Request message serialization failure|^Channel closed|^Cancelled by parent call/, { kind: "local" }],
  [/^Response message parsing error|^Failed to decompress/, { kind: "failed", retry: false }],
];
/** A message that is too large for either side says nothing of the peer. */
const TOO_LARGE = /(?:size|message) larger than/;

/** How one call that is over is judged. */
export function judgeStatus(status: StatusObject): Outcome {
  const { code } = status;
  if (code === Status.OK) return { kind: "works", status: code };
  const said = judgeCode(status);
  const retryAfterMs = pushbackMs(status);
  const kind = code === Status.UNAVAILABLE && retryAfterMs !== undefined ? "overload" : said.kind;
  return { ...said, kind, status: code, retryAfterMs };
}

/** Did the peer say it? What the library says itself has no metadata. */
export function isAnswer({ code, metadata }: StatusObject): boolean {
  return code === Status.OK || Object.keys(metadata.getMap()).length > 0;
}

function judgeCode(status: StatusObject): Outcome {
  const { code, details } = status;
  const known = OUTCOMES[code] ?? OUTCOMES[Status.UNKNOWN];
  if (code === Status.RESOURCE_EXHAUSTED && TOO_LARGE.test(details)) return { kind: "works" };
  if (isAnswer(status)) return known;
  const own = OWN_TEXTS.find(([text]) => text.test(details))?.[1];
  if (own !== undefined) return own;
  // Of a deadline that is not ours: a service configuration's, or that of the call within which this one was made.
  if (code === Status.DEADLINE_EXCEEDED) return { kind: "cancelled" };
  return code === Status.UNAVAILABLE ? { kind: kindOfText(details) } : known;
}

/** What kept the channel from its peer. */
function kindOfText(details: string): OutcomeKind {
  if (/^Name resolution failed|^Failed to parse DNS/.test(details)) return "dns";
  const [code] = /\b(?:E[A-Z]{3,}|ERR_(?:TLS|SSL)_\w+|CERT_\w+)\b/.exec(details) ?? [];
  const kind = kindOfError({ code });
  if (kind !== "failed") return kind;
  if (/certificate|\bSSL\b|\bTLS\b/i.test(details)) return "tls";
  return details.startsWith("No connection established") ? "refused" : "reset";
}

/** What cannot be read means never, as what is negative does. */
function pushbackMs({ metadata }: StatusObject): number | "never" | undefined {
  const [text] = metadata.get(PUSHBACK);
  if (text === undefined) return undefined;
  const advice = parsePushbackMs(String(text));
  return advice === undefined || advice.kind === "never" ? "never" : toMs(advice.ns);
}

/** The status with which a call ends that we ended, or that never began. */
export function statusOfError(error: unknown): StatusObject {
  if (error instanceof StatusError) return error.status;
  if (error instanceof BudgetExhaustedError && error.cause instanceof StatusError) return caused(error.cause.status, error);
  const code = error instanceof DeadlineExceededError ? Status.DEADLINE_EXCEEDED : Status.UNAVAILABLE;
  return caused({ code, details: error instanceof Error ? error.message : String(error), metadata: new Metadata() }, error);
}

function caused(status: StatusObject, cause: unknown): CausedStatus {
  const retryAfterMs = isPeerError(cause) ? cause.retryAfterMs : undefined;
  return retryAfterMs === undefined ? { ...status, cause } : { ...status, cause, retryAfterMs };
}
