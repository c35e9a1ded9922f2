import { isDeepStrictEqual } from "node:util";
import { BackoffTable, HandoffFallbackPolicy, PeerGovernor, PhiAccrualDetector, RttEma, RttTracker } from "../mod.ts";
import { REFERENCE_BACKOFF, REFERENCE_DETECTOR, REFERENCE_GOVERNOR, REFERENCE_RTT, chainIdFromTargets } from "../mod.ts";
import type { BackoffState, ChainId, EmaState, HandoffFailure, OutboundDecision, PeerHealth } from "../mod.ts";
import type { SiteTransition } from "../mod.ts";

/**
 * Replays reference traces (vectors/README.md) against the real components, in their reference options. Each
 * component has a player: it builds one instance from a trace's config and answers its steps in the vectors' terms,
 * with quantities as numbers.
 */
export interface Trace {
  readonly component: string;
  readonly name: string;
  readonly range: "safe" | "u64";
  readonly config: Args;
  readonly steps: readonly { readonly op: string; readonly args: Args; readonly expect: unknown }[];
}

export interface Difference {
  readonly trace: string;
  readonly step: number;
  readonly expected: unknown;
  readonly got: unknown;
}

// Vector files are data: their members are checked by the comparison, not by types.
type Args = Readonly<Record<string, any>>;
type Player = (config: Args) => (op: string, args: Args) => unknown;

/** Returns the first difference; a trace that passes has none. `u64` traces are only checked to stay quantities. */
export function replay(trace: Trace): Difference | undefined {
  const player = PLAYERS[trace.component];
  if (player === undefined) return { trace: trace.name, step: 0, expected: "a known component", got: trace.component };
  const step = player(trace.config);
  for (const [at, { op, args, expect }] of trace.steps.entries()) {
    let got: unknown;
    try {
      got = step(op, args);
    } catch (error) {
      return { trace: trace.name, step: at, expected: expect, got: String(error) };
    }
    const passed = trace.range === "u64" ? isClean(got) : agrees("", expect, got);
    if (!passed) return { trace: trace.name, step: at, expected: expect, got };
  }
  return undefined;
}

const PHI_TOLERANCE = 1e-9;

/** Whether `got` answers all that is expected; what is expected in addition to what we show would be a difference. */
function agrees(field: string, expected: unknown, got: unknown): boolean {
  if (Array.isArray(expected)) {
    if (!Array.isArray(got) || got.length !== expected.length) return false;
    return expected.every((item, at) => agrees(field, item, got[at]));
  }
  if (typeof expected === "object" && expected !== null) {
    if (typeof got !== "object" || got === null) return false;
    // `tier` and the window's content are checked like all else: these components do show them.
    const fields = Object.keys(expected);
    if (!isDeepStrictEqual(new Set(fields), new Set(Object.keys(got)))) return false;
    return fields.every((name) => agrees(name, (expected as Args)[name], (got as Args)[name]));
  }
  if (field === "phi") {
    return typeof got === "number" && Math.abs(got - Number(expected)) <= PHI_TOLERANCE * Math.abs(Number(expected));
  }
  return typeof got === "number" && typeof expected === "string" ? got === Number(expected) : Object.is(got, expected);
}

/** No number in an answer is negative, fractional (φ may be), infinite or NaN. */
function isClean(got: unknown, field = ""): boolean {
  if (typeof got === "number") return got >= 0 && (field === "phi" ? Number.isFinite(got) : Number.isInteger(got));
  if (typeof got !== "object" || got === null) return true;
  return Object.entries(got).every(([name, value]) => isClean(value, Array.isArray(got) ? field : name));
}

const PLAYERS: Readonly<Record<string, Player>> = {
  "backoff-table": (config) => {
    const table = new BackoffTable<string>(backoffOptions(config));
    return (op, args) => stepBackoff(table, op, args);
  },
  "peer-governor": playGovernor,
  "rtt-ema": playEma,
  "phi-accrual": playDetector,
  "rtt-tracker": playTracker,
  "chain-id": () => (_op, args) => {
    const hex = chainIdFromTargets(args["targets"]);
    return { chainId: BigInt(`0x${hex}`).toString(), hex };
  },
  "handoff-fallback": playHandoff,
};

