// Of whoever uses the package, `lib` may have no disposal.
/// <reference lib="esnext.disposable" preserve="true" />
import { runCall } from "./call.ts";
import { nowNs, toNs } from "./clock.ts";
import { OptionError, PeerError } from "./errors.ts";
import { fetchThrough } from "./fetch.ts";
import type { Fetch, FetchOptions } from "./fetch.ts";
import { aDuration, aText, checkOptions } from "./option-check.ts";
import { explainPeer } from "./peer-explained.ts";
import type { PeerExplained } from "./peer-explained.ts";
import { lendHost, PeersHost } from "./peers-host.ts";
import { Permit } from "./permit.ts";
import { peersOptions } from "./peers-options.ts";
import type { PeersOptions } from "./peers-options.ts";
import type { Platform } from "./platform.ts";
import { runOptions } from "./run-options.ts";
import type { RunOptions, Work } from "./run-options.ts";
import { PeerTransition, TransitionTarget } from "./transition.ts";

/**
 * Peers remembers every remote that a program calls. Each is one record, by its key: the origin of a URL, or whatever name
 * the caller gives it. It is all that a browser needs, and no more; `ServerPeers` adds the rest, and `platform` is what else there is.
 */
export class Peers extends TransitionTarget implements AsyncDisposable {
  readonly #host: PeersHost;

  constructor(given: PeersOptions, platform: Platform = {}) {
    super();
    this.#host = new PeersHost(peersOptions(given), platform);
    lendHost(this, this.#host);
    this.#host.book.onTransition = (peer, kind, retryAfterMs, reason) => {
      this.dispatchEvent(new PeerTransition(kind, peer, retryAfterMs, reason));
    };
  }

  /**
   * Does something that needs the peer: admits it, bounds its time, judges how it went. Rejects with a `PeerError`
   * where the peer is not to be asked or does not answer in time, with what `work` threw, or with the reason of the
   * caller's signal; with OPTION_INVALID for options that are none.
   */
  run<T>(key: string, work: Work<T>, options?: RunOptions<T>): Promise<T> {
    try {
      if (typeof work !== "function") throw new OptionError("run.work", "must be a function");
      const checked = runOptions(options);
      return runCall(this.#host.enter(key), key, (ender, attempt) => work(ender.signal, attempt), checked);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** `fetch`, through the peers. Throws OPTION_INVALID. */
  fetch(options: FetchOptions = {}): Fetch {
    return fetchThrough(this.#host, options);
  }

  /** Leave to use the peer, for what is no single call. Throws a `PeerError` if there is none. */
  acquire(key: string, options: { readonly site?: string } = {}): Permit {
    checkOptions("acquire", options as { site: string }, { site: aText });
    const { site = "" } = options;
    const { book, clock } = this.#host.enter(key);
    const pass = book.admit(key, site, nowNs(clock));
    if (pass instanceof PeerError) throw pass;
    return new Permit(this.#host, pass);
  }

  /** What is known of the peer, and what stands in its way. */
  explain(key: string): PeerExplained {
    const { book, clock } = this.#host.enter(key);
    return explainPeer(book, key, nowNs(clock));
  }

  /** The keys of all peers held. */
  keys(): string[] {
    return [...this.#host.book.records.keys()];
  }

  /** Denies a peer, for `forMs` or for good; survives a restart where there is a state. */
  block(key: string, options: { readonly forMs?: number; readonly reason?: string } = {}): void {
    checkOptions("block", options as { forMs: number; reason: string }, { forMs: aDuration, reason: aText });
    const { book, clock } = this.#host.enter(key);
    const now = nowNs(clock);
    const { forMs, reason = "" } = options;
    book.block(key, forMs === undefined ? Infinity : now + toNs(forMs), reason, now);
  }

  /** Takes a block back; true if there was one. What the options of `openPeers` deny stays denied. */
  unblock(key: string): boolean {
    const { book, clock } = this.#host.enter(key);
    return book.unblock(key, nowNs(clock));
  }

  /**
   * Lets a peer that failed be tried at once, or all of them: the network is back, or somebody has mended it. Advice and
   * blocks hold.
   */
  retryNow(key?: string): void {
    const { book } = key === undefined ? this.#host : this.#host.enter(key);
    const asked = key === undefined ? book.records.values() : [book.records.get(key)];
    for (const record of asked) if (record !== undefined) book.endCooldown(record);
  }

  /** Writes what is not yet written, and ends. Calls under way go on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  /** The same. */
  close(): void {
    this.#host.close();
  }
}
