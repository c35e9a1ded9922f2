import { openAttemptChannel } from "./attempt-channel.ts";
import { kindOfError } from "./error-codes.ts";
import { Peers } from "./peers.ts";
import { hostOf } from "./peers-host.ts";
import type { PeersOptions } from "./peers-options.ts";
import type { Platform } from "./platform.ts";
import { openState } from "./state/open-state.ts";
import { StateKeeper } from "./state/state-keeper.ts";
import { tapOf } from "./tap-dispatcher.ts";
import { interceptorThrough } from "./undici.ts";
import type { UndiciInterceptor, UndiciOptions } from "./undici.ts";

const SERVER: Platform = {
  kindOfError, tap: tapOf, openChannel: openAttemptChannel,
  scopes: () => globalThis.process?.getBuiltinModule?.("node:async_hooks")?.AsyncResource,
  keepState: (state, book, options) => new StateKeeper(book, options, openState(state)),
};

/** Opens the memory of peers. Throws OPTION_INVALID; a damaged state file is moved aside with a warning. */
export function openPeers(options: PeersOptions = {}): ServerPeers {
  return new ServerPeers(options);
}

/** ServerPeers adds to peers what browsers have no use for: state that outlives the process, and undici. */
export class ServerPeers extends Peers {
  constructor(options: PeersOptions) {
    super(options, SERVER);
  }

  /** An interceptor for `dispatcher.compose` of undici. Throws OPTION_INVALID. */
  undici(options: UndiciOptions = {}): UndiciInterceptor {
    return interceptorThrough(hostOf(this), options);
  }
}
