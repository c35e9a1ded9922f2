import { assert } from "../base/assert.ts";
import type { ChainId, SiteId } from "../base/ids.ts";
import { makeRoom } from "./make-room.ts";
import { boundQuantity, isQuantity, readList, readObject, readText } from "./quantity.ts";
import { setRecent } from "./recent-map.ts";
import { RttEma } from "./rtt-ema.ts";
import type { EmaState } from "./rtt-ema.ts";
import { rttTrackerOptions } from "./rtt-options.ts";
import type { RttTrackerOptions } from "./rtt-options.ts";
import { RttSite } from "./rtt-site.ts";
import type { Chain, ReportData, SiteData } from "./rtt-site.ts";
import { SiteWatch } from "./site-watch.ts";

/** Which estimate answered. */
export type BudgetTier = "edge" | "site" | "chain" | "global" | "static";

/** Everything behind a site's budget, for people. */
export interface SiteExplanation {
  readonly rtt: EmaState;
  readonly budgetNs: number;
  readonly tier: BudgetTier;
}

/** The priors as plain data, chains from the least to the most recently observed. */
export interface PriorData {
  readonly global: EmaState;
  readonly chains: readonly (EmaState & { readonly chainId: ChainId })[];
}

/** The global prior learns slowly, since it hears of every site (spec/peers.md §3.2). */
const GLOBAL_SHIFTS = { alpha: 6, beta: 5 } as const;

/**
 * RttTracker learns how long each site takes to answer. Every `now` is *awake* time: the engine's clock minus the
 * pauses it recognised as its own, so that nothing learns from a pause.
 *
 * Invariants:
 *   T1. A budget comes from the first warm tier: edge, site, chain's prior, global prior, static default.
 *   T2. At most `maxEntries` sites are held; a chain's prior outlives its sites.
 */
export class RttTracker<S extends string = SiteId> {
  /** Which sites have fallen silent. */
  readonly watch: SiteWatch<S>;
  readonly #options: RttTrackerOptions<S>;
  readonly #sites = new Map<S, RttSite<S>>();
  readonly #chainPriors = new Map<ChainId, RttEma>();
  #globalPrior = new RttEma();

