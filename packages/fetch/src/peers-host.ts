import { AlarmQueue } from "./alarm-queue.ts";
import type { AttemptChannel } from "./attempt-channel.ts";
import type { AttemptReport, CallHost } from "./call.ts";
import type { Clock } from "./clock.ts";
import { OptionError, PeerError } from "./errors.ts";
import { PeerBook } from "./peer-book.ts";
import type { CheckedPeersOptions } from "./peers-options.ts";
import type { Platform } from "./platform.ts";
import type { StateKeeper } from "./state/state-keeper.ts";

/** Some URLs come from strangers: no name of a host is nearly so long. */
const KEY_LENGTH_MAX = 2048;

/** Who is told of every attempt that is over, and of every one that was not admitted. Must not throw. */
export interface PeersWatcher {
  attempt(report: AttemptReport): void;
  refused(refusal: PeerError): void;
}

/**
 * PeersHost is what calls of every form work with: the book and its state, the clock, its alarms, and who watches. A class: an object with
 * a getter of its own is slow in all that is read of it.
 */
export class PeersHost implements CallHost {
  readonly book: PeerBook;
  readonly clock: Clock;
  readonly alarms: AlarmQueue;
  readonly platform: Platform;
  readonly #state: StateKeeper | undefined;
  readonly #channel: AttemptChannel | undefined;
  readonly #watchers = new Set<PeersWatcher>();
  readonly #report = (report: AttemptReport): void => {
    this.#channel?.publish(report);
    for (const watcher of this.#watchers) watcher.attempt(report);
  };
  #isClosed = false;

  /** Throws OPTION_INVALID for a state where the platform keeps none. */
  constructor(options: CheckedPeersOptions, platform: Platform) {
    const { clock, state } = options;
    this.book = new PeerBook(options);
    this.clock = clock;
    this.alarms = new AlarmQueue(clock, platform.scopes?.());
    this.platform = platform;
    this.#channel = platform.openChannel?.();
    this.book.onRefusal = (refusal) => {
      for (const watcher of this.#watchers) watcher.refused(refusal);
    };
    if (state === undefined) return;
    if (platform.keepState === undefined) throw new OptionError("openPeers.state", "this build, for browsers, keeps no state");
    this.#state = platform.keepState(state, this.book, options);
  }

  /** Before each use of a peer; answers itself. Throws OPTION_INVALID for a key that is none, PEERS_CLOSED after disposal. */
  enter(key: string): this {
    if (typeof key !== "string" || key === "" || key.length > KEY_LENGTH_MAX) throw new OptionError("peer", `must be a text of at most ${KEY_LENGTH_MAX} characters`);
    if (this.#isClosed) throw new PeerError("PEERS_CLOSED", key, "these peers are closed");
    this.#state?.refresh();
    return this;
  }

  /** Writes what is not yet written. Calls under way go on, and no other begins. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#state?.close();
  }

  get report(): CallHost["report"] {
    return this.#watchers.size > 0 || this.#channel?.hasSubscribers === true ? this.#report : undefined;
  }

  /** Answers what ends it. */
  watch(watcher: PeersWatcher): () => void {
    this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  }
}

const HOSTS = new WeakMap<object, PeersHost>();

/** For this package's own modules: `Peers` tells nobody else. */
export function lendHost(peers: object, host: PeersHost): void {
  HOSTS.set(peers, host);
}

/** Throws a TypeError for what another copy of this package made. */
export function hostOf(peers: object): PeersHost {
  const host = HOSTS.get(peers);
  if (host === undefined) throw new TypeError("these are no peers of this copy of @holdfast/fetch");
  return host;
}
