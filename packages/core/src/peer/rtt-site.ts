import { assert } from "../base/assert.ts";
import type { ChainId, SiteId } from "../base/ids.ts";
import { readList, readObject, readQuantity, readText } from "./quantity.ts";
import { setRecent } from "./recent-map.ts";
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
  /** Last round trip in awake time, 0 = never. */
  readonly lastUpdatedAt: number;
}

const PART = "site";
const HOP_MAX = 255;

/** What RttTracker holds of one site. Edges and reports are ordered by recency and bounded by `maxPerSite`. */
export class RttSite<S extends string = SiteId> {
  readonly #options: RttTrackerOptions<S>;
  readonly #edges = new Map<ChainId, Map<number, RttEma>>();
  readonly #reports = new Map<string, ReportData<S>>();
  #aggregate = new RttEma();
  lastUpdatedAt = 0;

  constructor(options: RttTrackerOptions<S>) {
    this.#options = options;
  }

  /** Throws SNAPSHOT_INVALID. */
  static restore<S extends string>(data: SiteData<S>, options: RttTrackerOptions<S>): RttSite<S> {
    const { aggregate, edges, reports, lastUpdatedAt } = readObject(PART, data);
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
    return site;
  }

  get aggregate(): RttEma {
    return this.#aggregate;
  }

  edge(chain: Chain): RttEma | undefined {
    return this.#edges.get(chain.chainId)?.get(chain.hopIndex);
  }

  observeEdge(chain: Chain, elapsedNs: number): void {
    assert(Number.isInteger(chain.hopIndex) && chain.hopIndex >= 0 && chain.hopIndex <= HOP_MAX, "a hop is 0 … 255");
    const hops = this.#hopsOf(chain.chainId);
    let ema = hops.get(chain.hopIndex);
    if (ema === undefined) hops.set(chain.hopIndex, (ema = new RttEma()));
    ema.observe(elapsedNs);
  }

  replaceReport(report: ReportData<S>): void {
    setRecent(this.#reports, reportKey(report.nextHop, report.chainId), report, this.#options.maxPerSite);
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
      lastUpdatedAt: this.lastUpdatedAt,
    };
  }

  #hopsOf(chainId: ChainId): Map<number, RttEma> {
    const hops = this.#edges.get(chainId) ?? new Map<number, RttEma>();
    setRecent(this.#edges, chainId, hops, this.#options.maxPerSite);
    return hops;
  }
}

/** A chain id contains no space, so no two reports share a key. */
function reportKey(nextHop: string, chainId: ChainId): string {
  return `${nextHop} ${chainId}`;
}
