import { Peers } from "./peers.ts";
import { hostOf } from "./peers-host.ts";
import type { PeersOptions } from "./peers-options.ts";
import { openState } from "./state/open-state.ts";
import { StateKeeper } from "./state/state-keeper.ts";
import { interceptorThrough } from "./undici.ts";
import type { UndiciInterceptor, UndiciOptions } from "./undici.ts";

/** Opens the memory of peers. Throws OPTION_INVALID; a damaged state file is moved aside with a warning. */
export function openPeers(options: PeersOptions = {}): ServerPeers {
  return new ServerPeers(options);
}

/** ServerPeers adds to peers what browsers have no use for: state that outlives the process, and undici. */
export class ServerPeers extends Peers {
  constructor(options: PeersOptions) {
    super(options, (state, book, checked) => new StateKeeper(book, checked.clock, checked, openState(state)));
  }

  /** An interceptor for `dispatcher.compose` of undici. Throws OPTION_INVALID. */
  undici(options: UndiciOptions = {}): UndiciInterceptor {
    const host = hostOf(this);
    return interceptorThrough(host, host.enter, options);
  }
}
