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
import type { Chain, ReportData, SiteData, SiteState } from "./rtt-site.ts";

/** Which estimate answered. */
export type BudgetTier = "edge" | "site" | "chain" | "global" | "static";

/** A verdict that differs from the one last announced. `phi` comes with suspicion only. */
export type SiteTransition<S extends string = SiteId> =
  | Readonly<{ site: S; to: "live" }>
  | Readonly<{ site: S; to: "suspect" | "down"; phi: number }>;

/** When a verdict comes if the silence goes on. */
export interface Crossing<S extends string = SiteId> {
  readonly site: S;
  readonly at: number;
  readonly to: "suspect" | "down";
}

/** Everything behind a site's verdict and budget, for people. */
export interface SiteExplanation<S extends string = SiteId> {
  /** The verdict last announced, and the one that `now` gives. */
  readonly announced: SiteState;
  readonly state: SiteState;
  readonly phi: number;
  readonly suspectPhi: number;
  readonly downPhi: number;
  /** Intervals in the detector's window, and the mean that φ reckons with, in ns. */
  readonly samples: number;
  readonly meanNs: number;
  readonly lastSeenAt: number;
  readonly next: Crossing<S> | undefined;
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
 * RttTracker learns how long each site takes to answer, and which sites have fallen silent.
 *
 * Every `now` is *awake* time: the engine's clock minus the pauses it recognised as its own. So a suspended machine
 * wakes to the silences it left, and nothing learns from the pause.
 *
 * Invariants:
 *   T1. A budget comes from the first warm tier: edge, site, chain's prior, global prior, static default.
 *   T2. A verdict is announced once, when it differs from the last one announced.
 *   T3. Only heartbeats are samples of a detector; whatever else proves life moves last-seen (product).
 *   T4. At most `maxEntries` sites are held; a chain's prior outlives its sites.
 */
export class RttTracker<S extends string = SiteId> {
  readonly #options: RttTrackerOptions<S>;
  readonly #sites = new Map<S, RttSite<S>>();
  readonly #watched = new Set<S>();
  readonly #chainPriors = new Map<ChainId, RttEma>();
  #globalPrior = new RttEma();

  constructor(given: Partial<RttTrackerOptions<S>> = {}) {
    this.#options = rttTrackerOptions(given);
  }

  trackedSites(): S[] {
    return [...this.#sites.keys()];
  }

  /**
   * Learns one measured round trip, in ns. With `detector` it is a heartbeat of the site as well, and the site is
   * watched from now on; without, it proves life to a detector that is there and makes none.
   */
  observeRoundTrip(
    site: S,
    chain: Chain | undefined,
    elapsedNs: number,
    now: number,
    { detector = this.#options.roundTripsAreHeartbeats }: { readonly detector?: boolean } = {},
  ): void {
    assert(isQuantity(now), "an instant is a quantity");
    const entry = this.#siteOf(site);
    if (detector) this.#watch(site, entry).recordHeartbeat(now, entry.lastSeenAt); // T3
    entry.lastSeenAt = now;
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

  /** An arrival that was due: a sample for the site's detector. */
  recordHeartbeat(site: S, now: number): void {
    const entry = this.#siteOf(site);
    this.#watch(site, entry).recordHeartbeat(now, entry.lastSeenAt);
    entry.lastSeenAt = now;
  }

  /** Any other arrival: it proves life and is no sample. The site is watched from now on. */
  recordLife(site: S, now: number): void {
    assert(isQuantity(now), "an instant is a quantity");
    const entry = this.#siteOf(site);
    this.#watch(site, entry);
    entry.lastSeenAt = now;
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

  /** φ of the site's silence; 0 for a site that is not watched. */
  phi(site: S, now: number): number {
    return this.#sites.get(site)?.phi(now) ?? 0;
  }

  /** The verdict last announced. */
  siteState(site: S): SiteState {
    return this.#sites.get(site)?.announced ?? "live";
  }

  /** Judges one site, as `scanPhi` does all: ask after each arrival, and when a crossing is due. */
  judge(site: S, now: number): SiteTransition<S> | undefined {
    const entry = this.#sites.get(site);
    const to = entry?.verdict(now);
    if (entry === undefined || to === undefined || to === entry.announced) return undefined; // T2
    entry.announced = to;
    return to === "live" ? { site, to } : { site, to, phi: entry.phi(now) };
  }

  /** The verdicts that changed since they were last announced, by site. */
  scanPhi(now: number): SiteTransition<S>[] {
    const transitions: SiteTransition<S>[] = [];
    for (const site of this.#watched) {
      const transition = this.judge(site, now);
      if (transition !== undefined) transitions.push(transition);
    }
    return transitions.sort((a, b) => (a.site < b.site ? -1 : 1));
  }

  /**
   * When the next verdict comes if this site's silence goes on: the timer to arm. Undefined once it is down, and for
   * a site not watched. Reckons from the verdict announced: after an arrival, `judge` first.
   */
  nextCrossing(site: S): Crossing<S> | undefined {
    const entry = this.#sites.get(site);
    if (entry?.detector === undefined || entry.announced === "down") return undefined;
    const { suspectPhi, downPhi } = entry.detector.options;
    const to = entry.announced === "suspect" || downPhi <= suspectPhi ? "down" : "suspect";
    const at = entry.detector.crossing(to === "down" ? downPhi : suspectPhi, entry.lastSeenAt);
    return at === undefined ? undefined : { site, at, to };
  }

  /** The first of all sites' crossings: one timer instead of a scan. Costs one division per watched site. */
  earliestCrossing(): Crossing<S> | undefined {
    let earliest: Crossing<S> | undefined;
    for (const site of this.#watched) {
      const next = this.nextCrossing(site);
      if (next === undefined || (earliest !== undefined && next.at > earliest.at)) continue;
      if (earliest === undefined || next.at < earliest.at || next.site < earliest.site) earliest = next;
    }
    return earliest;
  }

  explain(site: S, now: number, staticDefaultNs: number, chain?: Chain): SiteExplanation<S> | undefined {
    const entry = this.#sites.get(site);
    if (entry === undefined) return undefined;
    return {
      announced: entry.announced,
      state: entry.verdict(now),
      phi: entry.phi(now),
      suspectPhi: entry.detector?.options.suspectPhi ?? Infinity,
      downPhi: entry.detector?.options.downPhi ?? Infinity,
      samples: entry.detector?.size ?? 0,
      meanNs: entry.detector?.meanNs ?? 0,
      lastSeenAt: entry.lastSeenAt,
      next: this.nextCrossing(site),
      rtt: entry.aggregate.state(),
      budgetNs: this.estimateBudget(site, chain, staticDefaultNs),
      tier: this.budgetTier(site, chain),
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
    if (entry.detector === undefined) this.#watched.delete(site);
    else this.#watched.add(site);
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

  #watch(site: S, entry: RttSite<S>): ReturnType<RttSite<S>["watch"]> {
    this.#watched.add(site);
    return entry.watch();
  }

  #makeRoom(): void {
    makeRoom(this.#sites, this.#options.maxEntries, (entry) => entry.recency, (site) => { // T4
      this.#watched.delete(site);
      this.#options.onEvict?.(site);
    });
  }
}
