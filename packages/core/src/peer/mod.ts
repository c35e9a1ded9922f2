/**
 * Peer state: may we talk to a peer, when may we try again, how long do we wait, has it fallen silent. Pure: no
 * clock, no timer, no randomness of its own; `now` is always an argument. Usable without the rest of Holdfast.
 */
export { parseHttpDate, parsePushbackMs, parseRetryAfter } from "./failure/advice.ts";
export type { Advice } from "./failure/advice.ts";
export { attemptBudgetNs } from "./deadlines/attempt-budget.ts";
export { ADVICE_SPREAD, backOff, forgiveFailures, lengthenAdvice, newBackoff, noteAttempt, retryAtOf, spreadDelay, takeAdvice } from "./failure/backoff-schedule.ts";
export type { BackoffEntry, BackoffSchedule, BackoffState } from "./failure/backoff-schedule.ts";
export { BackoffTable, PRODUCT_BACKOFF, REFERENCE_BACKOFF } from "./failure/backoff-table.ts";
export type { BackoffOptions, Cooldown } from "./failure/backoff-table.ts";
export { chainIdFromTargets } from "./deadlines/chain-id.ts";
export { HandoffFallbackPolicy } from "./handoff-fallback.ts";
export type {
  FallbackReason,
  HandoffDecision,
  HandoffFailure,
  HandoffFallbackOptions,
  HandoffInputs,
  HandoffWindow,
} from "./handoff-fallback.ts";
export { evidenceOf, outcomeOf, recordOutcome } from "./failure/outcome.ts";
export type { Evidence, Outcome, PeerEvent } from "./failure/outcome.ts";
export { PeerGate, PRODUCT_GOVERNOR, PeerGovernor, REFERENCE_GOVERNOR } from "./policy/peer-governor.ts";
export type {
  GovernorOptions,
  GovernorPolicy,
  HealthTransition,
  OutboundDecision,
  PeerHealth,
  PolicyDecision,
} from "./policy/peer-governor.ts";
export { addressParts, addressRangeText, isInRange, parseAddressRange } from "./policy/address-range.ts";
export type { AddressParts, AddressRange, IpAddress } from "./policy/address-range.ts";
export { PeerPolicy, POLICY_DEFAULTS, POLICY_REASON_BYTES_MAX, isPolicyReason, parsePolicyScope, policyScopeText } from "./policy/peer-policy.ts";
export type { PolicyData, PolicyEntry, PolicyExplanation, PolicyKind, PolicyOptions, PolicyScope, PolicySource } from "./policy/peer-policy.ts";
export { EXPONENTIAL_DETECTOR, PhiAccrualDetector, REFERENCE_DETECTOR } from "./detection/phi-accrual-detector.ts";
export type { DetectorOptions } from "./detection/phi-accrual-detector.ts";
export { RoundTripTail } from "./deadlines/round-trip-tail.ts";
export { HalfOpen, PROBES_OPEN_AT } from "./failure/half-open.ts";
export type { Lease } from "./failure/half-open.ts";
export { PRODUCT_PROBES, ProbeLeases } from "./failure/probe-leases.ts";
export type { ProbeOptions } from "./failure/probe-leases.ts";
export { RetryBudget } from "./failure/retry-budget.ts";
export { BUDGET_CELLS, earn, PRODUCT_RETRY_BUDGET, takeToken, tokens } from "./failure/retry-tokens.ts";
export type { RetryBudgetOptions } from "./failure/retry-tokens.ts";
export { BudgetBlend, PRODUCT_LEARNING } from "./deadlines/budget-blend.ts";
export type { BudgetOptions } from "./deadlines/budget-blend.ts";
export { GlobalPrior } from "./deadlines/global-prior.ts";
export { captureGlobal, captureLearned, restoreGlobal, restoreLearned, widenLearned } from "./deadlines/learned-data.ts";
export type { GlobalPriorData, LearnedData } from "./deadlines/learned-data.ts";
export { SITE_CELLS } from "./deadlines/site-layout.ts";
export { TAIL_SHARE } from "./deadlines/tail-words.ts";
export { LearnedSite, MEMORY_SAMPLES } from "./deadlines/learned-site.ts";
export type { EstimatePlace, SiteLearning } from "./deadlines/learned-site.ts";
export { RttEma, WARM_SAMPLES } from "./deadlines/rtt-ema.ts";
export type { EmaState } from "./deadlines/rtt-ema.ts";
export { PRODUCT_RTT, REFERENCE_RTT } from "./deadlines/rtt-options.ts";
export type { RttTrackerOptions } from "./deadlines/rtt-options.ts";
export type { Chain, EdgeData, ReportData, SiteData } from "./deadlines/rtt-site.ts";
export { NORMAL_TAIL } from "./detection/normal-tail.ts";
export type { NormalTailOptions } from "./detection/normal-tail.ts";
export { RttTracker, SiteHandle } from "./deadlines/rtt-tracker.ts";
export { SILENCE_DEFAULTS, SilenceDetector } from "./detection/silence-detector.ts";
export type { Beat, DetectionGoal, SilenceData, SilenceDetectorOptions, Verdict } from "./detection/silence-detector.ts";
export type { DetectorData, DetectorModel } from "./detection/site-detector.ts";
export { PRODUCT_WATCH, REFERENCE_WATCH, SiteWatch } from "./detection/site-watch.ts";
export type { Crossing, SiteTransition, SiteWatchOptions, WatchData, WatchExplanation } from "./detection/site-watch.ts";
export { BRAKE_DEFAULTS } from "./detection/isolation-brake.ts";
export type { BrakeOptions } from "./detection/isolation-brake.ts";
export { PEAK_EWMA_NS, PeakEwma } from "./selection/peak-ewma.ts";
export { PeerGroup, PRODUCT_GROUP } from "./selection/peer-group.ts";
export type { PeerGroupOptions } from "./selection/peer-group.ts";
export { OUTLIER_DEFAULTS, OutcomeWindow, RelativeOutliers } from "./selection/relative-outliers.ts";
export type { AttemptOutcome, GroupShares, OutlierOptions } from "./selection/relative-outliers.ts";
export { SiteLoad } from "./selection/site-load.ts";
export { NumberRows } from "./number-rows.ts";
export type { BudgetContext, BudgetTier, BudgetWeights, PriorData, SiteExplanation, TierWeight } from "./deadlines/rtt-tracker.ts";
export type { ChainId, PeerId, SiteId } from "../base/ids.ts";
export { RuntimeError } from "../base/errors.ts";
