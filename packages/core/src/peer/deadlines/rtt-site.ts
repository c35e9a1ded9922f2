import { assert } from "../../base/assert.ts";
import type { ChainId, SiteId } from "../../base/ids.ts";
import { powerOfTwo, readList, readObject, readQuantity, readText } from "../quantity.ts";
import { NumberRows } from "../number-rows.ts";
import { setRecent } from "../recent-map.ts";
import { RoundTripTail, TAIL_WORDS } from "./round-trip-tail.ts";
import { ALPHA, BETA, EMA_CELLS, EMA_UPDATED_AT, learnAt, RttEma } from "./rtt-ema.ts";
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

/** A site's row of numbers: the estimates of all its round trips and of one edge, then these, then the tail. */
const AGGREGATE = 0;
const FIRST_EDGE = EMA_CELLS;
/** What the tail says, in ns; −1 = it has to be reckoned anew. */
const TAIL_NS = 2 * EMA_CELLS;
const TIMEOUTS = TAIL_NS + 1;
/** When the last one was counted. */
const TIMED_OUT_AT = TAIL_NS + 2;
const WIDENING = TAIL_NS + 3;
/** The share of attempts that were given up unanswered, of the last 64 or so. */
const CENSORED_SHARE = TAIL_NS + 4;
/** Imputed samples that the tail has not been told of, as they are shares of one. */
const IMPUTED = TAIL_NS + 5;
/** The budget last reckoned, with what for and when; 0 = it has to be reckoned anew. */
const BUDGET_NS = TAIL_NS + 6;
const BUDGET_AT = TAIL_NS + 7;
const BUDGET_DEFAULT_NS = TAIL_NS + 8;
const UPDATED_AT = TAIL_NS + 9;
const TAIL = TAIL_NS + 10;

/** One estimate with its place among others. */
interface Edge extends Chain {
  readonly cells: Float64Array;
  readonly at: number;
  /** Another hop of the same chain. */
  readonly next: Edge | undefined;
}

/** What of a watch tells who is in it; `version` changes with each who comes or goes. */
interface Memberships<S> {
  readonly version: number;
  has(site: S): boolean;
}

/** What the sites of one tracker share: rows, and views that look at one site after the other. */
export class SiteRows {
  readonly rows: NumberRows;
  readonly ema = new RttEma();
  readonly tail = new RoundTripTail();

  constructor(tails: boolean) {
    this.rows = new NumberRows(TAIL + (tails ? TAIL_WORDS / 4 : 0));
  }
}

/**
 * What RttTracker holds of one site. Edges and reports are ordered by recency and bounded by `maxPerSite`.
 *
 * Invariant RS1: a view of `SiteRows` is moved before each use, and nobody keeps one.
 */
export class RttSite<S extends string = SiteId> {
  readonly #options: RttTrackerOptions<S>;
  readonly #shared: SiteRows;
  readonly #row: number;
  readonly #cells: Float64Array;
  readonly #at: number;
  readonly #words: Uint16Array;
  /** The edge last observed or asked for. */
  #recent: Edge | undefined;
  /** The last hop of each chain; made with the second chain. Until then `#only` is all there is. */
  #edges: Map<ChainId, Edge> | undefined;
  #only: Edge | undefined;
  #reports: Map<string, ReportData<S>> | undefined;
  /** The slowest edge reported behind this site, by chain. */
  #behind: Map<ChainId, ReportData<S>> | undefined;
  #budgetChain: ChainId | undefined;
  #budgetHop = 0;
  #isHeld = true;
  #isWatched = false;
  #watchVersion = -1;

  constructor(options: RttTrackerOptions<S>, shared: SiteRows) {
    this.#options = options;
    this.#shared = shared;
    this.#row = shared.rows.take();
    this.#cells = shared.rows.cells(this.#row);
    this.#words = shared.rows.words(this.#row);
    this.#at = shared.rows.at(this.#row);
    this.#cells[this.#at + TAIL_NS] = -1;
  }

  /** Throws SNAPSHOT_INVALID. */
  static restore<S extends string>(data: SiteData<S>, options: RttTrackerOptions<S>, shared: SiteRows): RttSite<S> {
    const site = new RttSite<S>(options, shared);
    try {
      site.#restore(data);
    } catch (error) {
      site.drop();
      throw error;
    }
    return site;
  }

