/** The package in browsers, where it keeps no state and there is no undici. */
import type { OutcomeKind } from "./outcome.ts";
import { Peers } from "./peers.ts";
import type { PeersOptions } from "./peers-options.ts";

export * from "./everywhere.ts";
export { Peers };

/** Opens the memory of peers, until the page is gone. Throws OPTION_INVALID, also for a `state`. */
export function openPeers(options: PeersOptions = {}): Peers {
  return new Peers(options);
}

/** The kind of what a call threw. Browsers give a bare TypeError for all that the network does. */
export function kindOfError(_error: unknown): OutcomeKind {
  return "failed";
}
