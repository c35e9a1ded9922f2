import { RuntimeError } from "@holdfast/core/peer";
import { AlarmQueue } from "./alarm-queue.ts";
import { runCall } from "./call.ts";
import type { AttemptReport, CallHost } from "./call.ts";
import { nowNs, toMs, toNs } from "./clock.ts";
import type { Clock } from "./clock.ts";
import { PeerError } from "./errors.ts";
import { fetchThrough } from "./fetch.ts";
import type { Fetch, FetchOptions } from "./fetch.ts";
import { aDuration, aText, checkOptions } from "./option-check.ts";
import { PeerBook } from "./peer-book.ts";
import type { PeerExplained, TransitionKind } from "./peer-book.ts";
import { Permit } from "./permit.ts";
import { peersOptions } from "./peers-options.ts";
import type { PeersOptions } from "./peers-options.ts";
import { runOptions } from "./run-options.ts";
import type { RunOptions, Work } from "./run-options.ts";
import { StateKeeper } from "./state/state-keeper.ts";
import { openState } from "./state/open-state.ts";
import { interceptorThrough } from "./undici.ts";
import type { UndiciInterceptor, UndiciOptions } from "./undici.ts";
import { PeerTransition } from "./transition.ts";

/** One message on it for each attempt that is over: `AttemptReport`. */
export const ATTEMPT_CHANNEL = "holdfast:attempt";

interface Channel {
  readonly hasSubscribers: boolean;
  publish(message: unknown): void;
}

export type TransitionListener = ((event: PeerTransition) => void) | { handleEvent(event: PeerTransition): void };
type Listener = Parameters<EventTarget["addEventListener"]>[1];
type ListenerOptions = Parameters<EventTarget["addEventListener"]>[2];

/** Opens the memory of peers. Throws OPTION_INVALID; a damaged state file is moved aside with a warning. */
export function openPeers(options: PeersOptions = {}): Peers {
  return new Peers(options);
}

/**
 * Peers remembers every remote that a program calls. Each is one record, by its key: the origin of a URL, or whatever name
 * the caller gives it.
 */
export class Peers extends EventTarget implements AsyncDisposable {
  readonly #book: PeerBook;
  readonly #clock: Clock;
  readonly #host: CallHost;
  readonly #state: StateKeeper | undefined;
  #isClosed = false;

  constructor(given: PeersOptions) {
    super();
    const options = peersOptions(given);
    this.#clock = options.clock;
    this.#book = new PeerBook(options);
    this.#host = new Host(this.#book, this.#clock);
    this.#book.onTransition = (peer, kind, retryAfterMs, reason) => {
      this.dispatchEvent(new PeerTransition(kind, peer, retryAfterMs, reason));
    };
    if (options.state === undefined) return;
    this.#state = new StateKeeper(this.#book, this.#clock, options, openState(options.state));
  }

  override addEventListener(kind: TransitionKind, listener: TransitionListener, options?: ListenerOptions): void {
    super.addEventListener(kind, listener as Listener, options);
  }

  override removeEventListener(kind: TransitionKind, listener: TransitionListener, options?: ListenerOptions): void {
    super.removeEventListener(kind, listener as Listener, options);
  }

  /**
   * Does something that needs the peer: admits it, bounds its time, judges how it went. Rejects with a `PeerError`
   * where the peer is not to be asked or does not answer in time, with what `work` threw, or with the reason of the
   * caller's signal; with OPTION_INVALID for options that are none.
   */
  run<T>(key: string, work: Work<T>, options?: RunOptions<T>): Promise<T> {
    try {
      const checked = runOptions(options);
      this.#enter(key);
      return runCall(this.#host, key, work, checked);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** `fetch`, through the peers. Throws OPTION_INVALID. */
  fetch(options: FetchOptions = {}): Fetch {
    return fetchThrough(this.#host, (key) => this.#enter(key), options);
  }

  /** An interceptor for `dispatcher.compose` of undici. Throws OPTION_INVALID. */
  undici(options: UndiciOptions = {}): UndiciInterceptor {
    return interceptorThrough(this.#host, (key) => this.#enter(key), options);
  }

  /** Leave to use the peer, for what is no single call. Throws a `PeerError` if there is none. */
  acquire(key: string, { site = "" }: { readonly site?: string } = {}): Permit {
    this.#enter(key);
    const now = nowNs(this.#clock);
    const pass = this.#book.admit(key, site, now);
    if (pass instanceof PeerError) throw pass;
    return new Permit(this.#book, this.#clock, pass, toMs(this.#book.deadlineNs(pass.site, now)));
  }

  /** What is known of the peer, and what stands in its way. */
  explain(key: string): PeerExplained {
    this.#enter(key);
    return this.#book.explain(key, nowNs(this.#clock));
  }

  /** The keys of all peers held. */
  keys(): string[] {
    return [...this.#book.records.keys()];
  }

  /** Denies a peer, for `forMs` or for good; survives a restart where there is a state. */
  block(key: string, options: { readonly forMs?: number; readonly reason?: string } = {}): void {
    checkOptions("block", options as { forMs: number; reason: string }, { forMs: aDuration, reason: aText });
    this.#enter(key);
    const now = nowNs(this.#clock);
    const { forMs, reason = "" } = options;
    this.#book.block(key, { untilNs: forMs === undefined ? "never" : now + toNs(forMs), reason }, now);
  }

  /** Takes a block back; true if there was one. What the options of `openPeers` deny stays denied. */
  unblock(key: string): boolean {
    this.#enter(key);
    return this.#book.unblock(key, nowNs(this.#clock));
  }

  /** Writes what is not yet written, and ends. Calls under way go on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  /** The same. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#state?.close();
  }

  #enter(key: string): void {
    if (typeof key !== "string" || key === "") throw new RuntimeError("OPTION_INVALID", { option: "peer", value: key, reason: "must be a text" });
    if (this.#isClosed) throw new PeerError("PEERS_CLOSED", key, "these peers are closed");
    this.#state?.refresh();
  }
}

/** A class: an object with a getter of its own is slow in all that is read of it. */
class Host implements CallHost {
  readonly book: PeerBook;
  readonly clock: Clock;
  readonly alarms: AlarmQueue;
  readonly #channel = openChannel();
  readonly #publish = (report: AttemptReport): void => this.#channel?.publish(report);

  constructor(book: PeerBook, clock: Clock) {
    this.book = book;
    this.clock = clock;
    this.alarms = new AlarmQueue(clock);
  }

  get report(): CallHost["report"] {
    return this.#channel?.hasSubscribers === true ? this.#publish : undefined;
  }
}

/** Undefined where the platform has none. */
function openChannel(): Channel | undefined {
  const { getBuiltinModule } = globalThis.process ?? {};
  return getBuiltinModule?.("node:diagnostics_channel")?.channel(ATTEMPT_CHANNEL);
}
