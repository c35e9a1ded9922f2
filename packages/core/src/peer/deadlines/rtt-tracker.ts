import { assert } from "../../base/assert.ts";
import type { ChainId, SiteId } from "../../base/ids.ts";
import { addNs } from "../../base/time.ts";
import { makeRoom } from "../make-room.ts";
import { boundQuantity, isQuantity } from "../quantity.ts";
import { readList, readObject, readQuantity, readText } from "../read-quantity.ts";
import { setRecent } from "../recent-map.ts";
import { BudgetBlend } from "./budget-blend.ts";
import { GlobalPrior } from "./global-prior.ts";
import { captureGlobal, restoreGlobal } from "./learned-data.ts";
import type { GlobalPriorData } from "./learned-data.ts";
import { MEMORY_SAMPLES, learnAged, rememberedSamples, WIDENING_ONE } from "./learned-site.ts";
import { RttEma, WARM_SAMPLES } from "./rtt-ema.ts";
import type { EmaState } from "./rtt-ema.ts";
import { rttTrackerOptions } from "./rtt-options.ts";
import type { RttTrackerOptions } from "./rtt-options.ts";
import { RttSite, SiteRows } from "./rtt-site.ts";
import type { Chain, ReportData, SiteData } from "./rtt-site.ts";
import { SiteWatch } from "../detection/site-watch.ts";

/** Which estimate answered. */
export type BudgetTier = "edge" | "reports" | "site" | "chain" | "global" | "static";

/** What one tier contributes to a budget; all weights sum to 1. */
export interface TierWeight extends EmaState {
  readonly weight: number;
}

export type BudgetWeights = Readonly<Record<BudgetTier, TierWeight>>;

/** Where and when a budget is asked for. */
export interface BudgetContext<S extends string = SiteId> {
  /** The site whose round trips are the link's own, and to which the peer's reports belong; for calls along a chain. */
  readonly via?: S | undefined;
  /** Left out: nothing has aged. */
  readonly now?: number;
}

/** Everything behind a site's budget, for people. */
export interface SiteExplanation {
  readonly rtt: EmaState;
  readonly budgetNs: number;
  readonly tier: BudgetTier;
  readonly weights: BudgetWeights;
  /** What the slowest one in some thousand round trips takes, in ns; 0 = nothing is known. */
  readonly tailNs: number;
  /** Timeouts since something last answered. */
  readonly timeouts: number;
  /** What spurious timeouts have widened the budget to: 1 = not at all. */
  readonly widenedBy: number;
}

/**
 * A site as whoever asks about it often holds it: each call that takes a site takes this instead, and looks nothing up. It
 * stays good when the tracker drops the site and learns it anew.
 */
export class SiteHandle<S extends string = SiteId> {
  readonly site: S;
  /** What the tracker found last; its own. */
  entry: RttSite<S> | undefined;
  readonly #tracker: RttTracker<S>;

  constructor(site: S, tracker: RttTracker<S>) {
    this.site = site;
    this.#tracker = tracker;
  }

  observeRoundTrip(chain: Chain | undefined, elapsedNs: number, now: number): void {
    this.#tracker.observeRoundTrip(this, chain, elapsedNs, now);
  }

  estimateBudget(chain: Chain | undefined, staticDefaultNs: number, context: BudgetContext<S> = NOWHERE): number {
    return this.#tracker.estimateBudget(this, chain, staticDefaultNs, context);
  }
}

/** The priors as plain data, chains from the least to the most recently observed. */
export interface PriorData extends GlobalPriorData {
  readonly chains: readonly (EmaState & { readonly chainId: ChainId; readonly updatedAt: number })[];
}

const NOWHERE: BudgetContext<never> = {};

/**
 * RttTracker learns how long each site takes to answer. Every `now` is *awake* time: the engine's clock minus the
 * pauses it recognised as its own, so that nothing learns from a pause.
 *
 * Invariants:
 *   T1. A budget is blended from edge, the peer's reports, site, chain's prior, global prior and static default, each
 *       weighed against all that follow it; in the reference it comes from the first of them with three samples.
 *   T2. At most `maxEntries` sites are held; a chain's prior outlives its sites.
 */
