import { RuntimeError } from "@holdfast/core/peer";

/** Why a client is refused. Match on these, never on text. */
export const REFUSAL_CODES = [
  "version-unsupported", "service-unknown", "spawn-failed", "rate-limited", "shutting-down", "peer-rejected", "version-blocked",
  "fd-pressure", "internal",
] as const;
export type RefusalCode = (typeof REFUSAL_CODES)[number];

export interface Refusal {
  readonly code: RefusalCode;
  /** For people. */
  readonly explanation: string;
  /** When asking again may help; null if it will not. */
  readonly retryAfterMs: number | null;
  readonly details: Readonly<Record<string, unknown>>;
}

/** A broker, or the client's own check of a service's definition, said no. A lost connection is no refusal. */
export class RefusedError extends Error implements Refusal {
  override readonly name = "RefusedError";
  readonly code: RefusalCode;
  readonly explanation: string;
  readonly retryAfterMs: number | null;
  readonly details: Readonly<Record<string, unknown>>;

  constructor({ code, explanation, retryAfterMs, details }: Refusal) {
    super(`${code}: ${explanation}`);
    this.code = code;
    this.explanation = explanation;
    this.retryAfterMs = retryAfterMs;
    this.details = details;
  }
}

export function refusal(code: RefusalCode, explanation: string, details: Refusal["details"] = {}, retryAfterMs: number | null = null): RefusedError {
  return new RefusedError({ code, explanation, retryAfterMs, details });
}

/** What went wrong, as others may know it. A mistake of ours is told as such, and warned of in the log. */
export function asRefusal(error: unknown): RefusedError {
  if (error instanceof RefusedError) return error;
  if (!(error instanceof RuntimeError)) process.emitWarning(error as Error);
  return refusal("internal", (error as Error).message, error instanceof RuntimeError ? { code: error.code } : {});
}
