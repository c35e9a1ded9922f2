import { assert } from "../base/assert.ts";
import type { ChainId, SiteId } from "../base/ids.ts";
import { elapsedNs } from "../base/time.ts";
import { powerOfTwo, readList, readObject, readQuantity, readText } from "./quantity.ts";
import { setRecent } from "./recent-map.ts";
import { RoundTripTail } from "./round-trip-tail.ts";
import { RttEma } from "./rtt-ema.ts";
import type { EmaState } from "./rtt-ema.ts";
import type { RttTrackerOptions } from "./rtt-options.ts";

/** One hop of a chain: a multi-hop path, named by its target list. `hopIndex` is 0 … 255. */
export interface Chain {
  readonly chainId: ChainId;
  readonly hopIndex: number;
}

export interface EdgeData extends Chain, EmaState {}

/** What a site told about one of its own outgoing edges. */
export interface ReportData<S extends string = SiteId> extends EmaState {
  readonly nextHop: S;
  readonly chainId: ChainId;
}

/** All of one site, as plain data. Lists run from the least to the most recent. */
export interface SiteData<S extends string = SiteId> {
  readonly aggregate: EmaState;
  readonly edges: readonly EdgeData[];
  readonly reports: readonly ReportData<S>[];
  /** What RoundTripTail holds: buckets and counts in turn; empty without tails. */
  readonly tail: readonly number[];
  /** Timeouts since something last answered. */
  readonly timeouts: number;
  /** What spurious timeouts widen the budget by, in 1/1024 of what one adds. */
  readonly widening: number;
  /** Last round trip in awake time, 0 = never. */
  readonly lastUpdatedAt: number;
}

const PART = "site";
const HOP_MAX = 255;
/** Beyond this many timeouts in a row every budget is at its ceiling. */
const TIMEOUTS_MAX = 32;
/** One spurious timeout, and as much as many of them come to. A sample in time takes a 64th away. */
export const WIDENING_ONE = 1024;
const WIDENING_MAX = 4 * WIDENING_ONE;
/** An estimate has forgotten nearly all that came before so many samples; after a long silence it counts for no more. */
export const MEMORY_SAMPLES = 16;
/** From so many samples on a budget is kept until the next one, for this part of a half-life at most. */
const KEPT_SAMPLES = 64;
const KEPT_PART = 512;

/** What RttTracker holds of one site. Edges and reports are ordered by recency and bounded by `maxPerSite`. */
export class RttSite<S extends string = SiteId> {
  readonly #options: RttTrackerOptions<S>;
  readonly #edges = new Map<ChainId, Map<number, RttEma>>();
  readonly #reports = new Map<string, ReportData<S>>();
  /** The slowest edge reported behind this site, by chain. */
  readonly #behind = new Map<ChainId, ReportData<S>>();
  #aggregate = new RttEma();
  /** The edges last observed, and their chain: the most recent in `#edges`. */
  #recentChain: ChainId | undefined;
  #recentHops: Map<number, RttEma> | undefined;
  tail: RoundTripTail | undefined;
  /** What the tail says, in ns; −1 = it has to be reckoned anew. */
  #tailNs = -1;
  #timeouts = 0;
  /** When the last one was counted. */
  #timedOutAt = 0;
  #widening = 0;
  /** The share of attempts that were given up unanswered, of the last 64 or so. */
  #censoredShare = 0;
  /** Imputed samples that the tail has not been told of, as they are shares of one. */
  #imputed = 0;
  /** The budget last reckoned, with what for and when; 0 = it has to be reckoned anew. */
  #budgetNs = 0;
  #budgetAt = 0;
  #budgetDefaultNs = 0;
  #budgetChain: ChainId | undefined;
  #budgetHop = 0;
  lastUpdatedAt = 0;

  constructor(options: RttTrackerOptions<S>) {
    this.#options = options;
  }

