import { BackoffTable, PeerGovernor, ProbeLeases, RttTracker } from "@holdfast/core/peer";
import type { BackoffState, BudgetTier, PeerHealth, PolicyDecision } from "@holdfast/core/peer";
import { toMs, toNs } from "./clock.ts";
import { AdvisedToWaitError, CoolingDownError, PeerBlockedError, PeerError, withoutStack } from "./errors.ts";
import { evidenceOfKind } from "./outcome.ts";
import type { Outcome } from "./outcome.ts";
import { PeerRecord } from "./peer-record.ts";
import type { Site } from "./peer-record.ts";
import type { CheckedPeersOptions } from "./peers-options.ts";

/** One attempt that may go out. Ends with exactly one of `settle` and `release`. */
export interface Pass {
  readonly record: PeerRecord;
  readonly site: Site;
  /** Ns. */
  readonly startedAt: number;
  readonly epoch: number;
  /** Who holds a place among the probes; undefined for a peer that is open. */
  readonly lease: string | undefined;
}

/** What became of a peer. */
export type TransitionKind = "down" | "up" | "cooling-down" | "advised" | "blocked" | "unblocked";

export interface SiteExplained {
  readonly site: string;
  /** Smoothed round trip and mean deviation, in ms. */
  readonly srttMs: number;
  readonly deviationMs: number;
  readonly samples: number;
  /** The learned deadline, in ms, and where most of it comes from. */
  readonly deadlineMs: number;
  readonly tier: BudgetTier;
  /** Timeouts since something last answered. */
  readonly timeouts: number;
}

/** Everything behind the decisions about one peer, as data. Times are ms from now. */
export interface PeerExplained {
  readonly peer: string;
  readonly state: "open" | "blocked" | "cooling-down" | "advised-to-wait" | "half-open";
  /** In words: what stands in the way, or that nothing does. */
  readonly why: string;
  readonly retryAfterMs: number;
  readonly policy: PolicyDecision;
  readonly isDown: boolean;
  readonly failuresInARow: number;
  readonly cooldownMs: number;
  /** Failed probes and openings since the last success: the step of the schedule. */
  readonly cooldownStep: number;
  readonly advisedMs: number;
  readonly probes: number;
  readonly inFlight: number;
  /** Further attempts that the peer's successes have earned. */
  readonly retryTokens: number;
  /** The slowest site's figures. */
  readonly srttMs: number | undefined;
  readonly deadlineMs: number;
  readonly sites: readonly SiteExplained[];
}

const NOTHING = { consecutiveFailures: 0, lastEvent: 0, down: false } as const satisfies PeerHealth;

/**
 * PeerBook holds every peer: whether it may be asked, how long to wait for it, what to make of what it did. Sans-IO: time
 * and chance come in, answers come out.
 *
 *     open ──failureThreshold faults in a row──▶ cooling down ──time──▶ half open ──64 successes──▶ open
 *                                                     ▲──────────fault───────┘
 *
 * Invariants:
 *   K1. A single failure holds nobody back: a cooldown begins when the peer goes down, or fails while it is half open.
 *   K2. What was sent before a cooldown began lengthens it by nothing.
 *   K3. Every pass gives back what it holds, once: its place among the probes and its count of what is in flight.
 *   K4. At most `peersMax` peers without attempts under way are held, and `sitesMax` + 1 sites of each.
 *   K5. What a caller ended, and what our own machine refused, changes neither health nor cooldown.
 */
export class PeerBook {
  readonly governor: PeerGovernor<string>;
  readonly backoff: BackoffTable<string>;
  readonly probes: ProbeLeases<string>;
  readonly tracker: RttTracker<string>;
  readonly records = new Map<string, PeerRecord>();
  readonly #options: CheckedPeersOptions;
  readonly #initialNs: number;
  readonly #budget: { readonly share: number; readonly reserve: number };
  #leases = 0;
  /** Told each peer whose state is to be written. */
  onChange: (record: PeerRecord, kind: "soft" | "hard") => void = () => {};
  onTransition: (peer: string, kind: TransitionKind, retryAfterMs: number, reason: string) => void = () => {};
  onRefusal: (refusal: PeerError) => void = () => {};

