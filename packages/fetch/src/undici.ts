import type { Alarm } from "./alarm-queue.ts";
import type { CallHost } from "./call.ts";
import { nowNs, toMs, toNs } from "./clock.ts";
import { BudgetExhaustedError, DeadlineExceededError, PeerError } from "./errors.ts";
import { aDuration, aFunction, checkOptions, oneOf, texts } from "./option-check.ts";
import type { Rules } from "./option-check.ts";
import { kindOfError } from "./error-codes.ts";
import { isWorthAnother } from "./outcome.ts";
import type { Outcome } from "./outcome.ts";
import type { Pass } from "./peer-book.ts";
import type { PeersHost } from "./peers-host.ts";
import { judgeResponse } from "./response-advice.ts";
import type { ResponseHeaders } from "./response-advice.ts";
import { remembering } from "./remembering.ts";
import { parseRoute, siteOf } from "./route.ts";

export interface UndiciOptions {
  /** The longest wait for the headers, in ms. Default: the learned deadline alone. */
  readonly attemptMs?: number;
  /** Whether a request ends with the learned deadline. Default `learned`. */
  readonly deadline?: "learned" | "none";
  /** Who is asked. Default: the origin. */
  readonly peer?: (origin: string) => string;
  /** Templates of paths, as of `fetch`. */
  readonly routes?: readonly string[];
}

const RULES: Rules<Required<UndiciOptions>> = { attemptMs: aDuration, deadline: oneOf("learned", "none"), peer: aFunction, routes: texts };

/** Statuses whose answers have no body. Source: RFC 9110 §6.4.1. */
const BODILESS = new Set([204, 205, 304]);
/** Origins whose usual form is remembered. */
const ORIGINS_MAX = 256;

type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

/** What ends a request; undici's DispatchController as far as it concerns us. */
interface Controller {
  readonly aborted?: boolean;
  abort(reason: Error): void;
}

/** undici's current handler API as far as it concerns us; structural, so that any version that has it will do. */
export interface UndiciHandler {
  onRequestStart?(controller: Controller, context: unknown): void;
  onRequestUpgrade?(controller: Controller, statusCode: number, headers: Headers, socket: unknown): void;
  onBodySent?(...sent: readonly unknown[]): void;
  onRequestSent?(): void;
  onResponseStarted?(): void;
  onResponseStart?(controller: Controller, statusCode: number, headers: Headers, statusMessage?: string): void;
  onResponseData?(controller: Controller, chunk: Uint8Array): void;
  onResponseEnd?(controller: Controller, trailers: Headers): void;
  onResponseError?(controller: Controller | null, error: Error): void;
}

export interface UndiciRequest {
  readonly origin?: string | URL | undefined;
  readonly path: string;
  readonly method: string;
  readonly upgrade?: unknown;
}

type Dispatch = (request: UndiciRequest, handler: UndiciHandler) => boolean;
// undici's own types of requests and handlers are wider than what is needed here, and need not be loaded for it.
// oxlint-disable-next-line no-explicit-any
export type UndiciInterceptor = (dispatch: any) => any;

/**
 * An interceptor for `dispatcher.compose`. It admits requests, bounds their time and judges their outcome; it makes no
 * further attempts: undici's own retry interceptor does, composed after this one, and each of its attempts is admitted anew
 * and taken from the peer's budget.
 */