  /** Throws SNAPSHOT_INVALID. */
  static restore<S extends string>(data: SiteData<S>, options: RttTrackerOptions<S>): RttSite<S> {
    const { aggregate, edges, reports, tail, timeouts, widening, lastUpdatedAt } = readObject(PART, data);
    const site = new RttSite<S>(options);
    site.#aggregate = RttEma.restore(aggregate);
    for (const edge of readList(PART, "edges", edges)) {
      const { chainId, hopIndex } = readObject("edge", edge);
      const hop = readQuantity("edge", "hopIndex", hopIndex, HOP_MAX);
      site.#hopsOf(readText<ChainId>("edge", "chainId", chainId)).set(hop, RttEma.restore(edge));
    }
    for (const report of readList(PART, "reports", reports)) {
      const nextHop = readText<S>("report", "nextHop", readObject("report", report).nextHop);
      const chainId = readText<ChainId>("report", "chainId", report.chainId);
      site.replaceReport({ nextHop, chainId, ...RttEma.restore(report).state() });
    }
    site.lastUpdatedAt = readQuantity(PART, "lastUpdatedAt", lastUpdatedAt);
    for (const ema of site.#estimates()) ema.updatedAt = site.lastUpdatedAt;
    if (readList(PART, "tail", tail).length > 0) site.tail = RoundTripTail.restore(tail);
    site.#timeouts = readQuantity(PART, "timeouts", timeouts, TIMEOUTS_MAX);
    site.#widening = readQuantity(PART, "widening", widening, WIDENING_MAX);
    return site;
  }

  get aggregate(): RttEma {
    return this.#aggregate;
  }

  /** The time in ns that one round trip in some thousand exceeds; 0 without a sample. */
  get tailNs(): number {
    if (this.#tailNs < 0) this.#tailNs = this.tail?.valueNs() ?? 0;
    return this.#tailNs;
  }

  edge(chain: Chain): RttEma | undefined {
    return this.#edges.get(chain.chainId)?.get(chain.hopIndex);
  }

  /** What the site's neighbours told lies behind it on this chain: the slowest of its edges. */
  behind(chainId: ChainId): ReportData<S> | undefined {
    return this.#behind.get(chainId);
  }

  /** Timeouts since something last answered. */
  get timeouts(): number {
    return this.#timeouts;
  }

  /** What spurious timeouts widen the budget by, in 1/1024 of what one adds. */
  get widening(): number {
    return this.#widening;
  }

  /** The budget that was kept, or 0. Until the site itself learns more it holds for a moment, whatever its parents learn. */
  keptBudgetNs(chain: Chain | undefined, staticDefaultNs: number, now: number): number {
    if (this.#budgetNs === 0 || this.#budgetChain !== chain?.chainId || this.#budgetDefaultNs !== staticDefaultNs) return 0;
    if (chain !== undefined && this.#budgetHop !== chain.hopIndex) return 0;
    return now >= this.#budgetAt && now - this.#budgetAt <= this.#options.halfLifeNs / KEPT_PART ? this.#budgetNs : 0;
  }

  /** Keeps a budget if site and edge have so many samples that their parents hardly weigh. */
  keepBudget(chain: Chain | undefined, staticDefaultNs: number, now: number, budgetNs: number): void {
    if (this.#aggregate.sampleCount < KEPT_SAMPLES) return;
    if (chain !== undefined && (this.edge(chain)?.sampleCount ?? 0) < KEPT_SAMPLES) return;
    this.#budgetNs = budgetNs;
    this.#budgetAt = now;
    this.#budgetDefaultNs = staticDefaultNs;
    this.#budgetChain = chain?.chainId;
    this.#budgetHop = chain?.hopIndex ?? 0;
  }

  /** One measured round trip. */
  observe(chain: Chain | undefined, elapsedNs: number, now: number): void {
    this.#budgetNs = 0;
    this.#refresh(this.#aggregate, now);
    this.#aggregate.observe(elapsedNs);
    this.#timeouts = 0;
    this.#widening -= this.#widening < 64 ? Math.sign(this.#widening) : this.#widening >> 6;
    this.#censoredShare -= this.#censoredShare / 64;
    if (this.#options.tails) {
      const tail = (this.tail ??= new RoundTripTail());
      this.#fadeTail(tail, now);
      if (tail.observe(elapsedNs)) {
        this.#aggregate.relearn(elapsedNs);
        if (chain !== undefined) this.edge(chain)?.relearn(elapsedNs);
      }
      this.#tailNs = -1;
    }
    this.lastUpdatedAt = now;
    if (chain !== undefined) this.#observeEdge(chain, elapsedNs, now);
  }

  /**
   * An attempt that was given up after this time: at least so long. What share of such attempts would have been answered
   * is reckoned from the tail, and so is how late; the others were lost, and say nothing of how long an answer takes.
   */
  observeCensored(chain: Chain | undefined, atLeastNs: number): void {
    this.#budgetNs = 0;
    this.#censoredShare += (1 - this.#censoredShare) / 64;
    const { tail } = this;
    if (tail === undefined || tail.size === 0) return;
    const share = Math.min(1, tail.shareAbove(atLeastNs) / this.#censoredShare);
    const imputedNs = tail.meanAboveNs(atLeastNs);
    this.#aggregate.observeImputed(imputedNs, share);
    if (chain !== undefined) this.edge(chain)?.observeImputed(imputedNs, share);
    this.#imputed += share;
    if (this.#imputed < 1) return;
    this.#imputed--;
    tail.observeAbove(atLeastNs);
    this.#tailNs = -1;
  }

  /** The budget of an attempt ran out. Those that ran beside one another are one step. */
  observeTimeout(armedAt: number, now: number): void {
    if (armedAt < this.#timedOutAt) return;
    this.#budgetNs = 0;
    this.#timedOutAt = now;
    if (this.#timeouts < TIMEOUTS_MAX) this.#timeouts++;
  }

  /** Something answered, whether it makes a sample or not. */
  observeAnswer(): void {
    this.#budgetNs = 0;
    this.#timeouts = 0;
  }

  /** What had run out of its budget was answered. */
  observeLateReply(): void {
    this.#budgetNs = 0;
    this.#timeouts = 0;
    this.#widening = Math.min(WIDENING_MAX, this.#widening + WIDENING_ONE);
  }

  /**
   * What was learned before a restart counts for less, the longer it took; never for more than an estimate remembers,
   * and never without widening the budget a little.
   */
  discount(asleepNs: number): void {
    this.#budgetNs = 0;
    this.#widening = Math.max(this.#widening, WIDENING_ONE);
    const samples = rememberedSamples(asleepNs, this.#options.halfLifeNs);
    for (const ema of this.#estimates()) ema.discount(samples);
    if (this.tail === undefined) return;
    for (let halves = Math.floor(asleepNs / this.#options.halfLifeNs); halves >= 0 && this.tail.size > 0; halves--) this.tail.halve();
    this.#tailNs = -1;
  }

  replaceReport(report: ReportData<S>): void {
    const { nextHop, chainId } = report;
    setRecent(this.#reports, reportKey(nextHop, chainId), report, this.#options.maxPerSite);
    const slowest = this.#behind.get(chainId);
    if (slowest !== undefined && slowest.nextHop !== nextHop && slowest.srttNs > report.srttNs) return;
    let behind = report;
    if (slowest !== undefined && report.srttNs < slowest.srttNs) {
      for (const other of this.#reports.values()) if (other.chainId === chainId && other.srttNs > behind.srttNs) behind = other;
    }
    setRecent(this.#behind, chainId, behind, this.#options.maxPerSite);
  }

  report(nextHop: S, chainId: ChainId): ReportData<S> | undefined {
    return this.#reports.get(reportKey(nextHop, chainId));
  }

  capture(): SiteData<S> {
    const edges: EdgeData[] = [];
    for (const [chainId, hops] of this.#edges) {
      for (const [hopIndex, ema] of hops) edges.push({ chainId, hopIndex, ...ema.state() });
    }
    return {
      aggregate: this.#aggregate.state(),
      edges,
      reports: [...this.#reports.values()],
      tail: this.tail?.state() ?? [],
      timeouts: this.#timeouts,
      widening: this.#widening,
      lastUpdatedAt: this.lastUpdatedAt,
    };
  }

  *#estimates(): Iterable<RttEma> {
    yield this.#aggregate;
    for (const hops of this.#edges.values()) yield* hops.values();
  }

  #observeEdge(chain: Chain, elapsedNs: number, now: number): void {
    assert(Number.isInteger(chain.hopIndex) && chain.hopIndex >= 0 && chain.hopIndex <= HOP_MAX, "a hop is 0 … 255");
    const hops = this.#hopsOf(chain.chainId);
    let ema = hops.get(chain.hopIndex);
    if (ema === undefined) hops.set(chain.hopIndex, (ema = new RttEma()));
    this.#refresh(ema, now);
    ema.observe(elapsedNs);
  }

  #refresh(ema: RttEma, now: number): void {
    refresh(ema, now, this.#options.halfLifeNs);
  }

  #fadeTail(tail: RoundTripTail, now: number): void {
    const age = this.lastUpdatedAt === 0 ? 0 : elapsedNs(now, this.lastUpdatedAt);
    for (let halves = Math.floor(age / this.#options.halfLifeNs); halves > 0 && tail.size > 0; halves--) tail.halve();
  }

  #hopsOf(chainId: ChainId): Map<number, RttEma> {
    if (this.#recentHops !== undefined && this.#recentChain === chainId) return this.#recentHops;
    const hops = this.#edges.get(chainId) ?? new Map<number, RttEma>();
    setRecent(this.#edges, chainId, hops, this.#options.maxPerSite);
    this.#recentChain = chainId;
    this.#recentHops = hops;
    return hops;
  }
}

/** A sample after a long silence begins to learn again: what was known counts for what it still weighs. */
export function refresh(ema: RttEma, now: number, halfLifeNs: number): void {
  if (ema.updatedAt > 0 && now - ema.updatedAt >= halfLifeNs / 8) ema.discount(MEMORY_SAMPLES * fade(now - ema.updatedAt, halfLifeNs));
  ema.updatedAt = now;
}

/** Samples that count after a restart, `asleepNs` long. */
export function rememberedSamples(asleepNs: number, halfLifeNs: number): number {
  return MEMORY_SAMPLES * fade(asleepNs, halfLifeNs);
}

/** What is left of a weight at an age: 1, ½ at the half-life, ¼ at twice that, straight lines in between. */
export function fade(ageNs: number, halfLifeNs: number): number {
  if (ageNs <= 0) return 1;
  const halves = ageNs / halfLifeNs;
  const whole = Math.floor(halves);
  return (1 - (halves - whole) / 2) / powerOfTwo(whole);
}

/** A chain id contains no space, so no two reports share a key. */
function reportKey(nextHop: string, chainId: ChainId): string {
  return `${nextHop} ${chainId}`;
}
