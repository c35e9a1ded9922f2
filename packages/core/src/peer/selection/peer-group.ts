import { assert } from "../../base/assert.ts";
import type { Random } from "../../base/random.ts";
import { NS_PER_MS } from "../../base/time.ts";
import { type AttemptOutcome, type GroupShares, type OutlierOptions, outlierOptions, RelativeOutliers } from "./relative-outliers.ts";
import type { SiteLoad } from "./site-load.ts";

export interface PeerGroupOptions {
  /** Prefer whom an answer costs least, by peak-EWMA. False: whoever has least in flight. Default true. */
  readonly byLatency: boolean;
  /** Set relative outliers aside. Default true. */
  readonly outliers: boolean;
  /** What is left out is the product's. */
  readonly outlier: Partial<OutlierOptions>;
}

export const PRODUCT_GROUP: PeerGroupOptions = { byLatency: true, outliers: true, outlier: {} };

/** The medians of a group are taken anew when they are so old. */
const MEDIANS_NS = 100 * NS_PER_MS;

/**
 * PeerGroup chooses which member of a group is asked one flow: of two drawn at random, of those that come first, the one
 * that costs less. Two, and not the best of all: whoever looks best to everybody is overrun by everybody. Source:
 * Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (1996).
 *
 * A choice begins with `clear`; then each member is added with its rank, and `pick` answers. Members that may not be
 * asked are added without a rank: they count in the medians. In a steady state nothing is allocated.
 *
 * Invariants:
 *   C1. Who is picked has the least rank of all, and is not aside if another of that rank is not.
 *   C2. The same additions and the same generator give the same choice.
 */
export class PeerGroup<M> implements GroupShares {
  readonly #options: PeerGroupOptions;
  readonly #slowFactor: number;
  /** Requests that must speak about a member for it to count in the medians. */
  readonly #judgedFrom: number;
  readonly #outliers: RelativeOutliers<M>;
  readonly #loadOf: (member: M) => SiteLoad | undefined;
  readonly #busyOf: (member: M) => number;

  /** Everybody added, in the first `#count` places, and whoever comes first so far, in the first `#bestCount`. */
  readonly #members: M[] = [];
  readonly #best: M[] = [];
  #count = 0;
  #bestCount = 0;
  #bestRank = Infinity;
  #eligible = 0;

  #medianAt = -Infinity;
  #latencyNs = 0;
  #sorted = new Float64Array(8);
  /** How many members spoke in the last median. */
  #medianOf = 0;
  judged = 0;
  failureShare = 0;
  slowShare = 0;

  /** `loadOf`: what is known of a member asked this flow; `busyOf`: what it is asked altogether, which decides between equal costs. */
  constructor(loadOf: (member: M) => SiteLoad | undefined, busyOf: (member: M) => number, options: PeerGroupOptions = PRODUCT_GROUP) {
    this.#loadOf = loadOf;
    this.#busyOf = busyOf;
    this.#options = options;
    const { slowFactor, requestsMin } = outlierOptions(options.outlier);
    this.#slowFactor = slowFactor;
    this.#judgedFrom = requestsMin / 2;
    this.#outliers = new RelativeOutliers(options.outlier);
  }

  /** Members that could be asked at the last choice. */
  get size(): number {
    return this.#eligible;
  }

  /** The median latency of the members, in ns; 0: nobody was measured. What a member without samples is taken to need. */
  get latencyNs(): number {
    return this.#latencyNs;
  }

  clear(): void {
    this.#count = this.#bestCount = this.#eligible = 0;
    this.#bestRank = Infinity;
  }

