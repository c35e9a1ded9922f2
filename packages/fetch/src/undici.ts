import type { Alarm } from "./alarm-queue.ts";
import type { AttemptReport, CallHost } from "./call.ts";
import { nowNs, toMs, toNs } from "./clock.ts";
import { DeadlineExceededError, PeerError } from "./errors.ts";
import { aDuration, aFunction, checkOptions, oneOf, texts } from "./option-check.ts";
import type { Rules } from "./option-check.ts";
import { kindOfError } from "./outcome.ts";
import type { Outcome } from "./outcome.ts";
import type { Pass } from "./peer-book.ts";
import { judgeResponse } from "./response-advice.ts";
import { parseRoute, routeOf } from "./route.ts";
import type { RouteTemplate } from "./route.ts";

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

type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

/** What ends a request; undici's DispatchController as far as it concerns us. */
interface Controller {
  abort(reason: Error): void;
}

/** undici's current handler API as far as it concerns us; structural, so that any version that has it will do. */
export interface UndiciHandler {
  onRequestStart?(controller: Controller, context: unknown): void;
  onRequestUpgrade?(controller: Controller, statusCode: number, headers: Headers, socket: unknown): void;
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
 * further attempts: undici's own retry interceptor does, composed after this one, and each of its attempts is admitted anew.
 */
export function interceptorThrough(host: CallHost, enter: (key: string) => void, given: UndiciOptions): UndiciInterceptor {
  checkOptions("undici", given as Required<UndiciOptions>, RULES);
  const options = { ...given, templates: (given.routes ?? []).map(parseRoute) };
  return (dispatch: Dispatch): Dispatch => (request, handler) => {
    // A tunnel or an upgrade is no exchange of a request and an answer; a request to nobody is undici's to refuse.
    if (request.origin === undefined || request.method === "CONNECT" || request.upgrade) return dispatch(request, handler);
    const origin = new URL(request.origin).origin;
    const key = options.peer === undefined ? origin : options.peer(origin);
    enter(key);
    const now = nowNs(host.clock);
    const pass = host.book.admit(key, siteOf(request, options.templates), now);
    if (pass instanceof PeerError) {
      handler.onResponseError?.(null, pass);
      return true;
    }
    const exchange = new Exchange(host, pass, handler, options);
    try {
      return dispatch(request, exchange);
    } catch (error) {
      exchange.forget();
      throw error;
    }
  };
}

function siteOf({ method, path }: UndiciRequest, templates: readonly RouteTemplate[]): string {
  const end = path.search(/[?#]/);
  return `${method} ${routeOf(end < 0 ? path : path.slice(0, end), templates)}`;
}

/** One request and its answer. Its alarm is armed until the headers are there. */
class Exchange implements UndiciHandler, Alarm {
  readonly #host: CallHost;
  readonly #pass: Pass;
  readonly #handler: UndiciHandler;
  dueAt = Infinity;
  place = -1;
  scope: Alarm["scope"];
  #deadline: "learned" | "attempt" = "learned";
  #controller: Controller | undefined;
  #state: "waiting" | "answering" | "over" = "waiting";
  /** Why we ended it; what follows of it is our own doing. */
  #given: DeadlineExceededError | undefined;

  constructor(host: CallHost, pass: Pass, handler: UndiciHandler, { attemptMs, deadline }: UndiciOptions) {
    this.#host = host;
    this.#pass = pass;
    this.#handler = handler;
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

  onRequestUpgrade(controller: Controller, statusCode: number, headers: Headers, socket: unknown): void {
    this.forget();
    this.#handler.onRequestUpgrade?.(controller, statusCode, headers, socket);
  }

  onResponseStart(controller: Controller, statusCode: number, headers: Headers, statusMessage?: string): void {
    // 1xx is no answer yet.
    if (this.#state === "waiting" && statusCode >= 200) {
      this.#end();
      this.#state = "answering";
      const now = nowNs(this.#host.clock);
      const outcome = judgeResponse({ status: statusCode, headers: { get: (name) => textOf(headers[name]) } }, this.#host.clock.wallMs());
      const isProof = !this.#pass.record.bodiesBreak;
      this.#settle(isProof ? outcome : { ...outcome, isProof }, now - this.#pass.startedAt, now);
    }
    this.#handler.onResponseStart?.(controller, statusCode, headers, statusMessage);
  }

  onResponseData(controller: Controller, chunk: Uint8Array): void {
    this.#handler.onResponseData?.(controller, chunk);
  }

  onResponseEnd(controller: Controller, trailers: Headers): void {
    const { record, epoch } = this.#pass;
    this.#state = "over";
    if (record.bodiesBreak) this.#host.book.bodyEnded(record, epoch, nowNs(this.#host.clock));
    this.#handler.onResponseEnd?.(controller, trailers);
  }

  onResponseError(controller: Controller | null, error: Error): void {
    if (this.#given !== undefined) return;
    const now = nowNs(this.#host.clock);
    const isOurs = isAbort(error);
    if (this.#state === "waiting") {
      this.#end();
      if (isOurs) this.#host.book.censored(this.#pass, now);
      this.#settle({ kind: isOurs ? "cancelled" : kindOfError(error) }, undefined, now);
    } else if (this.#state === "answering" && !isOurs) {
      const { record, epoch } = this.#pass;
      this.#host.book.bodyBroke(record, epoch, now);
    }
    this.#state = "over";
    this.#handler.onResponseError?.(controller, error);
  }

  /** Its deadline. */
  ring(now: number): void {
    this.#state = "over";
    if (this.#deadline === "learned") this.#host.book.timedOut(this.#pass, now);
    else this.#host.book.censored(this.#pass, now);
    this.#settle({ kind: "timed-out" }, undefined, now);
    this.#given = new DeadlineExceededError(this.#pass.record.key, this.#deadline, toMs(now - this.#pass.startedAt));
    this.#controller?.abort(this.#given);
    this.#handler.onResponseError?.(this.#controller ?? null, this.#given);
  }

  #end(): void {
    this.#state = "over";
    this.#host.alarms.disarm(this);
  }

  #settle(outcome: Outcome, roundTripNs: number | undefined, now: number): void {
    const { record, site, startedAt } = this.#pass;
    this.#host.book.settle(this.#pass, outcome, roundTripNs, now);
    const report: AttemptReport = { peer: record.key, site: site.name, attempt: 1, outcome, durationMs: toMs(now - startedAt) };
    this.#host.report?.(report);
  }
}

/** The caller's: an abort of theirs, or an error that is none of a network. */
function isAbort(error: Error): boolean {
  const { code } = error as { code?: unknown };
  return error.name === "AbortError" || code === "UND_ERR_ABORTED" || code === undefined;
}

function textOf(value: string | readonly string[] | undefined): string | null {
  if (value === undefined) return null;
  return typeof value === "string" ? value : value.join(", ");
}