export function interceptorThrough(host: PeersHost, given: UndiciOptions): UndiciInterceptor {
  checkOptions("undici", given as Required<UndiciOptions>, RULES);
  const { peer, routes = [] } = given;
  const templates = routes.map(parseRoute);
  const tries: Tries = new WeakMap();
  return (dispatch: Dispatch): Dispatch => (request, handler) => {
    // A tunnel or an upgrade is no exchange of a request and an answer; a request to nobody is undici's to refuse.
    // So is a handler of undici's older generation, which would hear nothing of us: the fetch of Node.js 24 with an undici 8, say.
    if (request.origin === undefined || request.method === "CONNECT" || request.upgrade || isOlder(handler)) return dispatch(request, handler);
    const origin = usualOrigin(typeof request.origin === "string" ? request.origin : request.origin.origin);
    const key = peer === undefined ? origin : peer(origin);
    host.enter(key);
    const now = nowNs(host.clock);
    const pass = host.book.admit(key, siteOf(request.method, request.path, templates), now);
    if (pass instanceof PeerError) return refuse(handler, pass);
    const tried = tries.get(handler);
    if (tried !== undefined && !host.book.takeRetry(pass.record, now)) {
      host.book.release(pass);
      return refuse(handler, new BudgetExhaustedError(key, tried.error));
    }
    const exchange = new Exchange(host, pass, request.method, handler, given, tries);
    try {
      return dispatch(request, exchange);
    } catch (error) {
      exchange.forget();
      throw error;
    }
  };
}

function isOlder(handler: UndiciHandler): boolean {
  return handler.onRequestStart === undefined && "onConnect" in handler;
}

function refuse(handler: UndiciHandler, refusal: PeerError): true {
  handler.onResponseError?.(null, refusal);
  return true;
}

/** The origin of a request in its usual form; undici takes URLs, too. */
const usualOrigin = remembering(ORIGINS_MAX, (origin) => new URL(origin).origin);

/** What failed, by whose request it was: who asks again for the same handler makes a further attempt. */
type Tries = WeakMap<UndiciHandler, { readonly attempts: number; readonly error: unknown }>;

/** One request and its answer. Its alarm is armed until the headers are there. */
class Exchange implements UndiciHandler, Alarm {
  readonly #host: CallHost;
  readonly #pass: Pass;
  readonly #method: string;
  readonly #handler: UndiciHandler;
  readonly #tries: Tries;
  dueAt = Infinity;
  place = -1;
  scope: Alarm["scope"];
  #deadline: "learned" | "attempt" = "learned";
  #controller: Controller | undefined;
  #state: "waiting" | "answering" | "over" = "waiting";
  /** Has the answer a body, whose end says more than its headers? */
  #hasBody = false;
  /** Why we ended it; what follows of it is our own doing. */
  #given: DeadlineExceededError | undefined;

  constructor(host: CallHost, pass: Pass, method: string, handler: UndiciHandler, { attemptMs, deadline }: UndiciOptions, tries: Tries) {
    this.#host = host;
    this.#pass = pass;
    this.#method = method;
    this.#handler = handler;
    this.#tries = tries;
    const learnedNs = deadline === "none" ? Infinity : host.book.deadlineNs(pass.site, pass.startedAt);
    const givenNs = attemptMs === undefined ? Infinity : toNs(attemptMs);
    if (givenNs < learnedNs) this.#deadline = "attempt";
    this.dueAt = pass.startedAt + Math.min(learnedNs, givenNs);
    if (this.dueAt !== Infinity) host.alarms.arm(this);
  }