  /** The tracker dropped it, and another site may have its row: nothing may be asked of it any more. */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  drop(): void {
    assert(this.#isHeld, "a site is dropped once");
    this.#isHeld = false;
    this.#shared.rows.giveBack(this.#row);
  }

  /** Whether the site is watched too: asked anew when others have come or gone only. */
  isWatchedBy(watch: Memberships<S>, site: S | { readonly site: S }): boolean {
    if (this.#watchVersion !== watch.version) {
      this.#isWatched = watch.has(typeof site === "string" ? site : site.site);
      this.#watchVersion = watch.version;
    }
    return this.#isWatched;
  }

  /** A view of the estimate of all round trips (RS1). */
  get aggregate(): RttEma {
    return this.#shared.ema.over(this.#cells, this.#at + AGGREGATE);
  }

  /** Last round trip in awake time, 0 = never. */
  get lastUpdatedAt(): number {
    return this.#cells[this.#at + UPDATED_AT] as number;
  }

  /** Samples in the tail. */
  get tailSize(): number {
    return this.#options.tails ? this.#tail.size : 0;
  }

  /** The time in ns that one round trip in some thousand exceeds; 0 without a sample. */
  get tailNs(): number {
    if (!this.#options.tails) return 0;
    let tailNs = this.#cells[this.#at + TAIL_NS] as number;
    if (tailNs < 0) tailNs = this.#cells[this.#at + TAIL_NS] = this.#tail.valueNs();
    return tailNs;
  }

  /** A view of the estimate of one edge (RS1). */
  edge(chain: Chain): RttEma | undefined {
    const edge = this.#findEdge(chain);
    return edge && this.#shared.ema.over(edge.cells, edge.at);
  }

  /** What the site's neighbours told lies behind it on this chain: the slowest of its edges. */
  behind(chainId: ChainId): ReportData<S> | undefined {
    return this.#behind?.get(chainId);
  }

  /** Timeouts since something last answered. */
  get timeouts(): number {
    return this.#cells[this.#at + TIMEOUTS] as number;
  }

  /** What spurious timeouts widen the budget by, in 1/1024 of what one adds. */
  get widening(): number {
    return this.#cells[this.#at + WIDENING] as number;
  }

  /** The budget that was kept, or 0. Until the site itself learns more it holds for a moment, whatever its parents learn. */
  keptBudgetNs(chain: Chain | undefined, staticDefaultNs: number, now: number): number {
    const cells = this.#cells;
    const at = this.#at;
    const budgetNs = cells[at + BUDGET_NS] as number;
    if (budgetNs === 0 || this.#budgetChain !== chain?.chainId || cells[at + BUDGET_DEFAULT_NS] !== staticDefaultNs) return 0;
    if (chain !== undefined && this.#budgetHop !== chain.hopIndex) return 0;
    const age = now - (cells[at + BUDGET_AT] as number);
    return age >= 0 && age <= this.#options.halfLifeNs / KEPT_PART ? budgetNs : 0;
  }

  /** Keeps a budget if site and edge have so many samples that their parents hardly weigh. */
  keepBudget(chain: Chain | undefined, staticDefaultNs: number, now: number, budgetNs: number): void {
    if (this.aggregate.sampleCount < KEPT_SAMPLES) return;
    if (chain !== undefined && (this.edge(chain)?.sampleCount ?? 0) < KEPT_SAMPLES) return;
    this.#cells[this.#at + BUDGET_NS] = budgetNs;
    this.#cells[this.#at + BUDGET_AT] = now;
    this.#cells[this.#at + BUDGET_DEFAULT_NS] = staticDefaultNs;
    this.#budgetChain = chain?.chainId;
    this.#budgetHop = chain?.hopIndex ?? 0;
  }

  /** One measured round trip; a quantity. */
  observe(chain: Chain | undefined, elapsedNs: number, now: number): void {
    const cells = this.#cells;
    const at = this.#at;
    cells[at + BUDGET_NS] = 0;
    this.#learn(cells, at + AGGREGATE, elapsedNs, now);
    cells[at + TIMEOUTS] = 0;
    const widening = cells[at + WIDENING] as number;
    if (widening > 0) cells[at + WIDENING] = widening - (widening < 64 ? 1 : widening >> 6);
    cells[at + CENSORED_SHARE] = (cells[at + CENSORED_SHARE] as number) - (cells[at + CENSORED_SHARE] as number) / 64;
    if (this.#options.tails) {
      const tail = this.#tail;
      this.#fadeTail(tail, now);
      if (tail.learn(elapsedNs)) {
        this.aggregate.relearn(elapsedNs);
        if (chain !== undefined) this.edge(chain)?.relearn(elapsedNs);
      }
      cells[at + TAIL_NS] = -1;
    }
    cells[at + UPDATED_AT] = now;
    if (chain === undefined) return;
    const edge = this.#edgeOf(chain);
    this.#learn(edge.cells, edge.at, elapsedNs, now);
  }

  /**
   * An attempt that was given up after this time: at least so long. What share of such attempts would have been answered
   * is reckoned from the tail, and so is how late; the others were lost, and say nothing of how long an answer takes.
   */
  observeCensored(chain: Chain | undefined, atLeastNs: number): void {
    const cells = this.#cells;
    const at = this.#at;
    cells[at + BUDGET_NS] = 0;
    cells[at + CENSORED_SHARE] = (cells[at + CENSORED_SHARE] as number) + (1 - (cells[at + CENSORED_SHARE] as number)) / 64;
    if (this.tailSize === 0) return;
    const tail = this.#tail;
    const share = Math.min(1, tail.shareAbove(atLeastNs) / (cells[at + CENSORED_SHARE] as number));
    const imputedNs = tail.meanAboveNs(atLeastNs);
    this.aggregate.observeImputed(imputedNs, share);
    if (chain !== undefined) this.edge(chain)?.observeImputed(imputedNs, share);
    const imputed = (cells[at + IMPUTED] as number) + share;
    cells[at + IMPUTED] = imputed < 1 ? imputed : imputed - 1;
    if (imputed < 1) return;
    tail.observeAbove(atLeastNs);
    cells[at + TAIL_NS] = -1;
  }

  /** The budget of an attempt ran out. Those that ran beside one another are one step. */
  observeTimeout(armedAt: number, now: number): void {
    if (armedAt < (this.#cells[this.#at + TIMED_OUT_AT] as number)) return;
    this.#cells[this.#at + BUDGET_NS] = 0;
    this.#cells[this.#at + TIMED_OUT_AT] = now;
    if (this.timeouts < TIMEOUTS_MAX) this.#cells[this.#at + TIMEOUTS] = this.timeouts + 1;
  }

  /** Something answered, whether it makes a sample or not. */
  observeAnswer(): void {
    this.#cells[this.#at + BUDGET_NS] = 0;
    this.#cells[this.#at + TIMEOUTS] = 0;
  }

  /** What had run out of its budget was answered. */
  observeLateReply(): void {
    this.observeAnswer();
    this.#cells[this.#at + WIDENING] = Math.min(WIDENING_MAX, this.widening + WIDENING_ONE);
  }

  /**
   * What was learned before a restart counts for less, the longer it took; never for more than an estimate remembers,
   * and never without widening the budget a little.
   */
  discount(asleepNs: number): void {
    this.#cells[this.#at + BUDGET_NS] = 0;
    this.#cells[this.#at + WIDENING] = Math.max(this.widening, WIDENING_ONE);
    const samples = rememberedSamples(asleepNs, this.#options.halfLifeNs);
    this.aggregate.discount(samples);
    for (const { cells, at } of this.#everyEdge()) this.#shared.ema.over(cells, at).discount(samples);
    if (this.tailSize === 0) return;
    const tail = this.#tail;
    for (let halves = Math.floor(asleepNs / this.#options.halfLifeNs); halves >= 0 && tail.size > 0; halves--) tail.halve();
    this.#cells[this.#at + TAIL_NS] = -1;
  }

  replaceReport(report: ReportData<S>): void {
    const { nextHop, chainId } = report;
    const reports = (this.#reports ??= new Map<string, ReportData<S>>());
    const allBehind = (this.#behind ??= new Map<ChainId, ReportData<S>>());
    setRecent(reports, reportKey(nextHop, chainId), report, this.#options.maxPerSite);
    const slowest = allBehind.get(chainId);
    if (slowest !== undefined && slowest.nextHop !== nextHop && slowest.srttNs > report.srttNs) return;
    let behind = report;
    if (slowest !== undefined && report.srttNs < slowest.srttNs) {
      for (const other of reports.values()) if (other.chainId === chainId && other.srttNs > behind.srttNs) behind = other;
    }
    setRecent(allBehind, chainId, behind, this.#options.maxPerSite);
  }

  report(nextHop: S, chainId: ChainId): ReportData<S> | undefined {
    return this.#reports?.get(reportKey(nextHop, chainId));
  }

  capture(): SiteData<S> {
    const edges = Array.from(this.#everyEdge(), ({ chainId, hopIndex, cells, at }) => ({ chainId, hopIndex, ...this.#shared.ema.over(cells, at).state() }));
    return {
      aggregate: this.aggregate.state(),
      edges,
      reports: [...(this.#reports?.values() ?? [])],
      tail: this.#options.tails ? this.#tail.state() : [],
      timeouts: this.timeouts,
      widening: this.widening,
      lastUpdatedAt: this.lastUpdatedAt,
    };
  }

  #restore(data: SiteData<S>): void {
    const { aggregate, edges, reports, tail, timeouts, widening, lastUpdatedAt } = readObject(PART, data);
    const cells = this.#cells;
    const at = this.#at;
    const updatedAt = readQuantity(PART, "lastUpdatedAt", lastUpdatedAt);
    cells[at + UPDATED_AT] = updatedAt;
    this.aggregate.set(aggregate).updatedAt = updatedAt;
    for (const edge of readList(PART, "edges", edges)) {
      const { chainId, hopIndex } = readObject("edge", edge);
      const restored = this.#edgeOf({ chainId: readText<ChainId>("edge", "chainId", chainId), hopIndex: readQuantity("edge", "hopIndex", hopIndex, HOP_MAX) });
      this.#shared.ema.over(restored.cells, restored.at).set(edge).updatedAt = updatedAt;
    }
    for (const report of readList(PART, "reports", reports)) {
      const nextHop = readText<S>("report", "nextHop", readObject("report", report).nextHop);
      const chainId = readText<ChainId>("report", "chainId", report.chainId);
      this.replaceReport({ nextHop, chainId, ...RttEma.restore(report).state() });
    }
    if (readList(PART, "tail", tail).length > 0) {
      const read = RoundTripTail.restore(tail);
      if (this.#options.tails) this.#tail.set(read.state());
    }
    cells[at + TIMEOUTS] = readQuantity(PART, "timeouts", timeouts, TIMEOUTS_MAX);
    cells[at + WIDENING] = readQuantity(PART, "widening", widening, WIDENING_MAX);
  }

  /** A view of the tail (RS1). */
  get #tail(): RoundTripTail {
    return this.#shared.tail.over(this.#words, 4 * (this.#at + TAIL));
  }

  #learn(cells: Float64Array, at: number, elapsedNs: number, now: number): void {
    const updatedAt = cells[at + EMA_UPDATED_AT] as number;
    if (updatedAt > 0 && now - updatedAt >= this.#options.halfLifeNs / 8) refresh(this.#shared.ema.over(cells, at), now, this.#options.halfLifeNs);
    cells[at + EMA_UPDATED_AT] = now;
    learnAt(cells, at, elapsedNs, ALPHA, BETA);
  }

  #fadeTail(tail: RoundTripTail, now: number): void {
    const { lastUpdatedAt } = this;
    if (lastUpdatedAt === 0 || now - lastUpdatedAt < this.#options.halfLifeNs) return;
    for (let halves = Math.floor((now - lastUpdatedAt) / this.#options.halfLifeNs); halves > 0 && tail.size > 0; halves--) tail.halve();
  }

  // ── edges ──

  #findEdge({ chainId, hopIndex }: Chain): Edge | undefined {
    const recent = this.#recent;
    if (recent !== undefined && recent.chainId === chainId && recent.hopIndex === hopIndex) return recent;
    let edge = this.#edges === undefined ? this.#only : this.#edges.get(chainId);
    if (edge?.chainId !== chainId) return undefined;
    while (edge !== undefined && edge.hopIndex !== hopIndex) edge = edge.next;
    return edge;
  }

  /** The edge, which is made if need be, and its chain the most recent one. */
  #edgeOf(chain: Chain): Edge {
    const { chainId, hopIndex } = chain;
    const recent = this.#recent;
    if (recent !== undefined && recent.chainId === chainId && recent.hopIndex === hopIndex) return recent;
    assert(Number.isInteger(hopIndex) && hopIndex >= 0 && hopIndex <= HOP_MAX, "a hop is 0 … 255");
    let edge = this.#findEdge(chain);
    let head = this.#edges === undefined ? this.#only : this.#edges.get(chainId);
    if (head?.chainId !== chainId) head = undefined;
    if (edge === undefined) {
      const isFirst = this.#only === undefined;
      edge = head = { chainId, hopIndex, cells: isFirst ? this.#cells : new Float64Array(EMA_CELLS), at: isFirst ? this.#at + FIRST_EDGE : 0, next: head };
    }
    this.#setRecent(chainId, head ?? edge);
    return (this.#recent = edge);
  }

  #setRecent(chainId: ChainId, head: Edge): void {
    if (this.#edges === undefined && (this.#only === undefined || this.#only.chainId === chainId)) {
      this.#only = head;
      return;
    }
    this.#edges ??= new Map([[this.#only!.chainId, this.#only!]]);
    setRecent(this.#edges, chainId, head, this.#options.maxPerSite);
  }

  *#everyEdge(): Iterable<Edge> {
    const heads = this.#edges?.values() ?? (this.#only === undefined ? [] : [this.#only]);
    for (const head of heads) {
      const hops: Edge[] = [];
      for (let edge: Edge | undefined = head; edge !== undefined; edge = edge.next) hops.push(edge);
      yield* hops.reverse();
    }
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
