import { NS_PER_MS, NS_PER_S } from "../../base/time.ts";
import { powerOfTwo } from "../quantity.ts";
import { fade, WIDENING_ONE } from "./learned-site.ts";
import type { GlobalPrior } from "./global-prior.ts";
import type { LearnedSite, SiteLearning } from "./learned-site.ts";
import { COUNT, EMA_UPDATED_AT, RTTVAR, SRTT } from "./site-layout.ts";

/** What of RttTrackerOptions says how a budget is made of what was learned. */
export interface BudgetOptions {
  readonly budgetFloorNs: number;
  readonly budgetCeilingNs: number;
  readonly minDeviationNs: number;
  readonly blendSamples: number;
  readonly halfLifeNs: number;
  readonly tailSamples: number;
  readonly widening: number;
  readonly backsOff: boolean;
}

/** How the product learns, and what it makes of it: see RttTrackerOptions. */
export const PRODUCT_LEARNING: SiteLearning & Omit<BudgetOptions, "budgetFloorNs" | "budgetCeilingNs"> = {
  minDeviationNs: 5 * NS_PER_MS, blendSamples: 3, halfLifeNs: 600 * NS_PER_S, tails: true, tailSamples: 32, widening: 0.5, backsOff: true,
};

/**
 * BudgetBlend makes one budget of several estimates, from the least to the most particular:
 *
 *     begin ──▶ shrink or mix, once for each ──▶ budgetNs
 *
 * Shrinks each estimate towards its parent, beginning with the static default as a first sample would stand for it
 * (mean D/3, deviation D/6, so that its budget is D; it strays as the first estimate does). With n samples, k = `blendSamples`, deviations d of the estimate
 * and d′ of its parent, and f what its age leaves (`fade`):
 *
 *     w    = f · n / (n + k · 2d / (d + d′))
 *     mean = w · m + (1 − w) · m′
 *     dev  = w · d + (1 − w) · d′ + 2w(1 − w) · |m − m′|
 *
 * The last line bounds the mean deviation of the mixture of both: tiers that disagree make the budget wide.
 */
export class BudgetBlend {
  readonly #options: BudgetOptions;
  meanNs = 0;
  #deviationNs = 0;
  /** What the static default still weighs. */
  #unlearned = 1;
  /** What its age left of the last estimate. */
  freshness = 1;
  /** How much slower the slowest answers are reckoned to be than the site's own. */
  tailScale = 1;

  constructor(options: BudgetOptions) {
    this.#options = options;
  }

  begin(staticDefaultNs: number): void {
    this.meanNs = staticDefaultNs / 3;
    this.#deviationNs = staticDefaultNs / 6;
    this.#unlearned = 1;
    this.tailScale = 1;
  }

  /** Answers what the estimate there weighs. */
  shrink(cells: Float64Array, at: number, now: number): number {
    const count = cells[at + COUNT] as number;
    if (count === 0) return 0;
    const updatedAt = cells[at + EMA_UPDATED_AT] as number;
    this.freshness = updatedAt === 0 ? 1 : fade(now - updatedAt, this.#options.halfLifeNs);
    return this.mix(cells[at + SRTT] as number, cells[at + RTTVAR] as number, count, this.freshness);
  }

  mix(srttNs: number, rttvarNs: number, sampleCount: number, freshness: number): number {
    const { blendSamples } = this.#options;
    const spread = rttvarNs + this.#deviationNs;
    // How far a default strays nobody knows.
    const strength = this.#unlearned === 1 || spread === 0 ? blendSamples : (blendSamples * 2 * rttvarNs) / spread;
    const weight = (freshness * sampleCount) / (sampleCount + strength);
    const rest = 1 - weight;
    const disagreement = 2 * weight * rest * Math.abs(srttNs - this.meanNs);
    this.#deviationNs = weight * rttvarNs + rest * this.#deviationNs + disagreement;
    this.meanNs = weight * srttNs + rest * this.meanNs;
    this.#unlearned *= rest;
    return weight;
  }

  /** How long to wait for an answer of a site that has no chains and no reports; undefined: of one of which nothing is known. */
  siteBudgetNs(prior: GlobalPrior, site: LearnedSite | undefined, staticDefaultNs: number, now: number): number {
    this.begin(staticDefaultNs);
    this.shrink(prior.cells, 0, now);
    if (site !== undefined) this.shrink(site.cells, site.at, now);
    return this.budgetNs(prior.shape, site, staticDefaultNs, now);
  }

  /**
   * How long to wait for an answer, in ns. Floor and ceiling bound what was learned, not the default.
   *
   *     budget = widened · 2^max(0, timeouts − 1) · max(mean + 4 · deviation, tail)
   *
   * The tail is the site's own, times `tailScale`, w = n / (n + tailSamples), and for the rest the blended mean times `shape`, the
   * slowest over the mean of all sites. Source: RFC 6298 §2.3 for the first term; the second because mean + 4 × deviation
   * is exceeded by one round trip in fifty where they are lognormal (docs/lab/deadlines).
   */
  budgetNs(shape: number, site: LearnedSite | undefined, staticDefaultNs: number, now: number): number {
    const { minDeviationNs, budgetFloorNs, budgetCeilingNs, widening, backsOff, halfLifeNs, tailSamples } = this.#options;
    let budgetNs = Math.max(this.meanNs + 4 * this.#deviationNs, this.meanNs * shape);
    const samples = site === undefined ? 0 : site.tailSize;
    if (site !== undefined && samples > 0) {
      const { lastUpdatedAt } = site;
      const size = lastUpdatedAt === 0 ? samples : samples * fade(now - lastUpdatedAt, halfLifeNs);
      budgetNs = (size * (site.tailNs * this.tailScale) + tailSamples * budgetNs) / (size + tailSamples);
    }
    const leastNs = this.meanNs + 4 * minDeviationNs;
    if (leastNs > budgetNs && this.#unlearned < 1) budgetNs = leastNs;
    const timeouts = site === undefined || !backsOff ? 0 : site.timeouts;
    if (timeouts <= 1 && this.#unlearned === 1) return staticDefaultNs;
    if (site !== undefined) budgetNs *= 1 + (widening * site.widening) / WIDENING_ONE;
    if (timeouts > 1) budgetNs *= powerOfTwo(timeouts - 1);
    return Math.floor(Math.min(Math.max(budgetNs, budgetFloorNs), budgetCeilingNs));
  }
}
