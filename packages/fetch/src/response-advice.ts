import { parseRetryAfter } from "@holdfast/core/peer";
import { toMs } from "./clock.ts";
import type { Outcome } from "./outcome.ts";

/** An answer as far as it is judged. */
export interface JudgedResponse {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
}

type Headers = JudgedResponse["headers"];

/** Statuses after which the same request may fare better with the same peer; 5xx besides. Source: RFC 9110 §15.5.9, RFC 8470 §5.2. */
const TRANSIENT = new Set([408, 425]);
/** What no further attempt changes. Source: RFC 9110 §15.6.2 and §15.6.6. */
const PERMANENT = new Set([501, 505]);
/** Above it a number of seconds is an instant: some servers send seconds since 1970. */
const INSTANT_S = 1_000_000_000;
const DIGITS_MAX = 16;

/** What an answer says about the peer. `wallMs`: our wall clock, against which dates are held. */
export function judgeResponse({ status, headers }: JudgedResponse, wallMs: number): Outcome {
  if (status === 429 || status === 503) {
    return { kind: "overload", status, retryAfterMs: retryAfter(headers, wallMs) ?? quotaResetMs(headers, wallMs) };
  }
  if (status >= 500) return { kind: "server-error", status, retry: !PERMANENT.has(status) };
  const retryAfterMs = isQuotaUsedUp(headers) ? quotaResetMs(headers, wallMs) : undefined;
  return { kind: "works", status, retry: TRANSIENT.has(status), retryAfterMs: status === 403 ? (retryAfter(headers, wallMs) ?? retryAfterMs) : retryAfterMs };
}

function retryAfter(headers: Headers, wallMs: number): number | "never" | undefined {
  const text = headers.get("retry-after");
  const advice = text === null ? undefined : parseRetryAfter(text, wallMs);
  if (advice === undefined) return undefined;
  return advice.kind === "never" ? "never" : toMs(advice.ns);
}

/** Source: draft-ietf-httpapi-ratelimit-headers: `RateLimit: "name";r=0;t=30`, before that `RateLimit-Remaining`; both, and `X-`, are in use. */
function isQuotaUsedUp(headers: Headers): boolean {
  const remaining = parameter(headers, "r") ?? field(headers, "remaining");
  return remaining === 0;
}

/** When the quota is there again, in ms from now. */
function quotaResetMs(headers: Headers, wallMs: number): number | undefined {
  const seconds = parameter(headers, "t") ?? field(headers, "reset");
  if (seconds === undefined) return undefined;
  return seconds > INSTANT_S ? Math.max(0, seconds * 1000 - wallMs) : seconds * 1000;
}

function parameter(headers: Headers, name: "r" | "t"): number | undefined {
  const text = headers.get("ratelimit");
  if (text === null) return undefined;
  return wholeNumber(new RegExp(`;\\s*${name}=(\\d{1,${DIGITS_MAX}})(?![\\d.])`).exec(text)?.[1]);
}

function field(headers: Headers, name: "remaining" | "reset"): number | undefined {
  return wholeNumber(headers.get(`ratelimit-${name}`) ?? headers.get(`x-ratelimit-${name}`));
}

function wholeNumber(text: string | null | undefined): number | undefined {
  return typeof text === "string" && /^\s*\d{1,16}\s*$/.test(text) ? Number(text) : undefined;
}
