/**
 * Peer state: may we talk to a peer, when may we try again, how long do we wait, has it fallen silent. Pure: no
 * clock, no timer, no randomness of its own; `now` is always an argument. Usable without the rest of Holdfast.
 */
export { parseHttpDate, parsePushbackMs, parseRetryAfter } from "./advice.ts";
export type { Advice } from "./advice.ts";
export { attemptBudgetNs } from "./attempt-budget.ts";
export { BackoffTable, PRODUCT_BACKOFF, REFERENCE_BACKOFF } from "./backoff-table.ts";
export type { BackoffOptions, BackoffState } from "./backoff-table.ts";
export { chainIdFromTargets } from "./chain-id.ts";
export { HandoffFallbackPolicy } from "./handoff-fallback.ts";
export type {
  FallbackReason,
  HandoffDecision,
  HandoffFailure,
  HandoffFallbackOptions,
  HandoffInputs,
  HandoffWindow,
} from "./handoff-fallback.ts";
export { evidenceOf, outcomeOf, recordOutcome } from "./outcome.ts";
export type { Evidence, Outcome, PeerEvent } from "./outcome.ts";
export { PRODUCT_GOVERNOR, PeerGovernor, REFERENCE_GOVERNOR } from "./peer-governor.ts";
export type {
  GovernorOptions,
  GovernorPolicy,
  HealthTransition,
  OutboundDecision,
  PeerHealth,
  PolicyDecision,
} from "./peer-governor.ts";
export { PRODUCT_DETECTOR, PhiAccrualDetector, REFERENCE_DETECTOR } from "./phi-accrual-detector.ts";
export type { DetectorOptions } from "./phi-accrual-detector.ts";
export { PRODUCT_PROBES, ProbeLeases } from "./probe-leases.ts";
export type { ProbeOptions } from "./probe-leases.ts";
export { PRODUCT_RETRY_BUDGET, RetryBudget } from "./retry-budget.ts";
export type { RetryBudgetOptions } from "./retry-budget.ts";
export { RttEma } from "./rtt-ema.ts";
export type { EmaState } from "./rtt-ema.ts";
export { PRODUCT_RTT, REFERENCE_RTT } from "./rtt-options.ts";
export type { RttTrackerOptions } from "./rtt-options.ts";
export type { Chain, EdgeData, ReportData, SiteData, SiteState } from "./rtt-site.ts";
export { RttTracker } from "./rtt-tracker.ts";
export type { BudgetTier, Crossing, PriorData, SiteExplanation, SiteTransition } from "./rtt-tracker.ts";
export type { ChainId, PeerId, SiteId } from "../base/ids.ts";
export { RuntimeError } from "../base/errors.ts";
