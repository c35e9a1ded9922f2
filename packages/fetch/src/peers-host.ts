import type { AttemptReport, CallHost } from "./call.ts";
import type { PeerError } from "./errors.ts";

/** Who is told of every attempt that is over, and of every one that was not admitted. Must not throw. */
export interface PeersWatcher {
  attempt(report: AttemptReport): void;
  refused(refusal: PeerError): void;
}

/** What the forms of calls in subpaths work with. */
export interface PeersHost {
  readonly call: CallHost;
  /** Before each use of a peer. Throws OPTION_INVALID for a key that is none, PEERS_CLOSED after disposal. */
  readonly enter: (key: string) => void;
  /** Answers what ends it. */
  readonly watch: (watcher: PeersWatcher) => () => void;
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
