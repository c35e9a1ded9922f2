import { Metadata, status as Status } from "@grpc/grpc-js";
import type { InterceptingListener, InterceptorOptions, NextCall, StatusObject } from "@grpc/grpc-js";
import { runCall } from "../call.ts";
import { toMs } from "../clock.ts";
import type { Ender } from "../ender.ts";
import type { Outcome } from "../outcome.ts";
import type { PeersHost } from "../peers-host.ts";
import type { CheckedRunOptions } from "../run-options.ts";
import { isAnswer, judgeStatus, StatusError, statusOfError } from "./status.ts";

/** What `nextCall` answers: a call that is under our hands. */
export type InnerCall = ReturnType<NextCall>;

interface Answer {
  readonly message: unknown;
  readonly status: StatusObject;
}

type Context = Parameters<InnerCall["sendMessageWithContext"]>[0];

/** Who ends a call this close to our deadline, in ms, goes by it, too: the library, or the peer. */
const SAME_MS = 25;
/** With which it is ended: a peer that gives up resets the stream, too. */
const ENDS_OF_TIME: ReadonlySet<Status> = new Set([Status.DEADLINE_EXCEEDED, Status.CANCELLED]);
/** Source: gRPC proposal A6, "Retry and Hedging Metadata". */
const ATTEMPTS_BEFORE = "grpc-previous-rpc-attempts";

/**
 * A call of one request and one answer: run as `Peers.run` does, each attempt a call of the library's. The deadline of an
 * attempt is ours to end and to judge; the library is told it, too, so that the peer hears of it.
 */
export class UnaryCall implements InnerCall {
  readonly #host: PeersHost;
  readonly #key: string;
  readonly #options: InterceptorOptions;
  readonly #nextCall: NextCall;
  readonly #limits: CheckedRunOptions<unknown>;
  readonly #caller = new AbortController();
  /** When the caller's deadline ends, in ms since 1970; Infinity = never. */
  readonly #endsAtMs: number;
  #metadata!: Metadata;
  #listener: Partial<InterceptingListener> = {};
  /** Kept for further attempts. */
  #request: { readonly context: Context; readonly message: unknown } | undefined;
  #isHalfClosed = false;
  /** The caller saw the beginning of an answer. Source: gRPC proposal A6, "When Retries are Valid". */
  #isCommitted = false;
  #inner: InnerCall | undefined;

  constructor(host: PeersHost, key: string, options: InterceptorOptions, nextCall: NextCall, limits: CheckedRunOptions<unknown>) {
    this.#host = host;
    this.#key = key;
    this.#options = options;
    this.#nextCall = nextCall;
    this.#limits = limits;
    this.#endsAtMs = Number(options.deadline ?? Infinity);
  }

  start(metadata: Metadata, listener: Partial<InterceptingListener> = {}): void {
    this.#metadata = metadata;
    this.#listener = listener;
    const options: CheckedRunOptions<Answer> = {
      ...this.#limits,
      site: this.#options.method_definition.path,
      judgeValue: ({ status }) => this.#judge(status),
      // What is no status was thrown on our side, before anything was sent.
      judgeError: (error) => (error instanceof StatusError ? this.#judge(error.status) : { kind: "local" }),
      signal: this.#caller.signal,
      ...(this.#endsAtMs === Infinity ? {} : { totalMs: Math.max(0, this.#endsAtMs - Date.now()) }),
    };
    // What a callback of the caller throws is the process's to hear of, and no promise's.
    this.#run(options).then(
      ({ message, status }) => queueMicrotask(() => this.#end(message, status)),
      (error: unknown) => queueMicrotask(() => this.#end(null, statusOfError(error))),
    );
  }

  sendMessageWithContext(context: Context, message: unknown): void {
    this.#request = { context, message };
    this.#inner?.sendMessageWithContext(context, message);
  }

  sendMessage(message: unknown): void {
    this.sendMessageWithContext({}, message);
  }

  halfClose(): void {
    this.#isHalfClosed = true;
    this.#inner?.halfClose();
  }

  /** The one answer is read without. */
  startRead(): void {}

  cancelWithStatus(code: Status, details: string): void {
    this.#caller.abort(new StatusError({ code, details, metadata: new Metadata() }));
  }

  getPeer(): string {
    return this.#inner?.getPeer() ?? this.#key;
  }

  getAuthContext(): ReturnType<InnerCall["getAuthContext"]> {
    return this.#inner?.getAuthContext() ?? null;
  }

  async #run(options: CheckedRunOptions<Answer>): Promise<Answer> {
    this.#host.enter(this.#key);
    return runCall(this.#host, this.#key, (ender, attempt, withinNs) => this.#attempt(ender, attempt, toMs(withinNs)), options);
  }

  #attempt(ender: Ender, attempt: number, withinMs: number): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#options.parent?.cancelled === true) return reject(new StatusError({ code: Status.CANCELLED, details: "Cancelled by parent call", metadata: new Metadata() }));
      // What the library is told, in ms since 1970.
      const deadlineMs = Math.min(this.#endsAtMs, Math.ceil(Date.now() + withinMs));
      const inner = this.#nextCall({ ...this.#options, deadline: deadlineMs });
      this.#inner = inner;
      let message: unknown = null;
      ender.tell({
        abort(reason) {
          const { code, details } = statusOfError(reason);
          inner.cancelWithStatus(code, details);
        },
      });
      inner.start(this.#metadataOf(attempt), {
        onReceiveMetadata: (metadata) => {
          this.#isCommitted = true;
          this.#listener.onReceiveMetadata?.(metadata);
        },
        onReceiveMessage: (received: unknown) => {
          message = received;
        },
        onReceiveStatus: (status) => {
          // Our own timer ends it in a moment, and knows whose deadline it is.
          if (ENDS_OF_TIME.has(status.code) && Date.now() >= deadlineMs - SAME_MS) return;
          if (isAnswer(status)) resolve({ message, status });
          else reject(new StatusError(status));
        },
      });
      if (this.#request !== undefined) inner.sendMessageWithContext(this.#request.context, this.#request.message);
      if (this.#isHalfClosed) inner.halfClose();
    });
  }

  #metadataOf(attempt: number): Metadata {
    if (attempt === 1) return this.#metadata;
    const metadata = this.#metadata.clone();
    metadata.set(ATTEMPTS_BEFORE, String(attempt - 1));
    return metadata;
  }

  #judge(status: StatusObject): Outcome {
    const outcome = judgeStatus(status);
    return this.#isCommitted ? { ...outcome, retry: false } : outcome;
  }

  #end(message: unknown, status: StatusObject): void {
    this.#listener.onReceiveMessage?.(message);
    this.#listener.onReceiveStatus?.(status);
  }
}
