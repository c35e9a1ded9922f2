import type { BodyEnd } from "./tracked-response.ts";

/** What an undici dispatcher is to us. */
interface Dispatcher {
  readonly isMockActive?: unknown;
  dispatch(request: unknown, handler: Handler): unknown;
}

type Abort = (reason: unknown) => void;

/** What fetch hands to a dispatcher, of either generation: the older has its `onConnect`, the newer its `onRequestStart`. */
interface Handler {
  onConnect?(abort: Abort, context: unknown): unknown;
  onComplete?(trailers: unknown): unknown;
  onError?(error: unknown): unknown;
  onRequestStart?(controller: Controller, context: unknown): unknown;
  onResponseEnd?(controller: Controller, trailers: unknown): unknown;
  onResponseError?(controller: Controller | null, error: unknown): unknown;
}

interface Controller {
  readonly aborted: boolean;
  abort(reason: unknown): void;
}

interface Ending {
  readonly kind: "whole" | "broken" | "unwanted";
  readonly error?: unknown;
}

/** Where undici keeps the dispatcher that all share: that of its older handlers, and that of its newer ones. */
const SHARED = Symbol.for("undici.globalDispatcher.1");
const SHARED_NEWER = Symbol.for("undici.globalDispatcher.2");
const shared = globalThis as { [SHARED]?: Dispatcher; [SHARED_NEWER]?: Dispatcher };

let known: { readonly fetch: unknown; readonly isNative: boolean } = { fetch: undefined, isNative: false };

/**
 * Is it the fetch within Node.js, which asks a dispatcher that is given with the request? By its text, which names where it
 * comes from: whoever put another in its place may mean another dispatcher by it.
 */
function asksDispatchers(fetch: unknown): boolean {
  if (known.fetch !== fetch) known = { fetch, isNative: Function.prototype.toString.call(fetch).includes("internal/deps/undici") };
  return known.isNative;
}

/** A tap for a request that this fetch is to send, if it asks dispatchers. `dispatcher`: the one that the caller wants. */
export function tapOf(fetch: unknown, dispatcher: unknown): TapDispatcher | undefined {
  return asksDispatchers(fetch) ? new TapDispatcher(dispatcher) : undefined;
}

/**
 * TapDispatcher stands between one call of fetch and the dispatcher that sends. It ends the request, and hears how the body
 * ends, for next to nothing: an AbortSignal costs some hundredths of a request, another body stream as much.
 *
 * Listens to what fetch is told; changes none of it. Of a request that is redirected, the last hop counts.
 */
export class TapDispatcher {
  readonly #given: Dispatcher | undefined;
  #abort: Abort | undefined;
  #ended: { readonly reason: unknown } | undefined;
  #ending: Ending | undefined;
  #watch: BodyEnd | undefined;
  #hop: Handler | undefined;

  /** `given`: the dispatcher that the caller wants. */
  constructor(given: unknown) {
    this.#given = (given ?? undefined) as Dispatcher | undefined;
  }

  /** undici's mocks are asked this before they are asked anything. */
  get isMockActive(): unknown {
    return (this.#given ?? shared[SHARED])?.isMockActive;
  }

  /** Was it asked? A fetch that is none of undici's takes no notice of it. */
  get isUsed(): boolean {
    return this.#hop !== undefined;
  }

  dispatch(request: unknown, handler: Handler): unknown {
    this.#hop = handler;
    this.#ending = undefined;
    const isNewer = handler.onRequestStart !== undefined;
    if (isNewer) this.#tapNewer(handler);
    else this.#tapOlder(handler);
    const dispatcher = this.#given ?? (isNewer ? (shared[SHARED_NEWER] ?? shared[SHARED]) : shared[SHARED]);
    return (dispatcher as Dispatcher).dispatch(request, handler);
  }

  /** Ends the request. */
  abort(reason: unknown): void {
    this.#ended = { reason };
    this.#abort?.(reason);
  }

  /** Tells how the body of the answer ends: at once, if it has. */
  follow(watch: BodyEnd): void {
    this.#watch = watch;
    if (this.#ending !== undefined) this.#tell(this.#ending);
  }

  // The handler's methods are changed, and none is put around it: fetch calls those of its own handler as well.
  #tapOlder(handler: Handler): void {
    const { onConnect, onComplete, onError } = handler;
    handler.onConnect = (abort, context) => {
      let isUnwanted = false;
      handler.onError = (error) => {
        this.#over(handler, isUnwanted ? { kind: "unwanted" } : { kind: "broken", error });
        return onError?.call(handler, error);
      };
      const end: Abort = (reason) => {
        isUnwanted = true;
        abort(reason);
      };
      const answer = onConnect?.call(handler, end, context);
      this.#start(end);
      return answer;
    };
    handler.onComplete = (trailers) => {
      this.#over(handler, { kind: "whole" });
      return onComplete?.call(handler, trailers);
    };
  }

  #tapNewer(handler: Handler): void {
    const { onRequestStart, onResponseEnd, onResponseError } = handler;
    handler.onRequestStart = (controller, context) => {
      const answer = onRequestStart?.call(handler, controller, context);
      this.#start((reason) => controller.abort(reason));
      return answer;
    };
    handler.onResponseEnd = (controller, trailers) => {
      this.#over(handler, { kind: "whole" });
      return onResponseEnd?.call(handler, controller, trailers);
    };
    handler.onResponseError = (controller, error) => {
      this.#over(handler, controller?.aborted === true ? { kind: "unwanted" } : { kind: "broken", error });
      return onResponseError?.call(handler, controller, error);
    };
  }

  #start(abort: Abort): void {
    this.#abort = abort;
    // It stood in a queue for all of its time.
    if (this.#ended !== undefined) abort(this.#ended.reason);
  }

  #over(handler: Handler, ending: Ending): void {
    if (handler !== this.#hop || this.#ending !== undefined) return;
    this.#ending = ending;
    this.#abort = undefined;
    if (this.#watch !== undefined) this.#tell(ending);
  }

  #tell(ending: Ending): void {
    const watch = this.#watch as BodyEnd;
    if (ending.kind === "whole") watch.onEnd();
    else if (ending.kind === "unwanted") watch.onCancel();
    else watch.onBroken(ending.error);
    this.#watch = undefined;
  }
}
