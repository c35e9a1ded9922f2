import { runCall } from "./call.ts";
import { nowNs, toMs, toNs } from "./clock.ts";
import { FollowedBody } from "./followed-body.ts";
import { aDuration, aFieldName, aFunction, checkOptions, oneOf, texts, withDefaults } from "./option-check.ts";
import type { Rules } from "./option-check.ts";
import type { Outcome } from "./outcome.ts";
import type { PeersHost } from "./peers-host.ts";
import type { Platform } from "./platform.ts";
import { judgeResponse } from "./response-advice.ts";
import { parseRoute, siteOf } from "./route.ts";
import { checkHedge, LIMIT_RULES, RUN_DEFAULTS } from "./run-options.ts";
import type { CallLimits, CheckedRunOptions } from "./run-options.ts";
import type { TapDispatcher } from "./tap-dispatcher.ts";
import { parsed, targetOf } from "./target.ts";
import { watchBody } from "./tracked-response.ts";

export type Fetch = typeof globalThis.fetch;
type Init = NonNullable<Parameters<Fetch>[1]>;
/** As Node.js has it. */
type TappedInit = Omit<Init, "dispatcher"> & { dispatcher?: unknown };

export interface FetchOptions extends CallLimits {
  /**
   * Which requests may be sent more than once: those of safe methods (GET, HEAD, OPTIONS, TRACE), of idempotent ones (PUT and DELETE,
   * too), or none. One with an `Idempotency-Key` header may be, too, unless `never`. Default `safe-methods`.
   */
  readonly retry?: "safe-methods" | "idempotent-methods" | "never";
  /** The fetch that sends. Default: the global one at the time of the call. */
  readonly fetch?: Fetch;
  /** Who is asked. Default: the URL's origin. */
  readonly peer?: (url: URL) => string;
  /** Templates of paths, such as `/v1/items/:id`. Paths that fit none are guessed at. */
  readonly routes?: readonly string[];
  /** The longest silence within a body that is being read, in ms. Default: that of the fetch that sends. */
  readonly bodyIdleMs?: number;
  /** A request header that tells the peer, in ms, how long this attempt will wait. Default: none. */
  readonly deadlineHeader?: string;
}

type CheckedFetchOptions = CheckedRunOptions<Response> & Required<Pick<FetchOptions, "retry" | "routes">> & Omit<FetchOptions, keyof CallLimits>;

const DEFAULTS: CheckedFetchOptions = { ...(RUN_DEFAULTS as CheckedRunOptions<Response>), attempts: 3, retry: "safe-methods", routes: [] };

const RULES: Rules<Required<FetchOptions>> = {
  ...LIMIT_RULES, retry: oneOf("safe-methods", "idempotent-methods", "never"), fetch: aFunction, peer: aFunction, routes: texts,
  bodyIdleMs: aDuration, deadlineHeader: aFieldName,
};

/** Source: RFC 9110 §9.2.1 and §9.2.2. */
const SAFE = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);
const IDEMPOTENT = new Set([...SAFE, "PUT", "DELETE"]);

/** A fetch whose calls are the peers' calls. Statuses are returned as ever; what the network does is thrown as ever. */
export function fetchThrough(host: PeersHost, given: FetchOptions): Fetch {
  checkOptions("fetch", given as Required<FetchOptions>, RULES);
  const options = withDefaults(DEFAULTS, given as CheckedFetchOptions);
  checkHedge("fetch", options);
  const { retry, routes, fetch: send, peer, bodyIdleMs, deadlineHeader, ...limits } = options;
  const { totalMs } = limits;
  const templates = routes.map(parseRoute);
  const { clock, platform } = host;
  const shared: CheckedRunOptions<Response> = { ...limits, discard: (response) => void response.body?.cancel().catch(() => {}) };
  /** Did the fetch that sends ask a dispatcher of ours? Until then its requests are ended by a signal. */
  let isTapped = false;

  const begin: Fetch = (input, given) => {
    const request = typeof input === "object" && "url" in input ? input : undefined;
    // What is no call at all is the other's to refuse.
    if (!isInit(given) || isSpent(request, given)) return (send ?? globalThis.fetch)(input, given);
    const init = given ? lastingOf(given) : undefined;
    const text = request === undefined ? String(input) : request.url;
    const target = targetOf(text);
    // What is no call to anybody (data:, blob:) has no peer.
    if (target === undefined) return (send ?? globalThis.fetch)(input, init);
    const method = (init?.method ?? request?.method ?? "GET").toUpperCase();
    const key = peer === undefined ? target.origin : peer(parsed(text));
    host.enter(key);
    const signal = init?.signal ?? (init !== undefined && "signal" in init ? undefined : request?.signal);
    const isRepeatable = retry !== "never" && canBeSentAgain(request, init) && (mayBeRepeated(method, retry) || headersOf(request, init).has("idempotency-key"));
    const endsAt = totalMs === undefined ? Infinity : nowNs(clock) + toNs(totalMs);
    /** By the number of the attempt. */
    const taps: (TapDispatcher | undefined)[] = [];
    const call: CheckedRunOptions<Response> = {
      ...shared,
      site: siteOf(method, target.path, templates),
      attempts: isRepeatable ? shared.attempts : 1,
      signal: signal ?? undefined,
      judgeError: (error) => judgeFetchError(platform, error, request, text, method, init),
      judgeValue(answer) {
        const outcome = judgeResponse(answer.status, answer.headers, clock);
        return host.book.records.get(key)?.bodiesBreak === true && answer.body !== null && outcome.kind === "works" ? { ...outcome, isProof: false } : outcome;
      },
      deliver(response, { number, pass, ender }) {
        const tap = taps[number];
        const isHeard = tap?.isUsed === true;
        isTapped ||= isHeard;
        // Nothing is put on what somebody froze.
        if (response.body === null || !Object.isExtensible(response)) return;
        // Who sends sees neither silences nor what cannot be decoded.
        const isSeen = isHeard && bodyIdleMs === undefined && !response.headers.has("content-encoding");
        const unheard = isSeen ? undefined : response;
        const followed = new FollowedBody(host, pass, { ender, signal, endsAt, totalMs: totalMs ?? 0, idleMs: bodyIdleMs, unheard });
        if (isSeen) tap.follow(followed);
        else watchBody(response, followed);
      },
    };
    return runCall(host, key, (ender, number, withinNs) => {
      const sender = send ?? globalThis.fetch;
      const its: TappedInit = { ...init };
      // A request that was made before may have a dispatcher of its own, which nobody can see.
      const tap = request === undefined && send === undefined ? platform.tap?.(sender, its.dispatcher) : undefined;
      taps[number] = tap;
      if (tap !== undefined) its.dispatcher = tap;
      // The caller's reason, and the end of the whole, are what its body ends with.
      if (tap === undefined || !isTapped || signal || totalMs !== undefined || bodyIdleMs !== undefined) its.signal = ender.signal;
      else ender.tell(tap);
      if (deadlineHeader !== undefined) its.headers = withDeadline(request, init, deadlineHeader, toMs(withinNs));
      return sender(input, its as Init);
    }, call);
  };
  return function fetch(input, init) {
    // No asynchronous function around what answers a promise already: each has its price.
    try {
      return begin(input, init);
    } catch (error) {
      return Promise.reject(error);
    }
  };
}