function backoffOptions(config: Args): typeof REFERENCE_BACKOFF {
  const { baseNs = REFERENCE_BACKOFF.baseNs, maxDelayNs = REFERENCE_BACKOFF.maxDelayNs } = config;
  return { ...REFERENCE_BACKOFF, baseNs: Number(baseNs), maxDelayNs: Number(maxDelayNs) };
}

function stepBackoff(table: BackoffTable<string>, op: string, args: Args): unknown {
  const { peer } = args;
  const now = Number(args["nowNs"]);
  switch (op) {
    case "recordFailure": table.recordFailure(peer, now); break;
    case "recordRemoteAdvisory": table.recordRemoteAdvisory(peer, now, Number(args["minBackoffNs"])); break;
    case "recordSuccess": table.recordSuccess(peer); break;
    case "restoreState": table.restoreState(peer, { ...readBackoff(args), failedAt: 0, advisedUntil: 0, advisedSince: 0, delayNs: 0 }); break;
    case "state": break;
    case "shouldRetry": return { retry: table.shouldRetry(peer, now) };
    case "entries": {
      const entries = [...table].map(([id, state]) => ({ peer: id, ...showBackoff(state) })).sort(by("peer"));
      return { entries, size: table.size, empty: table.size === 0 };
    }
    default: return unknownOp(op);
  }
  return { state: backoffOf(table, peer), size: table.size };
}

function readBackoff(args: Args): Pick<BackoffState, "attempts" | "lastAttempt" | "nextRetry"> {
  const { attempts, lastAttemptNs, nextRetryNs } = args;
  return { attempts, lastAttempt: Number(lastAttemptNs), nextRetry: Number(nextRetryNs) };
}

function showBackoff(state: BackoffState): object {
  return { attempts: state.attempts, lastAttemptNs: state.lastAttempt, nextRetryNs: state.nextRetry };
}

function backoffOf(table: BackoffTable<string>, peer: string): object | null {
  const state = table.state(peer);
  return state === undefined ? null : showBackoff(state);
}

function playGovernor(config: Args): ReturnType<Player> {
  const { failureThreshold = REFERENCE_GOVERNOR.failureThreshold, backoff = {} } = config;
  const governor = new PeerGovernor<string>({ ...REFERENCE_GOVERNOR, failureThreshold });
  const table = new BackoffTable<string>(backoffOptions(backoff));
  const lists = () => {
    const { blocklist, allowlist } = governor.capturePolicy();
    return { blocklist: [...blocklist].sort(asNumbers), allowlist: allowlist && [...allowlist].sort(asNumbers) };
  };
  const health = (peer: string) => {
    const held = governor.peerHealth(peer);
    return held === undefined ? null : showHealth(held);
  };
  return (op, args) => {
    const { peer } = args;
    const now = Number(args["nowNs"]);
    if (op.startsWith("backoff.")) {
      stepBackoff(table, op.slice("backoff.".length), args);
      return { state: backoffOf(table, peer) };
    }
    switch (op) {
      case "block": governor.block(peer); return lists();
      case "unblock": governor.unblock(peer); return lists();
      case "setAllowlist": governor.setAllowlist(args["allowlist"] ?? undefined); return lists();
      case "checkInbound": return governor.checkInbound(peer);
      case "checkOutbound": return showDecision(governor.checkOutbound(peer, table, now));
      case "recordFailure":
      case "recordSuccess":
        return { transition: governor[op](peer, now), health: health(peer), trackedPeers: governor.trackedPeers };
      case "peerHealth": return { health: health(peer), isDown: governor.isDown(peer) };
      case "restoreHealth": {
        const { consecutiveFailures, lastEventNs, down } = args;
        governor.restoreHealth(peer, { consecutiveFailures, lastEvent: Number(lastEventNs), down });
        return { health: health(peer), isDown: governor.isDown(peer), trackedPeers: governor.trackedPeers };
      }
      case "setFailureThreshold":
        governor.setFailureThreshold(args["threshold"]);
        return { failureThreshold: governor.failureThreshold };
      case "summary": {
        const all = [...governor].map(([id, held]) => ({ peer: id, ...showHealth(held) })).sort(by("peer"));
        const { failureThreshold, trackedPeers } = governor;
        return { ...lists(), health: all, failureThreshold, trackedPeers };
      }
      default: return unknownOp(op);
    }
  };
}