  constructor(given: Partial<RttTrackerOptions<S>> = {}) {
    this.#options = rttTrackerOptions(given);
    this.watch = new SiteWatch(this.#options.watch);
  }

  trackedSites(): S[] {
    return [...this.#sites.keys()];
  }

  /** Learns one measured round trip, in ns. To a site that is watched it proves life as well. */
  observeRoundTrip(site: S, chain: Chain | undefined, elapsedNs: number, now: number): void {
    assert(isQuantity(now), "an instant is a quantity");
    const entry = this.#siteOf(site);
    if (this.#options.roundTripsAreHeartbeats) this.watch.recordHeartbeat(site, now);
    else if (this.watch.has(site)) this.watch.recordLife(site, now);
    if (elapsedNs === 0 && this.#options.refuseZeroSamples) return;
    entry.aggregate.observe(elapsedNs);
    entry.lastUpdatedAt = now;
    if (chain !== undefined) {
      entry.observeEdge(chain, elapsedNs);
      const prior = this.#chainPriors.get(chain.chainId) ?? new RttEma();
      prior.observe(elapsedNs);
      setRecent(this.#chainPriors, chain.chainId, prior, this.#options.maxChains);
    }
    this.#globalPrior.observeWithShifts(elapsedNs, GLOBAL_SHIFTS.alpha, GLOBAL_SHIFTS.beta);
  }

  /** Takes what a site says about one of its own outgoing edges, in place of what it said before. */
  ingestReportedOutgoing(fromSite: S, nextHop: S, chainId: ChainId, estimate: EmaState): void {
    const srttNs = boundQuantity(estimate.srttNs);
    const rttvarNs = boundQuantity(estimate.rttvarNs);
    const sampleCount = boundQuantity(estimate.sampleCount);
    this.#siteOf(fromSite).replaceReport({ nextHop, chainId, srttNs, rttvarNs, sampleCount });
  }

  /** The estimate of one edge. */
  edge(site: S, chain: Chain): EmaState | undefined {
    return this.#sites.get(site)?.edge(chain)?.state();
  }

  report(fromSite: S, nextHop: S, chainId: ChainId): ReportData<S> | undefined {
    return this.#sites.get(fromSite)?.report(nextHop, chainId);
  }

  /** How long to wait for this site's answer, in ns. Floor and ceiling bound what was learned, not the default. */
  estimateBudget(site: S, chain: Chain | undefined, staticDefaultNs: number): number {
    const learned = this.#learned(site, chain);
    if (learned === undefined) return staticDefaultNs; // T1
    const budgetNs = learned.budgetNs(this.#options.minDeviationNs);
    return Math.min(Math.max(budgetNs, this.#options.budgetFloorNs), this.#options.budgetCeilingNs);
  }

  /** Which estimate `estimateBudget` would answer from. */
  budgetTier(site: S, chain: Chain | undefined): BudgetTier {
    const learned = this.#learned(site, chain);
    if (learned === undefined) return "static";
    if (learned === this.#globalPrior) return "global";
    const entry = this.#sites.get(site);
    if (learned === entry?.aggregate) return "site";
    return chain !== undefined && learned === entry?.edge(chain) ? "edge" : "chain";
  }

  explain(site: S, staticDefaultNs: number, chain?: Chain): SiteExplanation | undefined {
    const entry = this.#sites.get(site);
    if (entry === undefined) return undefined;
    return {
      rtt: entry.aggregate.state(), budgetNs: this.estimateBudget(site, chain, staticDefaultNs), tier: this.budgetTier(site, chain),
    };
  }

  /** A copy of all that is held of the site. */
  captureSite(site: S): SiteData<S> | undefined {
    return this.#sites.get(site)?.capture();
  }

  /** Takes a site over, in place of what is held of it. Throws SNAPSHOT_INVALID. */
  restoreSite(site: S, data: SiteData<S>): void {
    const entry = RttSite.restore(data, this.#options);
    if (!this.#sites.has(site)) this.#makeRoom();
    this.#sites.set(site, entry);
  }

  capturePriors(): PriorData {
    const chains = Array.from(this.#chainPriors, ([chainId, prior]) => ({ chainId, ...prior.state() }));
    return { global: this.#globalPrior.state(), chains };
  }

  /** Replaces all priors. Throws SNAPSHOT_INVALID. */
  restorePriors(data: PriorData): void {
    const { global, chains } = readObject("priors", data);
    const globalPrior = RttEma.restore(global);
    const restored = readList("priors", "chains", chains).map((prior) => {
      const chainId = readText<ChainId>("priors", "chainId", readObject("priors", prior).chainId);
      return [chainId, RttEma.restore(prior)] as const;
    });
    this.#globalPrior = globalPrior;
    this.#chainPriors.clear();
    for (const [chainId, prior] of restored) setRecent(this.#chainPriors, chainId, prior, this.#options.maxChains);
  }

  #learned(site: S, chain: Chain | undefined): RttEma | undefined {
    const entry = this.#sites.get(site);
    if (chain !== undefined) {
      const edge = entry?.edge(chain);
      if (edge?.isWarm) return edge;
    }
    if (entry?.aggregate.isWarm) return entry.aggregate;
    if (chain !== undefined) {
      const prior = this.#chainPriors.get(chain.chainId);
      if (prior?.isWarm) return prior;
    }
    return this.#globalPrior.isWarm ? this.#globalPrior : undefined;
  }

  #siteOf(site: S): RttSite<S> {
    let entry = this.#sites.get(site);
    if (entry === undefined) {
      this.#makeRoom();
      entry = new RttSite(this.#options);
      this.#sites.set(site, entry);
    }
    return entry;
  }

  #makeRoom(): void {
    const recency = ({ lastUpdatedAt }: RttSite<S>) => lastUpdatedAt;
    makeRoom(this.#sites, this.#options.maxEntries, recency, this.#options.onEvict); // T2
  }
}
