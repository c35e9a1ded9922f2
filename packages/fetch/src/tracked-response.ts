/** Hears how the body of an answer ends: one of the three is called, once, if it does. */
export interface BodyEnd {
  /** All of it arrived. */
  onEnd(): void;
  /** It broke off. */
  onBroken(error: unknown): void;
  /** Whoever asked for it wanted no more. */
  onCancel(): void;
}

/** Hears how the body of an answer is read, too. */
export interface BodyWatch extends BodyEnd {
  /** Are there silences within the body that are too long? */
  readonly hasIdleBound: boolean;
  /** A chunk is waited for, */
  onWait(): void;
  /** and no longer. */
  onWaited(): void;
}

/** What is held of an answer, by a symbol of each prototype's own: a fetch of ours around another watches for itself. */
interface Watching {
  readonly watch: BodyWatch;
  stream: ReadableStream<Uint8Array> | undefined;
}
type Watched = Response & { [watching: symbol]: Watching };

/** Of a copy: the answer that it was made of, whose watch must not end while the copy is read. */
const ORIGINAL: unique symbol = Symbol("original");

/** One prototype over each that there is: the built-in fetch's, undici's, others'. */
const prototypes = new WeakMap<object, { readonly over: object; readonly key: symbol }>();
type Source = NonNullable<ConstructorParameters<typeof ReadableStream<Uint8Array>>[0]>;
const READERS = ["text", "json", "arrayBuffer", "blob", "bytes", "formData"] as const;

/**
 * Watches the body of an answer without touching it: the same object, of the same class. Only what is read is
 * seen; a body that nobody reads tells nothing.
 */
export function watchBody(response: Response, watch: BodyWatch): void {
  const base = Object.getPrototypeOf(response) as Response;
  let known = prototypes.get(base);
  if (known === undefined) prototypes.set(base, (known = makePrototype(base)));
  (response as Watched)[known.key] = { watch, stream: undefined };
  Object.setPrototypeOf(response, known.over);
}

function makePrototype(base: Response): { readonly over: object; readonly key: symbol } {
  const over = Object.create(base) as Response;
  const key = Symbol("watched body");
  const watchingOf = (response: Watched): Watching => response[key] as Watching;
  for (const name of READERS) {
    if (typeof base[name] !== "function") continue;
    Object.defineProperty(over, name, { configurable: true, writable: true, value: reader(base, name, watchingOf) });
  }
  const bodyOf = (response: Response): ReadableStream<Uint8Array> | null => Reflect.get(base, "body", response) as ReadableStream<Uint8Array> | null;
  Object.defineProperty(over, "body", {
    configurable: true,
    get(this: Watched) {
      const body = bodyOf(this);
      const watching = watchingOf(this);
      if (body === null || body.locked) return watching.stream ?? body;
      return (watching.stream ??= watchedStream(this, body, watching.watch));
    },
  });
  // The copy stays unwatched. Our own half is another stream from now on.
  Object.defineProperty(over, "clone", { configurable: true, writable: true, value(this: Watched) {
    const watching = watchingOf(this);
    if (watching.stream?.locked === true) throw lockedError();
    const copy = base.clone.call(this);
    watching.stream = undefined;
    return Object.defineProperty(copy, ORIGINAL, { value: this });
  } });
  return { over, key };
}

/** What is beneath is locked from the first read on only. */
function lockedError(): TypeError {
  return new TypeError("Body is unusable: it is locked to a reader");
}

/** One of the methods that read all of a body. */
function reader(base: Response, name: (typeof READERS)[number], watchingOf: (response: Watched) => Watching): (this: Watched) => Promise<unknown> {
  return async function (this: Watched): Promise<unknown> {
    const { watch, stream } = watchingOf(this);
    if (stream?.locked === true) throw lockedError();
    if (watch.hasIdleBound && !this.bodyUsed && this.body !== null) {
      // Only a stream shows silences: the same method of an answer made of it.
      return (new Response(this.body, { headers: this.headers })[name] as () => Promise<unknown>)();
    }
    const wasUsed = this.bodyUsed;
    try {
      const value: unknown = await (base[name] as () => Promise<unknown>).call(this);
      watch.onEnd();
      return value;
    } catch (error) {
      // What cannot be parsed did arrive; what had been read before is a mistake of the caller.
      if (error instanceof SyntaxError) watch.onEnd();
      else if (!wasUsed) watch.onBroken(error);
      throw error;
    }
  };
}

/**
 * The body, chunk by chunk as it is asked for: what nobody pulls is not read. Holds the answer: while one of them is in use,
 * the other is not forgotten.
 */
function watchedStream(answer: Response, body: ReadableStream<Uint8Array>, watch: BodyWatch): ReadableStream<Uint8Array> {
  let source: ReadableStreamDefaultReader<Uint8Array> | undefined;
  const type = takesBuffers(body) ? "bytes" : undefined;
  const pulled = {
    answer,
    type,
    async pull(controller: ReadableStreamDefaultController<Uint8Array> & { readonly byobRequest?: { respond(bytes: number): void } | null }): Promise<void> {
      // Outside of what is judged: a body that somebody else holds is no fault of the peer.
      source ??= body.getReader();
      watch.onWait();
      try {
        const { done, value } = await source.read();
        if (!done) return controller.enqueue(value);
        watch.onEnd();
        controller.close();
        // Who brought a buffer of their own waits for it.
        controller.byobRequest?.respond(0);
      } catch (error) {
        watch.onBroken(error);
        throw error;
      } finally {
        watch.onWaited();
      }
    },
    async cancel(reason: unknown): Promise<void> {
      watch.onCancel();
      await (source ?? body).cancel(reason);
    },
  };
  return new ReadableStream<Uint8Array>(pulled as Source, { highWaterMark: 0 });
}

/** May its readers bring buffers of their own? Those of answers that came over a network do. */
function takesBuffers(body: ReadableStream<Uint8Array>): boolean {
  try {
    body.getReader({ mode: "byob" }).releaseLock();
    return true;
  } catch {
    return false;
  }
}