export class RttTracker<S extends string = SiteId> {
  /** Which sites have fallen silent. */
  readonly watch: SiteWatch<S>;
  readonly #options: RttTrackerOptions<S>;
  readonly #sites = new Map<S, RttSite<S>>();
  readonly #rows: SiteRows;
  readonly #chainPriors = new Map<ChainId, RttEma>();
  #global = new GlobalPrior();
  /** The chain whose prior is the most recent, and that prior. */
  #recentChain: ChainId | undefined;
  #recentPrior: RttEma | undefined;
  readonly #blended: BudgetBlend;
  /** What the edge weighs in it. */
  #edgeWeight = 0;

  constructor(given: Partial<RttTrackerOptions<S>> = {}) {
    this.#options = rttTrackerOptions(given);
    this.watch = new SiteWatch(this.#options.watch);
    this.#rows = new SiteRows(this.#options.tails);
    this.#blended = new BudgetBlend(this.#options);
  }

  /** For callers that ask about this site again and again. */
  site(site: S): SiteHandle<S> {
    return new SiteHandle(site, this);
  }

  trackedSites(): S[] {
    return [...this.#sites.keys()];
  }

  /** Learns one measured round trip, in ns. To a site that is watched it proves life as well. */
  observeRoundTrip(site: S | SiteHandle<S>, chain: Chain | undefined, elapsedNs: number, now: number): void {
    assert(isQuantity(now), "an instant is a quantity");
    assert(isQuantity(elapsedNs), "a sample is a quantity");
    const entry = this.#siteOf(site);
    if (this.#options.roundTripsAreHeartbeats) this.watch.recordHeartbeat(idOf(site), now);
    else if (entry.isWatchedBy(this.watch, site)) this.watch.recordLife(idOf(site), now);
    if (elapsedNs === 0 && this.#options.refuseZeroSamples) return;
    entry.observeRoundTrip(chain, elapsedNs, now);
    if (chain !== undefined) {
      const prior = this.#priorOf(chain.chainId);
      learnAged(prior.cells, prior.at, elapsedNs, now, this.#options);
    }
    this.#global.observe(elapsedNs, now, this.#options);
  }

  /**
   * The budget of an attempt on this site ran out, and the attempt goes on. The second such timeout without an answer
   * in between doubles the site's budget, and so does each further one; a single one may be a lost request. Budgets
   * that ran beside one another are one timeout: `armedAt` is when this one began to run.
   */
  observeTimeout(site: S | SiteHandle<S>, armedAt: number, now: number): void {
    assert(isQuantity(armedAt) && isQuantity(now), "an instant is a quantity");
    this.#siteOf(site).observeTimeout(armedAt, now);
  }

  /** An attempt was given up after `atLeastNs` without an answer: a sample of at least that long. */
  observeCensored(site: S | SiteHandle<S>, chain: Chain | undefined, atLeastNs: number): void {
    assert(isQuantity(atLeastNs), "a time is a quantity");
    this.#siteOf(site).observeGivenUp(chain, atLeastNs);
  }

  /** The site answered, with a round trip or without: its back-off ends, whether that makes a sample or not. */
  observeAnswer(site: S | SiteHandle<S>): void {
    this.#find(site)?.observeAnswer();
  }

  /** An attempt whose budget had run out was answered: the timeout was spurious. Its back-off ends, its budget widens for a while. */
  observeLateReply(site: S | SiteHandle<S>): void {
    this.#siteOf(site).observeLateReply();
  }

  /** After a restart: what was learned counts for less, the longer this node was away, and never as much as before. */
  discount(asleepNs: number): void {
    assert(isQuantity(asleepNs), "a time is a quantity");
    for (const entry of this.#sites.values()) entry.discount(asleepNs);
    const samples = rememberedSamples(asleepNs, this.#options.halfLifeNs);
    for (const prior of this.#chainPriors.values()) prior.discount(samples);
    this.#global.discount(samples);
  }

  /** Takes what a site says about one of its own outgoing edges, in place of what it said before. */
  ingestReportedOutgoing(fromSite: S, nextHop: S, chainId: ChainId, estimate: EmaState): void {
    const srttNs = boundQuantity(estimate.srttNs);
    const rttvarNs = boundQuantity(estimate.rttvarNs);
    const sampleCount = boundQuantity(estimate.sampleCount);
    this.#siteOf(fromSite).replaceReport({ nextHop, chainId, srttNs, rttvarNs, sampleCount });
  }

  /** The estimate of one edge. */
  edge(site: S | SiteHandle<S>, chain: Chain): EmaState | undefined {
    return this.#find(site)?.edge(chain)?.state();
  }

  report(fromSite: S, nextHop: S, chainId: ChainId): ReportData<S> | undefined {
    return this.#sites.get(fromSite)?.report(nextHop, chainId);
  }

  /**
   * How long to wait for this site's answer, in ns. Floor and ceiling bound what was learned, not the default. How it is
   * reckoned: `BudgetBlend`.
   */
  estimateBudget(site: S | SiteHandle<S>, chain: Chain | undefined, staticDefaultNs: number, context: BudgetContext<S> = NOWHERE): number {
    const { blendSamples, minDeviationNs, budgetFloorNs, budgetCeilingNs } = this.#options;
    const entry = this.#find(site);
    if (blendSamples === 0) {
      const learned = this.#estimateOf(this.#learnedTier(entry, chain), entry, chain);
      if (learned === undefined) return staticDefaultNs; // T1
      const budgetNs = learned.budgetNs(minDeviationNs);
      return Math.min(Math.max(budgetNs, budgetFloorNs), budgetCeilingNs);
    }
    const now = context.now ?? 0;
    const keptNs = entry === undefined ? 0 : entry.keptBudgetNs(chain, staticDefaultNs, now);
    if (keptNs > 0) return keptNs;
    this.#blend(entry, chain, staticDefaultNs, context);
    if (this.#edgeWeight > 0 && entry !== undefined) this.#scaleTail(entry, chain as Chain);
    const boundedNs = this.#blended.budgetNs(this.#global.shape, entry, staticDefaultNs, now);
    if (entry !== undefined) entry.keepBudget(chain, staticDefaultNs, now, boundedNs);
    return boundedNs;
  }

  /**
   * Which estimate `estimateBudget` answers from: the one that weighs most, of equals the most particular. It is "static"
   * until some tier of our own round trips has three samples, and again when age has left less than one of them.
   */
  budgetTier(site: S | SiteHandle<S>, chain: Chain | undefined, context: BudgetContext<S> = NOWHERE): BudgetTier {
    if (this.#options.blendSamples > 0) {
      let isLearned = false;
      const weights = this.budgetWeights(site, chain, 0, context, (tier, { sampleCount }, _weight, freshness) => {
        isLearned ||= tier !== "reports" && sampleCount >= WARM_SAMPLES && Math.min(sampleCount, MEMORY_SAMPLES) * freshness >= 1;
      });
      if (!isLearned) return "static";
      return LEARNED_TIERS.reduce((heaviest, tier) => (weights[tier].weight > weights[heaviest].weight ? tier : heaviest));
    }
    return this.#learnedTier(this.#find(site), chain);
  }

  /** How much every tier weighs in the budget, for people. In the reference one of them is all. */
  budgetWeights(site: S | SiteHandle<S>, chain: Chain | undefined, staticDefaultNs: number, context: BudgetContext<S> = NOWHERE, tell?: Tell): BudgetWeights {
    const weights = Object.fromEntries(TIERS.map((tier) => [tier, NOTHING])) as Record<BudgetTier, TierWeight>;
    if (this.#options.blendSamples === 0) {
      const entry = this.#find(site);
      const tier = this.#learnedTier(entry, chain);
      const learned = this.#estimateOf(tier, entry, chain);
      weights[tier] = { ...(learned?.state() ?? asEstimate(staticDefaultNs)), weight: 1 };
      return weights;
    }
    weights.static = { ...asEstimate(staticDefaultNs), weight: 1 };
    this.#blend(this.#find(site), chain, staticDefaultNs, context, (tier, estimate, weight, freshness) => {
      tell?.(tier, estimate, weight, freshness);
      for (const below of TIERS) weights[below] = { ...weights[below], weight: weights[below].weight * (1 - weight) };
      const { srttNs, rttvarNs, sampleCount } = estimate;
      weights[tier] = { srttNs, rttvarNs, sampleCount, weight };
    });
    return weights;
  }

  explain(site: S, staticDefaultNs: number, { chain, ...context }: BudgetContext<S> & { readonly chain?: Chain | undefined } = {}): SiteExplanation | undefined {
    const entry = this.#sites.get(site);
    if (entry === undefined) return undefined;
    return {
      rtt: entry.aggregate.state(),
      budgetNs: this.estimateBudget(site, chain, staticDefaultNs, context),
      tier: this.budgetTier(site, chain, context),
      weights: this.budgetWeights(site, chain, staticDefaultNs, context),
      tailNs: entry.tailNs,
      timeouts: entry.timeouts,
      widenedBy: this.#widenedBy(entry),
    };
  }

  /** A copy of all that is held of the site. */
  captureSite(site: S): SiteData<S> | undefined {
    return this.#sites.get(site)?.capture();
  }

  /** Takes a site over, in place of what is held of it. Throws SNAPSHOT_INVALID. */
  restoreSite(site: S, data: SiteData<S>): void {
    const entry = RttSite.restore(data, this.#options, this.#rows);
    const replaced = this.#sites.get(site);
    if (replaced === undefined) this.#makeRoom();
    else replaced.drop();
    this.#sites.set(site, entry);
  }

  capturePriors(): PriorData {
    const chains = Array.from(this.#chainPriors, ([chainId, prior]) => ({ chainId, ...prior.state(), updatedAt: prior.updatedAt }));
    return { ...captureGlobal(this.#global), chains };
  }

  /** Replaces all priors. Throws SNAPSHOT_INVALID. */
  restorePriors(data: PriorData): void {
    const global = restoreGlobal(data);
    const restored = readList("priors", "chains", data.chains).map((prior) => {
      const chainId = readText<ChainId>("priors", "chainId", readObject("priors", prior).chainId);
      const ema = RttEma.restore(prior);
      ema.updatedAt = readQuantity("priors", "updatedAt", prior.updatedAt);
      return [chainId, ema] as const;
    });
    this.#global = global;
    this.#chainPriors.clear();
    this.#recentChain = this.#recentPrior = undefined;
    for (const [chainId, prior] of restored) setRecent(this.#chainPriors, chainId, prior, this.#options.maxChains);
  }

  /**
   * From the static default to the edge, each tier weighed against all before it (T1).
   *
   * Composition: what the peer reported of its own edge on this chain, behind our link to it, makes an estimate of its
   * own (means added, deviations added, which is right if both are late at once), between site and edge, and a lower
   * bound of the mean that the edge is shrunk towards: a call takes no less than a part of it. The edge's own round
   * trips include what lies behind, so reports are never added to them.
   */
  #blend(
    entry: RttSite<S> | undefined, chain: Chain | undefined, staticDefaultNs: number, { via, now = 0 }: BudgetContext<S>, tell?: Tell,
  ): void {
    this.#blended.begin(staticDefaultNs);
    this.#edgeWeight = 0;
    this.#shrink("global", this.#global.cells, 0, now, tell);
    if (chain !== undefined && this.#chainPriors.size > 0) {
      const prior = this.#recentChain === chain.chainId ? this.#recentPrior : this.#chainPriors.get(chain.chainId);
      if (prior !== undefined) this.#shrink("chain", prior.cells, prior.at, now, tell);
    }
    if (entry === undefined && via === undefined) return;
    if (entry !== undefined) this.#shrink("site", entry.cells, entry.at, now, tell);
    if (chain === undefined) return;
    if (via !== undefined && (entry?.edge(chain)?.sampleCount ?? 0) < MEMORY_SAMPLES) this.#compose(via, chain, tell);
    const edge = entry?.edge(chain);
    if (edge === undefined) return;
    this.#edgeWeight = this.#shrink("edge", edge.cells, edge.at, now, tell);
  }

  #shrink(tier: BudgetTier, cells: Float64Array, at: number, now: number, tell: Tell | undefined): number {
    const weight = this.#blended.shrink(cells, at, now);
    if (tell !== undefined && weight > 0) tell(tier, new RttEma(cells, at).state(), weight, this.#blended.freshness);
    return weight;
  }

  #compose(via: S, chain: Chain, tell: Tell | undefined): void {
    const neighbour = this.#sites.get(via);
    const behind = neighbour?.behind(chain.chainId);
    if (neighbour === undefined || behind === undefined || behind.sampleCount === 0) return;
    const composed = {
      srttNs: addNs(neighbour.srttNs, behind.srttNs), rttvarNs: addNs(neighbour.rttvarNs, behind.rttvarNs),
      sampleCount: Math.min(behind.sampleCount, MEMORY_SAMPLES),
    };
    const blended = this.#blended;
    const weight = blended.mix(composed.srttNs, composed.rttvarNs, composed.sampleCount, 1);
    tell?.("reports", composed, weight, 1);
    if (blended.meanNs < composed.srttNs) blended.meanNs = composed.srttNs;
  }

  /** The edge's slowest answers are as much slower than the site's as its mean is. */
  #scaleTail(entry: RttSite<S>, chain: Chain): void {
    const { srttNs } = entry;
    const edge = entry.edge(chain);
    if (edge !== undefined && srttNs > 0) this.#blended.tailScale = 1 + this.#edgeWeight * (edge.srttNs / srttNs - 1);
  }

  #widenedBy(entry: RttSite<S>): number {
    return 1 + (this.#options.widening * entry.widening) / WIDENING_ONE;
  }

  /** The first tier with three samples (T1). */
  #learnedTier(entry: RttSite<S> | undefined, chain: Chain | undefined): BudgetTier {
    if (chain !== undefined && entry?.edge(chain)?.isWarm) return "edge";
    if (entry?.aggregate.isWarm) return "site";
    if (chain !== undefined && this.#chainPriors.get(chain.chainId)?.isWarm) return "chain";
    return this.#globalEma.isWarm ? "global" : "static";
  }

  #estimateOf(tier: BudgetTier, entry: RttSite<S> | undefined, chain: Chain | undefined): RttEma | undefined {
    if (tier === "edge") return entry?.edge(chain as Chain);
    if (tier === "site") return entry?.aggregate;
    if (tier === "chain") return this.#chainPriors.get((chain as Chain).chainId);
    return tier === "global" ? this.#globalEma : undefined;
  }

  get #globalEma(): RttEma {
    return new RttEma(this.#global.cells);
  }

  /** The chain's prior, which is the most recent one from now on. */
  #priorOf(chainId: ChainId): RttEma {
    if (this.#recentPrior !== undefined && this.#recentChain === chainId) return this.#recentPrior;
    const prior = this.#chainPriors.get(chainId) ?? new RttEma();
    setRecent(this.#chainPriors, chainId, prior, this.#options.maxChains);
    this.#recentChain = chainId;
    return (this.#recentPrior = prior);
  }

  #find(site: S | SiteHandle<S>): RttSite<S> | undefined {
    if (typeof site === "string") return this.#sites.get(site);
    if (site.entry?.isHeld) return site.entry;
    return (site.entry = this.#sites.get(site.site));
  }

  #siteOf(site: S | SiteHandle<S>): RttSite<S> {
    const found = this.#find(site);
    if (found !== undefined) return found;
    this.#makeRoom();
    const entry = new RttSite(this.#options, this.#rows);
    this.#sites.set(idOf(site), entry);
    if (typeof site !== "string") site.entry = entry;
    return entry;
  }

  #makeRoom(): void {
    const recency = ({ lastUpdatedAt }: RttSite<S>) => lastUpdatedAt;
    makeRoom(this.#sites, this.#options.maxEntries, recency, (site, entry) => { // T2
      entry.drop();
      this.#options.onEvict?.(site);
    });
  }
}

function idOf<S extends string>(site: S | SiteHandle<S>): S {
  return typeof site === "string" ? site : site.site;
}

/** Hears of each estimate that is blended in, from the least to the most particular. */
type Tell = (tier: BudgetTier, estimate: EmaState, weight: number, freshness: number) => void;

const LEARNED_TIERS = ["edge", "reports", "site", "chain", "global"] as const satisfies readonly BudgetTier[];
const TIERS: readonly BudgetTier[] = [...LEARNED_TIERS, "static"];
const NOTHING: TierWeight = { weight: 0, srttNs: 0, rttvarNs: 0, sampleCount: 0 };

/** The static default as an estimate. */
function asEstimate(staticDefaultNs: number): EmaState {
  return { srttNs: Math.floor(staticDefaultNs / 3), rttvarNs: Math.floor(staticDefaultNs / 6), sampleCount: 0 };
}
