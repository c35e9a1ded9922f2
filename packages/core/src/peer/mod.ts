/**
 * Peer state: may we talk to a peer, when may we try again, how long do we wait, has it fallen silent. Pure: no
 * clock, no timer, no randomness of its own; `now` is always an argument. Usable without the rest of Holdfast.
 */
export { parseHttpDate, parsePushbackMs, parseRetryAfter } from "./advice.ts";
export type { Advice } from "./advice.ts";
export { attemptBudgetNs } from "./attempt-budget.ts";
export { BackoffTable, PRODUCT_BACKOFF, REFERENCE_BACKOFF } from "./backoff-table.ts";
export type { BackoffOptions, BackoffState, Cooldown } from "./backoff-table.ts";
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
export { PeerGate, PRODUCT_GOVERNOR, PeerGovernor, REFERENCE_GOVERNOR } from "./peer-governor.ts";
export type {
  GovernorOptions,
  GovernorPolicy,
  HealthTransition,
  OutboundDecision,
  PeerHealth,
  PolicyDecision,
} from "./peer-governor.ts";
export { addressParts, addressRangeText, isInRange, parseAddressRange } from "./address-range.ts";
export type { AddressParts, AddressRange, IpAddress } from "./address-range.ts";
export { PeerPolicy, POLICY_DEFAULTS, POLICY_REASON_BYTES_MAX, isPolicyReason, parsePolicyScope, policyScopeText } from "./peer-policy.ts";
export type { PolicyData, PolicyEntry, PolicyExplanation, PolicyKind, PolicyOptions, PolicyScope, PolicySource } from "./peer-policy.ts";
export { PRODUCT_DETECTOR, PhiAccrualDetector, REFERENCE_DETECTOR } from "./phi-accrual-detector.ts";
export type { DetectorOptions } from "./phi-accrual-detector.ts";
export { RoundTripTail } from "./round-trip-tail.ts";
export { PRODUCT_PROBES, ProbeLeases } from "./probe-leases.ts";
export type { ProbeOptions } from "./probe-leases.ts";
export { PRODUCT_RETRY_BUDGET, RetryBudget } from "./retry-budget.ts";
export type { RetryBudgetOptions } from "./retry-budget.ts";
export { RttEma } from "./rtt-ema.ts";
export type { EmaState } from "./rtt-ema.ts";
export { PRODUCT_RTT, REFERENCE_RTT } from "./rtt-options.ts";
export type { RttTrackerOptions } from "./rtt-options.ts";
export type { Chain, EdgeData, ReportData, SiteData } from "./rtt-site.ts";
export { NORMAL_TAIL } from "./normal-tail.ts";
export type { NormalTailOptions } from "./normal-tail.ts";
export { RttTracker, SiteHandle } from "./rtt-tracker.ts";
export { SILENCE_DEFAULTS, SilenceDetector } from "./silence-detector.ts";
export type { Beat, DetectionGoal, SilenceData, SilenceDetectorOptions, Verdict } from "./silence-detector.ts";
export type { DetectorData, DetectorModel } from "./site-detector.ts";
export { PRODUCT_WATCH, REFERENCE_WATCH, SiteWatch } from "./site-watch.ts";
export type { Crossing, SiteTransition, SiteWatchOptions, WatchData, WatchExplanation } from "./site-watch.ts";
export { BRAKE_DEFAULTS } from "./isolation-brake.ts";
export type { BrakeOptions } from "./isolation-brake.ts";
export { PEAK_EWMA_NS, PeakEwma } from "./peak-ewma.ts";
export { PeerGroup, PRODUCT_GROUP } from "./peer-group.ts";
export type { PeerGroupOptions } from "./peer-group.ts";
export { OUTLIER_DEFAULTS, OutcomeWindow, RelativeOutliers } from "./relative-outliers.ts";
export type { AttemptOutcome, GroupShares, OutlierOptions } from "./relative-outliers.ts";
export { SiteLoad } from "./site-load.ts";
export type { BudgetContext, BudgetTier, BudgetWeights, PriorData, SiteExplanation, TierWeight } from "./rtt-tracker.ts";
export type { ChainId, PeerId, SiteId } from "../base/ids.ts";
export { RuntimeError } from "../base/errors.ts";