function isInit(given: Init | null | undefined): boolean {
  const signal: unknown = given?.signal ?? undefined;
  return typeof (given ?? {}) === "object" && (signal === undefined || typeof (signal as AbortSignal).addEventListener === "function");
}

/** Was its body sent before, or is it somebody else's? */
function isSpent(request: Request | undefined, init: Init | null | undefined): boolean {
  return request !== undefined && (init?.body ?? null) === null && (request.bodyUsed || request.body?.locked === true);
}

/**
 * Options that may be read more than once. What is inherited counts as well, of a `Request` in this place, say, and a copy by
 * spreading would lose it; headers may come from an iterator, which gives them once.
 */
function lastingOf(init: Init): Init {
  let own = init;
  if (Object.getPrototypeOf(init) !== Object.prototype) {
    const copy: Record<string, unknown> = {};
    for (const name in init) copy[name] = init[name as keyof Init];
    own = copy;
  }
  const { headers } = own;
  return typeof headers === "object" && "next" in headers ? { ...own, headers: new Headers(headers) } : own;
}

/** A request that cannot be made (a bad header, say), or whose own body throws, is no fault of the peer, and no use to repeat. */
function judgeFetchError({ kindOfError }: Platform, error: unknown, request: Request | undefined, url: string, method: string, init: Init | undefined): Outcome {
  const kind = kindOfError?.(error) ?? "failed";
  if (kind !== "failed") return { kind };
  const cause = (error as { cause?: { code?: unknown; name?: unknown } } | undefined)?.cause;
  const isOurs = cause === undefined
    ? !(error instanceof TypeError && canBeMade(url, method, init))
    : cause.code === undefined && cause.name !== "HTTPParserError" && !canBeSentAgain(request, init);
  return isOurs ? { kind: "local", retry: false } : { kind };
}

/** Browsers reject alike, with a bare TypeError, what they refuse to send and what the network did; so it is made again, and not sent. */
function canBeMade(url: string, method: string, init: Init | undefined): boolean {
  try {
    // A body that flows is gone by now.
    void new Request(url, { ...init, method, signal: null, body: canBeSentAgain(undefined, init) ? (init?.body ?? null) : null });
    return true;
  } catch {
    return false;
  }
}

function mayBeRepeated(method: string, retry: FetchOptions["retry"]): boolean {
  return (retry === "idempotent-methods" ? IDEMPOTENT : SAFE).has(method);
}

/** A copy. */
function headersOf(request: Request | undefined, init: Init | undefined): Headers {
  return new Headers(init?.headers ?? request?.headers);
}

/** What flows is gone when it was read. */
function canBeSentAgain(request: Request | undefined, init: Init | undefined): boolean {
  const body: unknown = init?.body;
  if (body === undefined || body === null) return request === undefined || request.body === null;
  if (typeof body === "string" || body instanceof ArrayBuffer || ArrayBuffer.isView(body)) return true;
  return body instanceof URLSearchParams || body instanceof FormData || body instanceof Blob;
}

function withDeadline(request: Request | undefined, init: Init | undefined, name: string, deadlineMs: number): Headers {
  const headers = headersOf(request, init);
  headers.set(name, String(Math.ceil(Math.min(deadlineMs, Number.MAX_SAFE_INTEGER))));
  return headers;
}
