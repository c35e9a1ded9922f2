/** What the package has on every platform. */
export { ATTEMPT_CHANNEL } from "./attempt-channel.ts";
export type { AttemptReport } from "./call.ts";
export type { Clock } from "./clock.ts";
export {
  AdvisedToWaitError, BudgetExhaustedError, CoolingDownError, DeadlineExceededError, isPeerError, OptionError, PeerBlockedError, PeerError,
} from "./errors.ts";
export type { PeerErrorCode, PeerErrorDetails } from "./errors.ts";
export type { Fetch, FetchOptions } from "./fetch.ts";
export type { Outcome, OutcomeKind } from "./outcome.ts";
export type { TransitionKind } from "./peer-book.ts";
export type { PeerExplained, SiteExplained } from "./peer-explained.ts";
export { PEERS_DEFAULTS } from "./peers-options.ts";
export type { PeersOptions } from "./peers-options.ts";
export type { Permit } from "./permit.ts";
export { RUN_DEFAULTS } from "./run-options.ts";
export type { CallLimits, RunOptions, Work } from "./run-options.ts";
export { PeerTransition } from "./transition.ts";