  constructor(options: CheckedPeersOptions) {
    this.#options = options;
    const { peersMax } = options;
    this.#initialNs = toNs(options.deadlineInitialMs);
    this.#budget = { share: options.retryShare, reserve: options.retryReserve };
    // K2 is about calls that fail together; where a test's clock stands still, two failures are two all the same.
    this.governor = new PeerGovernor({ failureThreshold: options.failureThreshold, oneStepPerInstant: false, maxEntries: peersMax });
    this.backoff = new BackoffTable({
      baseNs: toNs(options.cooldownBaseMs), maxDelayNs: toNs(options.cooldownMaxMs), adviceTotalMaxNs: toNs(options.adviceTotalMaxMs),
      oneStepPerInstant: false, jitter: "equal", random: () => options.clock.random(), maxEntries: peersMax,
    });
    this.probes = new ProbeLeases({ probesMax: options.probesMax, leaseNs: toNs(options.probeLeaseMs), maxEntries: peersMax });
    this.tracker = new RttTracker({
      budgetFloorNs: toNs(options.deadlineFloorMs), budgetCeilingNs: toNs(Math.max(options.deadlineCeilingMs, options.deadlineFloorMs)),
      maxEntries: 4 * peersMax,
    });
    const entries = (peers: readonly string[], kind: "deny" | "allow") =>
      peers.map((what) => ({ kind, on: "peer", what, until: "never", by: "config", reason: "", addedAt: 0 }) as const);
    const { block, allowOnly } = options;
    this.governor.policy.configure([...entries(block, "deny"), ...entries(allowOnly ?? [], "allow")], allowOnly !== undefined);
  }

