import { parseRetryAfter } from "@holdfast/core/peer";
import { toMs } from "./clock.ts";
import type { Clock } from "./clock.ts";
import type { Outcome } from "./outcome.ts";

/** A field's value; those of a field that was sent several times are joined by commas. */
export interface ResponseHeaders {
  get(name: string): string | null;
}

/** Statuses after which the same request may fare better with the same peer; 5xx besides. Source: RFC 9110 §15.5.9, RFC 8470 §5.2. */
const TRANSIENT = new Set([408, 425]);
/** What no further attempt changes. Source: RFC 9110 §15.6.2 and §15.6.6. */
const PERMANENT = new Set([501, 505]);
/** Above it a number of seconds is an instant: some servers send seconds since 1970, some ms. */
const INSTANT_S = 1_000_000_000;
const INSTANT_MS = 1000 * INSTANT_S;
const NUMBER = /^\s*\d{1,16}(?:\.\d{1,9})?\s*$/;
const NUMBERS = /^\s*-?\d{1,16}(?:\s*,\s*-?\d{1,16})+\s*$/;
const REMAINING = /(?:^|[;,\s])(?:r|remaining)\s*=\s*(\d{1,16})(?![\d.])/i;
const RESET = /(?:^|[;,\s])(?:t|reset)\s*=\s*(\d{1,16})(?![\d.])/i;
/** Fields are read up to here: nobody has so many policies. */
const LENGTH_MAX = 1024;

/** What an answer says about the peer. Dates are held against our wall clock. */
export function judgeResponse(status: number, headers: ResponseHeaders, clock: Clock): Outcome {
  if (status === 429 || status === 503) {
    return { kind: "overload", status, retryAfterMs: retryAfter(headers, clock) ?? quotaMs(headers, clock) ?? resetMs(headers, clock) };
  }
  if (status >= 500) return { kind: "server-error", status, retry: !PERMANENT.has(status) };
  const quota = quotaMs(headers, clock);
  return { kind: "works", status, retry: TRANSIENT.has(status), retryAfterMs: status === 403 ? (retryAfter(headers, clock) ?? quota) : quota };
}

function retryAfter(headers: ResponseHeaders, clock: Clock): number | "never" | undefined {
  const text = headers.get("retry-after");
  if (text === null) return undefined;
  // Sent several times, the longest is what nobody regrets.
  const texts = NUMBERS.test(text.slice(0, LENGTH_MAX)) ? text.slice(0, LENGTH_MAX).split(",") : [text];
  let longestMs: number | undefined;
  for (const one of texts) {
    const advice = parseRetryAfter(one, clock.wallMs());
    if (advice?.kind === "never") return "never";
    if (advice !== undefined) longestMs = Math.max(longestMs ?? 0, toMs(advice.ns));
  }
  return longestMs;
}

/**
 * How long a quota stays used up, in ms; undefined while none is.
 *
 * Source: draft-ietf-httpapi-ratelimit-headers: `RateLimit: "name";r=0;t=30`, before that `limit=9, remaining=0, reset=30`, before that
 * `RateLimit-Remaining`; all, and `X-`, are in use.
 */
function quotaMs(headers: ResponseHeaders, clock: Clock): number | undefined {
  const policies = headers.get("ratelimit");
  if (policies !== null) return longestOf(policies.slice(0, LENGTH_MAX), clock);
  const remaining = headers.get("ratelimit-remaining") ?? headers.get("x-ratelimit-remaining");
  return remaining !== null && numberOf(remaining) === 0 ? resetMs(headers, clock) : undefined;
}

/** Of several policies, the one that is used up for longest. */
function longestOf(policies: string, clock: Clock): number | undefined {
  let longestMs: number | undefined;
  const isOlder = /(?:^|,)\s*(?:limit|remaining|reset)\s*=/i.test(policies);
  for (const policy of isOlder ? [policies] : policies.split(",")) {
    const remaining = REMAINING.exec(policy)?.[1];
    const reset = RESET.exec(policy)?.[1];
    if (remaining !== undefined && reset !== undefined && Number(remaining) === 0) longestMs = Math.max(longestMs ?? 0, fromNow(Number(reset), clock));
  }
  return longestMs;
}

/** When a quota begins anew, in ms from now. */
function resetMs(headers: ResponseHeaders, clock: Clock): number | undefined {
  const text = headers.get("ratelimit-reset") ?? headers.get("x-ratelimit-reset") ?? firstReset(headers.get("ratelimit"));
  const seconds = text === null ? undefined : numberOf(text);
  return seconds === undefined ? undefined : fromNow(seconds, clock);
}

function firstReset(policies: string | null): string | null {
  return policies === null ? null : (RESET.exec(policies.slice(0, LENGTH_MAX))?.[1] ?? null);
}

function fromNow(seconds: number, clock: Clock): number {
  if (seconds < INSTANT_S) return seconds * 1000;
  return Math.max(0, (seconds < INSTANT_MS ? seconds * 1000 : seconds) - clock.wallMs());
}

function numberOf(text: string): number | undefined {
  return NUMBER.test(text) ? Number(text) : undefined;
}
