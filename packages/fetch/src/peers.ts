// Of whoever uses the package, `lib` may have no disposal.
/// <reference lib="esnext.disposable" preserve="true" />
import { runCall } from "./call.ts";
import { nowNs, toNs } from "./clock.ts";
import type { Clock } from "./clock.ts";
import { OptionError, PeerError } from "./errors.ts";
import { fetchThrough } from "./fetch.ts";
import type { Fetch, FetchOptions } from "./fetch.ts";
import { aDuration, aText, checkOptions } from "./option-check.ts";
import { PeerBook } from "./peer-book.ts";
import { explainPeer } from "./peer-explained.ts";
import type { PeerExplained } from "./peer-explained.ts";
import { lendHost, PeersHost } from "./peers-host.ts";
import { Permit } from "./permit.ts";
import { peersOptions } from "./peers-options.ts";
import type { PeersOptions } from "./peers-options.ts";
import type { Platform } from "./platform.ts";
import { runOptions } from "./run-options.ts";
import type { RunOptions, Work } from "./run-options.ts";
import type { StateKeeper } from "./state/state-keeper.ts";
import { PeerTransition, TransitionTarget } from "./transition.ts";

/**
 * Peers remembers every remote that a program calls. Each is one record, by its key: the origin of a URL, or whatever name
 * the caller gives it. It is all that a browser needs, and no more; `ServerPeers` adds the rest, and `platform` is what else there is.
 */
export class Peers extends TransitionTarget implements AsyncDisposable {
  readonly #book: PeerBook;
  readonly #clock: Clock;
  readonly #host: PeersHost;
  readonly #state: StateKeeper | undefined;
  #isClosed = false;

  constructor(given: PeersOptions, platform: Platform = {}) {
    super();
    const options = peersOptions(given);
    this.#clock = options.clock;
    this.#book = new PeerBook(options);
    this.#host = new PeersHost(this.#book, this.#clock, (key) => this.#enter(key), platform);
    lendHost(this, this.#host);
    this.#book.onTransition = (peer, kind, retryAfterMs, reason) => {
      this.dispatchEvent(new PeerTransition(kind, peer, retryAfterMs, reason));
    };
    if (options.state === undefined) return;
    if (platform.keepState === undefined) throw new OptionError("openPeers.state", "this build, for browsers, keeps no state");
    this.#state = platform.keepState(options.state, this.#book, options);
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
    return fetchThrough(this.#host, options);
  }

  /** Leave to use the peer, for what is no single call. Throws a `PeerError` if there is none. */
  acquire(key: string, { site = "" }: { readonly site?: string } = {}): Permit {
    this.#enter(key);
    const pass = this.#book.admit(key, site, nowNs(this.#clock));
    if (pass instanceof PeerError) throw pass;
    return new Permit(this.#host, pass);
  }

  /** What is known of the peer, and what stands in its way. */
  explain(key: string): PeerExplained {
    this.#enter(key);
    return explainPeer(this.#book, key, nowNs(this.#clock));
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
    this.#book.block(key, forMs === undefined ? Infinity : now + toNs(forMs), reason, now);
  }

  /** Takes a block back; true if there was one. What the options of `openPeers` deny stays denied. */
  unblock(key: string): boolean {
    this.#enter(key);
    return this.#book.unblock(key, nowNs(this.#clock));
  }

  /**
   * Lets a peer that failed be tried at once, or all of them: the network is back, or somebody has mended it. Advice and
   * blocks hold.
   */
  retryNow(key?: string): void {
    if (key !== undefined) this.#enter(key);
    const { records } = this.#book;
    const asked = key === undefined ? records.values() : [records.get(key)];
    for (const record of asked) if (record !== undefined) this.#book.endCooldown(record);
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
    if (typeof key !== "string" || key === "") throw new OptionError("peer", "must be a text");
    if (this.#isClosed) throw new PeerError("PEERS_CLOSED", key, "these peers are closed");
    this.#state?.refresh();
  }
}