  record(key: string, now: number): PeerRecord {
    let record = this.records.get(key);
    if (record === undefined) {
      if (this.records.size >= this.#options.peersMax) this.#makeRoom();
      record = new PeerRecord(key, this.#budget);
      // The tables may remember a peer whose record went.
      this.reconsider(record);
      this.records.set(key, record);
    }
    record.usedAt = now;
    return record;
  }

  /** A pass, or why there is none. */
  admit(key: string, siteName: string, now: number): Pass | PeerError {
    const admitted = this.#admit(key, siteName, now);
    if (admitted instanceof PeerError) this.onRefusal(admitted);
    return admitted;
  }

  #admit(key: string, siteName: string, now: number): Pass | PeerError {
    const { policy } = this.governor;
    const { nextExpiry } = policy;
    if (nextExpiry !== "never" && nextExpiry <= now) this.#expirePolicy(now);
    const decision = policy.check(key);
    if (!decision.allow) return withoutStack(() => new PeerBlockedError(key, decision.reason));
    const record = this.record(key, now);
    const site = record.site(siteName, this.#options.sitesMax);
    let lease: string | undefined;
    if (record.isTroubled) {
      const refusal = this.#refusal(record, site, now);
      if (refusal !== undefined) return refusal;
      if (this.probes.isHalfOpen(key)) {
        lease = String(++this.#leases);
        this.probes.take(key, lease, now);
        // A probe carries what was to be sent anyway: it costs a token, and needs none.
        record.budget.take(now);
      }
      this.backoff.recordAttempt(key, now);
    }
    record.inFlight++;
    return { record, site, startedAt: now, epoch: record.epoch, lease };
  }

  /** How long this attempt's answer may take, in ns. */
  deadlineNs(site: Site, now: number): number {
    return this.tracker.estimateBudget(site.id, undefined, this.#initialNs, { now });
  }

  /** The same in ms, of a site by its names. */
  siteDeadlineMs(key: string, siteName: string, now: number): number {
    return toMs(this.deadlineNs(this.record(key, now).site(siteName, this.#options.sitesMax), now));
  }

  /** May a further attempt be made? Takes the token. None goes to a peer that is down. */
  takeRetry(record: PeerRecord, now: number): boolean {
    return record.budget.take(now);
  }

  /** The attempt's outcome; `roundTripNs`: how long the answer took, if it was one. */
  settle(pass: Pass, outcome: Outcome, roundTripNs: number | undefined, now: number): void {
    this.release(pass);
    if (roundTripNs !== undefined) this.#observe(pass, roundTripNs, now);
    this.judge(pass, outcome, now);
  }

  /** What is learned of a peer after its pass ended: of a body that followed an answer. */
  judge({ record, epoch }: Pick<Pass, "record" | "epoch">, outcome: Outcome, now: number): void {
    const { kind, retryAfterMs } = outcome;
    if (typeof retryAfterMs === "number") this.#advise(record, retryAfterMs, now);
    switch (evidenceOfKind(kind)) {
      case "works": return outcome.isProof === false ? undefined : this.#works(record, now);
      case "overload": return this.#overloaded(record, epoch, typeof retryAfterMs === "number", now);
      case "remote-fault": case "ambiguous": return this.#faulted(record, epoch, kind, now);
      default: return; // K5
    }
  }

  /** The body of an answer broke off. From now on only whole answers prove that the peer works. */
  bodyBroke(record: PeerRecord, epoch: number, now: number): void {
    record.bodiesBreak = true;
    this.judge({ record, epoch }, { kind: "body-broken" }, now);
  }

  bodyEnded(record: PeerRecord, epoch: number, now: number): void {
    record.bodiesBreak = false;
    this.judge({ record, epoch }, { kind: "works" }, now);
  }

  /** The attempt was given up unanswered after its learned deadline. */
  timedOut(pass: Pass, now: number): void {
    this.tracker.observeTimeout(pass.site.id, pass.startedAt, now);
    this.censored(pass, now);
  }

  /** The attempt was given up unanswered, for whatever reason. */
  censored(pass: Pass, now: number): void {
    this.tracker.observeCensored(pass.site.id, undefined, Math.max(0, now - pass.startedAt));
  }

  /** What had been given up answered all the same: the deadline was too short. */
  answeredLate(pass: Pass, now: number): void {
    this.tracker.observeLateReply(pass.site.id);
    this.#observe(pass, Math.max(1, now - pass.startedAt), now);
  }

  /** Gives back what the pass holds; nothing is known of its outcome. */
  release({ record, lease }: Pass): void {
    record.inFlight--;
    if (lease !== undefined) this.probes.release(record.key, lease);
  }

  /** Denies a peer, for so long or for good. */
  block(key: string, { untilNs, reason }: { readonly untilNs: number | "never"; readonly reason: string }, now: number): void {
    const record = this.record(key, now);
    this.governor.policy.add({ kind: "deny", on: "peer", what: key, until: untilNs, by: "operator", reason, addedAt: now });
    this.probes.forget(key);
    record.policyMs = this.#wallMs();
    this.onChange(record, "hard");
    this.onTransition(key, "blocked", untilNs === "never" ? 0 : toMs(untilNs - now), reason);
  }

  unblock(key: string, now: number): boolean {
    if (!this.governor.policy.remove("deny", { on: "peer", what: key })) return false;
    const record = this.record(key, now);
    record.policyMs = this.#wallMs();
    this.onChange(record, "hard");
    this.onTransition(key, "unblocked", 0, "");
    return true;
  }

  /** Looks anew at whether anything of the peer needs to be asked. */
  reconsider(record: PeerRecord): void {
    const { key } = record;
    const health = this.governor.peerHealth(key) ?? NOTHING;
    record.isTroubled = health.consecutiveFailures > 0 || health.down || this.backoff.state(key) !== undefined || this.probes.isHalfOpen(key);
  }

  explain(key: string, now: number): PeerExplained {
    const record = this.records.get(key);
    const policy = this.governor.checkInbound(key);
    const health = this.governor.peerHealth(key) ?? NOTHING;
    const backoff = this.backoff.state(key);
    const sites = record === undefined ? [] : [...record.sites.values()].map((site) => this.#explainSite(site, now));
    const slowest = sites.reduce<SiteExplained | undefined>((most, site) => (site.samples > 0 && site.srttMs > (most?.srttMs ?? -1) ? site : most), undefined);
    const cooldownMs = toMs(Math.max(0, (backoff?.nextRetry ?? 0) - now));
    const advisedMs = toMs(Math.max(0, (backoff?.advisedUntil ?? 0) - now));
    const probesFreeInMs = toMs(Math.max(0, this.probes.freeAt(key, now) - now));
    const isHalfOpen = this.probes.isHalfOpen(key);
    const state = !policy.allow ? "blocked" : cooldownMs > 0 && cooldownMs >= advisedMs ? "cooling-down" : advisedMs > 0 ? "advised-to-wait" : isHalfOpen ? "half-open" : "open";
    const inARow = `${health.consecutiveFailures} failures in a row`;
    const why = {
      "open": health.consecutiveFailures > 0 ? `nothing stands in the way; ${inARow}` : "nothing stands in the way",
      "blocked": `policy: ${policy.allow ? "" : policy.reason}`,
      "cooling-down": `${inARow}; left alone for ${Math.ceil(cooldownMs)} ms more`,
      "advised-to-wait": `it asked to be left alone, for ${Math.ceil(advisedMs)} ms more`,
      "half-open": `it failed, and is tried by ${this.probes.taken(key, now)} calls at present; more with each success`,
    } as const;
    return {
      peer: key, state, why: why[state], policy,
      retryAfterMs: Math.max(cooldownMs, advisedMs, probesFreeInMs),
      isDown: health.down, failuresInARow: health.consecutiveFailures,
      cooldownMs, cooldownStep: backoff?.attempts ?? 0, advisedMs,
      probes: this.probes.taken(key, now), inFlight: record?.inFlight ?? 0,
      retryTokens: record?.budget.balance(now) ?? this.#budget.reserve,
      srttMs: slowest?.srttMs, deadlineMs: slowest?.deadlineMs ?? this.#options.deadlineInitialMs, sites,
    };
  }

  #explainSite(site: Site, now: number): SiteExplained {
    const deadlineMs = toMs(this.deadlineNs(site, now));
    const explained = this.tracker.explain(site.id, this.#initialNs, { now });
    if (explained === undefined) return { site: site.name, srttMs: 0, deviationMs: 0, samples: 0, deadlineMs, tier: "static", timeouts: 0 };
    const { srttNs, rttvarNs, sampleCount } = explained.rtt;
    return { site: site.name, srttMs: toMs(srttNs), deviationMs: toMs(rttvarNs), samples: sampleCount, deadlineMs, tier: explained.tier, timeouts: explained.timeouts };
  }

  /** Why the peer may not be asked now. */
  #refusal({ key }: PeerRecord, site: Site, now: number): PeerError | undefined {
    const retryAt = this.backoff.retryAt(key);
    if (now < retryAt) {
      const retryAfterMs = toMs(retryAt - now);
      const { advisedUntil, attempts } = this.backoff.state(key) as BackoffState;
      if (advisedUntil >= retryAt) return withoutStack(() => new AdvisedToWaitError(key, `asked to be left alone for ${Math.ceil(retryAfterMs)} ms`, { retryAfterMs }));
      return withoutStack(() => new CoolingDownError(key, `failed, ${attempts} times since it worked; left alone for ${Math.ceil(retryAfterMs)} ms`, { retryAfterMs }));
    }
    const freeAt = this.probes.freeAt(key, now);
    if (freeAt <= now) return undefined;
    // A place is free when a probe is answered, and no later than when its lease ends.
    const retryAfterMs = toMs(Math.min(freeAt - now, this.deadlineNs(site, now)));
    return withoutStack(() => new CoolingDownError(key, "failed, and is being probed", { retryAfterMs }));
  }

  #observe({ site, record }: Pass, roundTripNs: number, now: number): void {
    this.tracker.observeRoundTrip(site.id, undefined, Math.max(1, Math.floor(roundTripNs)), now);
    if (record.unwritten === "nothing") this.onChange(record, "soft");
  }

  #works(record: PeerRecord, now: number): void {
    record.budget.recordSuccess(now);
    record.evidenceAt = now;
    if (!record.isTroubled) return;
    const { key } = record;
    record.overloads = 0;
    const transition = this.governor.recordSuccess(key, now);
    this.backoff.recordSuccess(key, now);
    this.probes.recordSuccess(key);
    this.reconsider(record);
    this.onChange(record, "hard");
    if (transition === "came-up") this.onTransition(key, "up", 0, "answered");
  }

  #faulted(record: PeerRecord, epoch: number, reason: string, now: number): void {
    const { key } = record;
    if (epoch !== record.epoch && this.governor.isDown(key)) return; // K2
    record.evidenceAt = now;
    record.isTroubled = true;
    const transition = this.governor.recordFailure(key, now);
    if (this.governor.isDown(key) || this.probes.isHalfOpen(key)) this.#coolDown(record, transition === "went-down" ? "down" : "cooling-down", reason, now); // K1
    this.onChange(record, "hard");
  }

  /** It said so, but not for how long: it is asked no less than a peer that fails. Its health does not move. */
  #overloaded(record: PeerRecord, epoch: number, isAdvised: boolean, now: number): void {
    record.evidenceAt = now;
    if (isAdvised || epoch !== record.epoch) return; // K2
    record.isTroubled = true;
    if (++record.overloads < this.#options.failureThreshold && !this.probes.isHalfOpen(record.key)) return;
    this.#coolDown(record, "cooling-down", "overload", now);
    this.onChange(record, "hard");
  }

  #coolDown(record: PeerRecord, kind: "down" | "cooling-down", reason: string, now: number): void {
    const { key } = record;
    this.backoff.recordFailure(key, now);
    this.probes.recordFailure(key);
    record.epoch++;
    this.onTransition(key, kind, toMs(Math.max(0, this.backoff.retryAt(key) - now)), reason);
  }

  #advise(record: PeerRecord, adviceMs: number, now: number): void {
    if (!(adviceMs > 0)) return;
    const { key } = record;
    const before = this.backoff.retryAt(key);
    this.backoff.recordRemoteAdvisory(key, now, toNs(Math.min(adviceMs, this.#options.cooldownMaxMs)));
    record.isTroubled = true;
    const until = this.backoff.retryAt(key);
    if (until <= before) return;
    this.onChange(record, "hard");
    this.onTransition(key, "advised", toMs(until - now), "advice");
  }

  #wallMs(): number {
    return Math.round(this.#options.clock.wallMs());
  }

  #expirePolicy(now: number): void {
    for (const { kind, on, what } of this.governor.policy.expire(now)) {
      if (kind !== "deny" || on !== "peer") continue;
      const record = this.records.get(what);
      if (record !== undefined) this.onChange(record, "hard");
      this.onTransition(what, "unblocked", 0, "its time is over");
    }
  }

  /** K4. A sixteenth at a time, so that a flood of new keys costs one look at all of them a batch. */
  #makeRoom(): void {
    const idle = [...this.records.values()].filter(({ inFlight }) => inFlight === 0);
    idle.sort((a, b) => Number(a.isTroubled) - Number(b.isTroubled) || a.usedAt - b.usedAt);
    for (const { key } of idle.slice(0, Math.max(1, Math.floor(this.#options.peersMax / 16)))) {
      this.records.delete(key);
      this.probes.forget(key);
    }
  }
}