function showHealth({ consecutiveFailures, lastEvent, down }: PeerHealth): object {
  return { consecutiveFailures, lastEventNs: lastEvent, down };
}

function showDecision(decision: OutboundDecision): object {
  if (decision.allow || decision.reason !== "cooldown") return decision;
  return { allow: false, reason: "cooldown", retryNs: decision.retryAt };
}

function playEma(): ReturnType<Player> {
  let ema = new RttEma();
  return (op, args) => {
    switch (op) {
      case "observe": ema.observe(Number(args["sampleNs"])); break;
      case "observeWithShifts":
        ema.observeWithShifts(Number(args["sampleNs"]), args["alphaShift"], args["betaShift"]);
        break;
      case "restore": ema = RttEma.restore(readEma(args)); break;
      case "state": break;
      default: return unknownOp(op);
    }
    return { ...ema.state(), budgetNs: ema.budgetNs(), warm: ema.isWarm };
  };
}

function readEma(args: Args): EmaState {
  const { srttNs, rttvarNs, sampleCount } = args;
  return { srttNs: Number(srttNs), rttvarNs: Number(rttvarNs), sampleCount: Number(sampleCount) };
}

function showEma({ srttNs, rttvarNs, sampleCount }: EmaState): EmaState {
  return { srttNs, rttvarNs, sampleCount };
}

/** The vectors show a window's content up to this size. */
const HISTORY_SHOWN = 16;

function playDetector(config: Args): ReturnType<Player> {
  const detector = new PhiAccrualDetector({ ...REFERENCE_DETECTOR, ...config });
  const window = () => {
    const { size } = detector;
    return size > HISTORY_SHOWN ? { size } : { size, history: detector.history() };
  };
  return (op, args) => {
    const now = Number(args["nowNs"]);
    let lastSeenAt = Number(args["lastSeenAtNs"]);
    switch (op) {
      case "recordHeartbeat": detector.recordHeartbeat(now, lastSeenAt); return window();
      case "recordHeartbeats":
        for (const time of args["timesNs"].map(Number)) {
          detector.recordHeartbeat(time, lastSeenAt);
          lastSeenAt = time;
        }
        return window();
      case "phi": {
        const suspect = detector.isSuspect(now, lastSeenAt);
        return { phi: detector.phi(now, lastSeenAt), suspect, down: detector.isDown(now, lastSeenAt) };
      }
      default: return unknownOp(op);
    }
  };
}