  /** It was never sent. */
  forget(): void {
    if (this.#state !== "waiting") return;
    this.#end();
    this.#host.book.release(this.#pass);
  }

  onRequestStart(controller: Controller, context: unknown): void {
    this.#controller = controller;
    // It stood in a queue for all of its time.
    if (this.#given !== undefined) return controller.abort(this.#given);
    this.#handler.onRequestStart?.(controller, context);
  }

  onBodySent(...sent: readonly unknown[]): void {
    this.#handler.onBodySent?.(...sent);
  }

  onRequestSent(): void {
    this.#handler.onRequestSent?.();
  }

  onResponseStarted(): void {
    this.#handler.onResponseStarted?.();
  }

  onRequestUpgrade(controller: Controller, statusCode: number, headers: Headers, socket: unknown): void {
    this.forget();
    this.#handler.onRequestUpgrade?.(controller, statusCode, headers, socket);
  }

  onResponseStart(controller: Controller, statusCode: number, headers: Headers, statusMessage?: string): void {
    // 1xx is no answer yet.
    if (this.#state === "waiting" && statusCode >= 200) {
      this.#end();
      this.#state = "answering";
      this.#hasBody = this.#method !== "HEAD" && !BODILESS.has(statusCode);
      const now = nowNs(this.#host.clock);
      const outcome = judgeResponse(statusCode, new Fields(headers), this.#host.clock);
      const isProof = !(this.#hasBody && this.#pass.record.bodiesBreak);
      this.#settle(isProof ? outcome : { ...outcome, isProof }, now - this.#pass.startedAt, now, undefined);
    }
    this.#handler.onResponseStart?.(controller, statusCode, headers, statusMessage);
  }

  onResponseData(controller: Controller, chunk: Uint8Array): void {
    this.#handler.onResponseData?.(controller, chunk);
  }

  onResponseEnd(controller: Controller, trailers: Headers): void {
    if (this.#state === "answering" && this.#hasBody && this.#pass.record.bodiesBreak) this.#host.book.bodyEnded(this.#pass, nowNs(this.#host.clock));
    this.#state = "over";
    this.#handler.onResponseEnd?.(controller, trailers);
  }

  onResponseError(controller: Controller | null, error: Error): void {
    if (this.#given !== undefined) return;
    const now = nowNs(this.#host.clock);
    const isOurs = isOfCaller(error, controller);
    if (this.#state === "waiting") {
      this.#end();
      if (isOurs) this.#host.book.censored(this.#pass, now);
      this.#settle({ kind: isOurs ? "cancelled" : kindOfError(error) }, undefined, now, error);
    } else if (this.#state === "answering" && !isOurs) {
      this.#host.book.bodyBroke(this.#pass, now);
      this.#remember(error);
    }
    this.#state = "over";
    this.#handler.onResponseError?.(controller, error);
  }

  /** Its deadline. */
  ring(now: number): void {
    this.#state = "over";
    if (this.#deadline === "learned") this.#host.book.timedOut(this.#pass, now);
    else this.#host.book.censored(this.#pass, now);
    this.#given = new DeadlineExceededError(this.#pass.record.key, this.#deadline, toMs(now - this.#pass.startedAt));
    this.#settle({ kind: "timed-out" }, undefined, now, this.#given);
    this.#controller?.abort(this.#given);
    this.#handler.onResponseError?.(this.#controller ?? null, this.#given);
  }

  #end(): void {
    this.#state = "over";
    this.#host.alarms.disarm(this);
  }

  #settle(outcome: Outcome, roundTripNs: number | undefined, now: number, error: unknown): void {
    const { record, site, startedAt } = this.#pass;
    this.#host.book.settle(this.#pass, outcome, roundTripNs, now);
    this.#host.report?.({ peer: record.key, site: site.name, attempt: this.#attempt(), outcome, durationMs: toMs(now - startedAt) });
    if (isWorthAnother(outcome)) this.#remember(error);
  }

  /** Counts from 1. */
  #attempt(): number {
    return (this.#tries.get(this.#handler)?.attempts ?? 0) + 1;
  }

  #remember(error: unknown): void {
    this.#tries.set(this.#handler, { attempts: this.#attempt(), error });
  }
}

/** The caller's: an abort of theirs, or what their request's body threw. Answers that are no HTTP have no code either. */
function isOfCaller(error: Error, controller: Controller | null): boolean {
  const { code } = error as { code?: unknown };
  if (controller?.aborted === true || error.name === "AbortError" || code === "UND_ERR_ABORTED") return true;
  return code === undefined && error.name !== "HTTPParserError";
}

class Fields implements ResponseHeaders {
  readonly #fields: Headers;

  constructor(fields: Headers) {
    this.#fields = fields;
  }

  get(name: string): string | null {
    const value = this.#fields[name];
    if (value === undefined) return null;
    return typeof value === "string" ? value : value.join(", ");
  }
}
