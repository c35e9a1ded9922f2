import type { ScopeClass } from "./alarm-queue.ts";
import type { AttemptChannel } from "./attempt-channel.ts";
import type { Fetch } from "./fetch.ts";
import type { OutcomeKind } from "./outcome.ts";
import type { PeerBook } from "./peer-book.ts";
import type { CheckedPeersOptions } from "./peers-options.ts";
import type { StateKeeper } from "./state/state-keeper.ts";
import type { StateStore } from "./state/state-store.ts";
import type { TapDispatcher } from "./tap-dispatcher.ts";

/** What a platform has that browsers have not. Whoever opens peers hands it in, so that browsers load nothing of it. */
export interface Platform {
  /** What the error of a call says by itself; without it every error says that the call failed. */
  readonly kindOfError?: (error: unknown) => OutcomeKind;
  /** Taps a request that this fetch is to send, through the dispatcher that the caller wants; undefined if that fetch asks none. */
  readonly tap?: (fetch: Fetch, dispatcher: unknown) => TapDispatcher | undefined;
  /** Its asynchronous contexts. */
  readonly scopes?: () => ScopeClass | undefined;
  /** Where attempts are published. */
  readonly openChannel?: () => AttemptChannel | undefined;
  /** Opens what the peers of the book are remembered in. */
  readonly keepState?: (state: string | StateStore, book: PeerBook, options: CheckedPeersOptions) => StateKeeper;
}