function playTracker(): ReturnType<Player> {
  const tracker = new RttTracker<string>(REFERENCE_RTT);
  const priors = (chainId: ChainId) => {
    const { global, chains } = tracker.capturePriors();
    const chain = chains.find((prior) => prior.chainId === chainId);
    return { chainPrior: chain === undefined ? null : showEma(chain), globalPrior: global };
  };
  const entryOf = (site: string) => {
    const data = tracker.captureSite(site);
    if (data === undefined) return undefined;
    const { aggregate, edges, reports, lastUpdatedAt } = data;
    const { lastSeenAt, detector, state } = tracker.watch.capture(site) ?? { lastSeenAt: 0, detector: { history: [] }, state: "live" };
    const times = { lastSeenAtNs: lastSeenAt, lastUpdatedAtNs: lastUpdatedAt };
    return { site: aggregate, edges, reports, ...times, historySize: "history" in detector ? detector.history.length : 0, state };
  };
  const after = (site: string, chain: Args | null) => {
    const entry = entryOf(site);
    if (entry === undefined) return null;
    const { edges, reports: _reports, ...rest } = entry;
    if (chain === null) return { ...rest, globalPrior: priors("" as ChainId).globalPrior };
    const edge = edges.find(({ chainId, hopIndex }) => chainId === chain["chainId"] && hopIndex === chain["hopIndex"]);
    return { ...rest, edge: edge && showEma(edge), ...priors(chain["chainId"]) };
  };
  return (op, args) => {
    const { site, chainId } = args;
    const chain = args["chain"] ?? undefined;
    const now = Number(args["nowNs"]);
    switch (op) {
      case "observeRoundTrip":
        tracker.observeRoundTrip(site, chain, Number(args["elapsedNs"]), now);
        return after(site, args["chain"]);
      case "observeRoundTrips":
        for (const [elapsed, at] of args["samples"]) tracker.observeRoundTrip(site, chain, Number(elapsed), Number(at));
        return after(site, args["chain"]);
      case "estimateBudget": {
        const budgetNs = tracker.estimateBudget(site, chain, Number(args["staticDefaultNs"]));
        return { budgetNs, tier: tracker.budgetTier(site, chain) };
      }
      case "ingestReportedOutgoing": {
        const { fromSite, nextHop } = args;
        tracker.ingestReportedOutgoing(fromSite, nextHop, chainId, readEma(args));
        const report = tracker.report(fromSite, nextHop, chainId);
        return { report: report && showEma(report), reports: entryOf(fromSite)?.reports.length };
      }
      case "scanPhi": return { transitions: tracker.watch.scan(now).sort(by("site")) satisfies SiteTransition<string>[] };
      case "phi": return { phi: tracker.watch.phi(site, now), state: tracker.watch.siteState(site) };
      case "priors": return priors(chainId);
      case "entry": {
        const entry = entryOf(site);
        if (entry === undefined) return { entry: null };
        const edges = [...entry.edges].sort(by("chainId", "hopIndex"));
        return { entry: { ...entry, edges, reports: [...entry.reports].sort(by("nextHop", "chainId")) } };
      }
      case "trackedSites": return { sites: tracker.trackedSites().sort(asNumbers) };
      default: return unknownOp(op);
    }
  };
}

function playHandoff(config: Args): ReturnType<Player> {
  const { maxFailedAttemptsPerWindow, failedAttemptWindowNs } = config;
  const policy = new HandoffFallbackPolicy({
    ...(maxFailedAttemptsPerWindow !== undefined && { maxFailedAttemptsPerWindow }),
    ...(failedAttemptWindowNs !== undefined && { failedAttemptWindowNs: Number(failedAttemptWindowNs) }),
  });
  return (op, args) => {
    const { backend } = args;
    const now = Number(args["nowNs"]);
    switch (op) {
      case "policy": {
        const { maxEntries: _maxEntries, ...options } = policy.options;
        return options;
      }
      case "shouldAttempt": {
        const { clientSupportsHandoff, servicePolicyEnabled, fdPressureDisabled, backendAdoptedExisting } = args;
        const inputs = { clientSupportsHandoff, servicePolicyEnabled, fdPressureDisabled, backendAdoptedExisting };
        return { decision: policy.shouldAttempt(backend, inputs, now) };
      }
      case "recordFailedAttempt": {
        const decision = policy.recordFailedAttempt(backend, args["failure"] as HandoffFailure, now);
        return { decision, count: policy.failedAttemptCount(backend, now) };
      }
      case "recordSuccess": policy.recordSuccess(backend); return {};
      case "failedAttemptCount": return { count: policy.failedAttemptCount(backend, now) };
      default: return unknownOp(op);
    }
  };
}

function unknownOp(op: string): never {
  throw new Error(`unknown operation: ${op}`);
}

/** Ids are decimal numbers of up to 64 bits; ascending as numbers. */
function asNumbers(a: string | number, b: string | number): number {
  const [first, second] = [BigInt(a), BigInt(b)];
  return first < second ? -1 : first > second ? 1 : 0;
}

type Identified<F extends string> = Readonly<Record<F, string | number>>;

function by<F extends string>(...fields: F[]): (a: Identified<F>, b: Identified<F>) => number {
  return (a, b) => {
    for (const field of fields) {
      const order = asNumbers(a[field], b[field]);
      if (order !== 0) return order;
    }
    return 0;
  };
}