  /** Adds a member; a lesser whole `rank` comes first, undefined: it may not be asked now. */
  add(member: M, rank: number | undefined, now: number): void {
    this.#members[this.#count++] = member;
    if (rank === undefined) return;
    this.#eligible++;
    const band = 2 * rank + (this.#options.outliers && this.#outliers.isAside(member, now) ? 1 : 0);
    if (band > this.#bestRank) return;
    if (band < this.#bestRank) {
      this.#bestRank = band;
      this.#bestCount = 0;
    }
    this.#best[this.#bestCount++] = member;
  }

  /** Whom to ask, or undefined if nobody may be. */
  pick(now: number, random: Random): M | undefined {
    if (now - this.#medianAt >= MEDIANS_NS) this.#takeMedians(now);
    const count = this.#bestCount;
    if (count === 0) return undefined; // C1: the others may not be asked
    if (count === 1) return this.#best[0];
    const first = random.below(count);
    let second = count === 2 ? 1 - first : random.below(count - 1);
    if (count > 2 && second >= first) second++;
    const one = this.#best[first] as M;
    const other = this.#best[second] as M;
    const more = this.cost(other, now) - this.cost(one, now) || this.#busyOf(other) - this.#busyOf(one);
    return more < 0 ? other : one;
  }

  /** What asking the member would cost, in ns; comparable within the group. */
  cost(member: M, now: number): number {
    const latency = this.#loadOf(member)?.latency;
    if (!this.#options.byLatency) return (latency?.inFlight ?? 0) + 1;
    // Before anybody was measured a request counts for 1 ns: whoever has least in flight.
    const priorNs = this.#latencyNs === 0 ? 1 : this.#latencyNs;
    return latency === undefined ? priorNs : latency.costNs(now, priorNs);
  }

  /** What an answer after so many ns says about whoever gave it. */
  outcomeOf(latencyNs: number): AttemptOutcome {
    return this.#latencyNs > 0 && latencyNs > this.#slowFactor * this.#latencyNs ? "slow" : "answered";
  }

  /** Counts what became of an attempt. True if the member is set aside by it. */
  record(member: M, outcome: AttemptOutcome, now: number, random: Random): boolean {
    const window = this.#loadOf(member)?.outcomes;
    assert(window !== undefined, "whoever was asked has a load");
    window.record(outcome, now);
    if (this.#latencyNs === 0) this.#medianAt = -Infinity; // the first that anybody measured counts at once
    if (outcome === "answered" || !this.#options.outliers) return false;
    if (now - this.#medianAt >= MEDIANS_NS) this.#takeMedians(now);
    return this.#outliers.judge(member, window, this, now, () => random.nextFraction());
  }

  /** Until when the member is set aside; undefined: it is not. */
  asideUntil(member: M, now: number): number | undefined {
    return this.#outliers.asideUntil(member, now);
  }

  asideCount(now: number): number {
    return this.#outliers.asideCount(now);
  }

  #takeMedians(now: number): void {
    if (this.#sorted.length < this.#count) this.#sorted = new Float64Array(2 * this.#count);
    const priorNs = this.#latencyNs;
    this.#latencyNs = this.#median((load) => (load.latency.hasSample ? load.latency.learnedNs(now, priorNs) : NaN));
    const isJudged = ({ outcomes }: SiteLoad) => outcomes.requests(now) >= this.#judgedFrom;
    this.failureShare = this.#median((load) => (isJudged(load) ? load.outcomes.failureShare : NaN));
    this.slowShare = this.#median((load) => (isJudged(load) ? load.outcomes.slowShare : NaN));
    this.judged = this.#medianOf;
    this.#medianAt = now;
  }

  /** The lower median over the members for which `of` gives a number; 0 if there is none. */
  #median(of: (load: SiteLoad) => number): number {
    let count = 0;
    for (let at = 0; at < this.#count; at++) {
      const load = this.#loadOf(this.#members[at] as M);
      const value = load === undefined ? NaN : of(load);
      if (!Number.isNaN(value)) this.#sorted[count++] = value;
    }
    this.#medianOf = count;
    if (count === 0) return 0;
    return this.#sorted.subarray(0, count).sort()[(count - 1) >> 1] as number;
  }
}
