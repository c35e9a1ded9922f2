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

const WATCH: unique symbol = Symbol("body watch");
const STREAM: unique symbol = Symbol("watched body");
type Watched = Response & { [WATCH]: BodyWatch; [STREAM]?: ReadableStream<Uint8Array> };

/** One prototype over each that there is: the built-in fetch's, undici's, others'. */
const prototypes = new WeakMap<object, object>();
const READERS = ["text", "json", "arrayBuffer", "blob", "bytes", "formData"] as const;

/**
 * Watches the body of an answer without touching it: the same object, of the same class. Only what is read is
 * seen; a body that nobody reads tells nothing.
 */
export function watchBody(response: Response, watch: BodyWatch): void {
  (response as Watched)[WATCH] = watch;
  Object.setPrototypeOf(response, prototypeOver(Object.getPrototypeOf(response) as Response));
}

function prototypeOver(base: Response): object {
  let over = prototypes.get(base);
  if (over === undefined) prototypes.set(base, (over = makePrototype(base)));
  return over;
}

function makePrototype(base: Response): object {
  const over = Object.create(base) as Response;
  for (const name of READERS) {
    if (typeof base[name] !== "function") continue;
    Object.defineProperty(over, name, { configurable: true, writable: true, value: reader(base, name) });
  }
  const bodyOf = (response: Response): ReadableStream<Uint8Array> | null => Reflect.get(base, "body", response) as ReadableStream<Uint8Array> | null;
  Object.defineProperty(over, "body", {
    configurable: true,
    get(this: Watched) {
      const body = bodyOf(this);
      if (body === null || body.locked) return this[STREAM] ?? body;
      return (this[STREAM] ??= watchedStream(body, this[WATCH]));
    },
  });
  // The copy stays unwatched. Our own half is another stream from now on.
  Object.defineProperty(over, "clone", { configurable: true, writable: true, value(this: Watched) {
    const copy = base.clone.call(this);
    delete this[STREAM];
    return copy;
  } });
  return over;
}

/** One of the methods that read all of a body. */
function reader(base: Response, name: (typeof READERS)[number]): (this: Watched) => Promise<unknown> {
  return async function (this: Watched): Promise<unknown> {
    const watch = this[WATCH];
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

/** The body, chunk by chunk as it is asked for: what nobody pulls is not read. */
function watchedStream(body: ReadableStream<Uint8Array>, watch: BodyWatch): ReadableStream<Uint8Array> {
  let source: ReadableStreamDefaultReader<Uint8Array> | undefined;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      // Outside of what is judged: a body that somebody else holds is no fault of the peer.
      source ??= body.getReader();
      watch.onWait();
      try {
        const { done, value } = await source.read();
        if (!done) return controller.enqueue(value);
        watch.onEnd();
        controller.close();
      } catch (error) {
        watch.onBroken(error);
        throw error;
      } finally {
        watch.onWaited();
      }
    },
    async cancel(reason) {
      watch.onCancel();
      await (source ?? body).cancel(reason);
    },
  }, { highWaterMark: 0 });
}
