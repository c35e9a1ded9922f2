import { assert } from "../../base/assert.ts";
import type { ChainId, SiteId } from "../../base/ids.ts";
import { readList, readObject, readQuantity, readText } from "../read-quantity.ts";
import { NumberRows } from "../number-rows.ts";
import { setRecent } from "../recent-map.ts";
import { relearnAt } from "./ema-cells.ts";
import { captureLearned, discountLearned, restoreLearned } from "./learned-data.ts";
import type { LearnedData } from "./learned-data.ts";
import { learnAged, LearnedSite, rememberedSamples } from "./learned-site.ts";
import type { EstimatePlace } from "./learned-site.ts";
import { RttEma } from "./rtt-ema.ts";
import type { EmaState } from "./rtt-ema.ts";
import type { RttTrackerOptions } from "./rtt-options.ts";
import { EMA_CELLS, SITE_CELLS, SITE_CELLS_WITHOUT_TAIL } from "./site-layout.ts";

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
export interface SiteData<S extends string = SiteId> extends LearnedData {
  readonly edges: readonly EdgeData[];
  readonly reports: readonly ReportData<S>[];
}

const PART = "site";
const HOP_MAX = 255;
/** From so many samples on a budget is kept until the next one, for this part of a half-life at most. */
const KEPT_SAMPLES = 64;
const KEPT_PART = 512;

/** What a site's row has before the numbers of LearnedSite: the estimate of one edge, then these. */
const OWN_CELLS = EMA_CELLS + 3;
const FIRST_EDGE = -OWN_CELLS;
/** The budget last reckoned, with what for and when; 0 = it has to be reckoned anew. */
const BUDGET_NS = -3;
const BUDGET_AT = -2;
const BUDGET_DEFAULT_NS = -1;

/** One estimate with its place among others. */
interface Edge extends Chain, EstimatePlace {
  /** Another hop of the same chain. */
  readonly next: Edge | undefined;
}

/** What of a watch tells who is in it; `version` changes with each who comes or goes. */
interface Memberships<S> {
  readonly version: number;
  has(site: S): boolean;
}

/** What the sites of one tracker share: rows, and a view that looks at one estimate after the other. */
export class SiteRows {
  readonly rows: NumberRows;
  readonly ema = new RttEma();

  constructor(tails: boolean) {
    this.rows = new NumberRows(OWN_CELLS + (tails ? SITE_CELLS : SITE_CELLS_WITHOUT_TAIL));
  }
}

/**
 * What RttTracker holds of one site. Edges and reports are ordered by recency and bounded by `maxPerSite`.
 *
 * Invariant RS1: a view of `SiteRows` is moved before each use, and nobody keeps one.
 */
export class RttSite<S extends string = SiteId> extends LearnedSite {
  readonly #options: RttTrackerOptions<S>;
  readonly #shared: SiteRows;
  readonly #row: number;
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
    super(options);
    this.#options = options;
    this.#shared = shared;
    this.#row = shared.rows.take();
    this.over(shared.rows.cells(this.#row), shared.rows.words(this.#row), shared.rows.at(this.#row) + OWN_CELLS);
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
    return this.#shared.ema.over(this.cells, this.at);
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

  /** The budget that was kept, or 0. Until the site itself learns more it holds for a moment, whatever its parents learn. */
  keptBudgetNs(chain: Chain | undefined, staticDefaultNs: number, now: number): number {
    const { cells, at } = this;
    const budgetNs = cells[at + BUDGET_NS] as number;
    if (budgetNs === 0 || this.#budgetChain !== chain?.chainId || cells[at + BUDGET_DEFAULT_NS] !== staticDefaultNs) return 0;
    if (chain !== undefined && this.#budgetHop !== chain.hopIndex) return 0;
    const age = now - (cells[at + BUDGET_AT] as number);
    return age >= 0 && age <= this.#options.halfLifeNs / KEPT_PART ? budgetNs : 0;
  }

  /** Keeps a budget if site and edge have so many samples that their parents hardly weigh. */
  keepBudget(chain: Chain | undefined, staticDefaultNs: number, now: number, budgetNs: number): void {
    if (this.sampleCount < KEPT_SAMPLES) return;
    if (chain !== undefined && (this.edge(chain)?.sampleCount ?? 0) < KEPT_SAMPLES) return;
    this.cells[this.at + BUDGET_NS] = budgetNs;
    this.cells[this.at + BUDGET_AT] = now;
    this.cells[this.at + BUDGET_DEFAULT_NS] = staticDefaultNs;
    this.#budgetChain = chain?.chainId;
    this.#budgetHop = chain?.hopIndex ?? 0;
  }

  /** One measured round trip; a quantity. */
  observeRoundTrip(chain: Chain | undefined, elapsedNs: number, now: number): void {
    this.#forgetBudget();
    const forgets = this.observe(elapsedNs, now);
    if (chain === undefined) return;
    const known = forgets ? this.#findEdge(chain) : undefined;
    if (known !== undefined) relearnAt(known.cells, known.at, elapsedNs);
    const edge = this.#edgeOf(chain);
    learnAged(edge.cells, edge.at, elapsedNs, now, this.#options);
  }

  /** An attempt that was given up after this time: at least so long. */
  observeGivenUp(chain: Chain | undefined, atLeastNs: number): void {
    this.#forgetBudget();
    this.observeCensored(atLeastNs, chain && this.#findEdge(chain));
  }

  override observeTimeout(armedAt: number, now: number): boolean {
    const isCounted = super.observeTimeout(armedAt, now);
    if (isCounted) this.#forgetBudget();
    return isCounted;
  }

  override observeAnswer(): void {
    this.#forgetBudget();
    super.observeAnswer();
  }

  discount(asleepNs: number): void {
    this.#forgetBudget();
    discountLearned(this, asleepNs);
    const samples = rememberedSamples(asleepNs, this.#options.halfLifeNs);
    for (const { cells, at } of this.#everyEdge()) this.#shared.ema.over(cells, at).discount(samples);
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
    return { ...captureLearned(this), edges, reports: [...(this.#reports?.values() ?? [])] };
  }

  #restore(data: SiteData<S>): void {
    restoreLearned(this, data);
    const { edges, reports, lastUpdatedAt } = data;
    for (const edge of readList(PART, "edges", edges)) {
      const { chainId, hopIndex } = readObject("edge", edge);
      const restored = this.#edgeOf({ chainId: readText<ChainId>("edge", "chainId", chainId), hopIndex: readQuantity("edge", "hopIndex", hopIndex, HOP_MAX) });
      this.#shared.ema.over(restored.cells, restored.at).set(edge).updatedAt = lastUpdatedAt;
    }
    for (const report of readList(PART, "reports", reports)) {
      const nextHop = readText<S>("report", "nextHop", readObject("report", report).nextHop);
      const chainId = readText<ChainId>("report", "chainId", report.chainId);
      this.replaceReport({ nextHop, chainId, ...RttEma.restore(report).state() });
    }
  }

  #forgetBudget(): void {
    this.cells[this.at + BUDGET_NS] = 0;
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
      edge = head = { chainId, hopIndex, cells: isFirst ? this.cells : new Float64Array(EMA_CELLS), at: isFirst ? this.at + FIRST_EDGE : 0, next: head };
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

/** A chain id contains no space, so no two reports share a key. */
function reportKey(nextHop: string, chainId: ChainId): string {
  return `${nextHop} ${chainId}`;
}
