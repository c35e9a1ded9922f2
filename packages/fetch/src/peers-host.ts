import { AlarmQueue } from "./alarm-queue.ts";
import type { AttemptChannel } from "./attempt-channel.ts";
import type { AttemptReport, CallHost } from "./call.ts";
import type { Clock } from "./clock.ts";
import type { PeerError } from "./errors.ts";
import type { PeerBook } from "./peer-book.ts";
import type { Platform } from "./platform.ts";

/** Who is told of every attempt that is over, and of every one that was not admitted. Must not throw. */
export interface PeersWatcher {
  attempt(report: AttemptReport): void;
  refused(refusal: PeerError): void;
}

/**
 * PeersHost is what calls of every form work with: the book, the clock, its alarms, and who watches. A class: an object with
 * a getter of its own is slow in all that is read of it.
 */
export class PeersHost implements CallHost {
  readonly book: PeerBook;
  readonly clock: Clock;
  readonly alarms: AlarmQueue;
  /** Before each use of a peer. Throws OPTION_INVALID for a key that is none, PEERS_CLOSED after disposal. */
  readonly enter: (key: string) => void;
  readonly platform: Platform;
  readonly #channel: AttemptChannel | undefined;
  readonly #watchers = new Set<PeersWatcher>();
  readonly #report = (report: AttemptReport): void => {
    this.#channel?.publish(report);
    for (const watcher of this.#watchers) watcher.attempt(report);
  };

  constructor(book: PeerBook, clock: Clock, enter: (key: string) => void, platform: Platform) {
    this.book = book;
    this.clock = clock;
    this.alarms = new AlarmQueue(clock, platform.scopes?.());
    this.enter = enter;
    this.platform = platform;
    this.#channel = platform.openChannel?.();
    book.onRefusal = (refusal) => {
      for (const watcher of this.#watchers) watcher.refused(refusal);
    };
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
