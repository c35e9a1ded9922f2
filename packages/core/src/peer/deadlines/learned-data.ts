import { readList, readObject, readQuantity } from "../read-quantity.ts";
import { discountAt } from "./ema-cells.ts";
import { GlobalPrior } from "./global-prior.ts";
import { rememberedSamples, TIMEOUTS_MAX, WIDENING_MAX, WIDENING_ONE } from "./learned-site.ts";
import type { LearnedSite } from "./learned-site.ts";
import { RoundTripTail } from "./round-trip-tail.ts";
import { RttEma } from "./rtt-ema.ts";
import type { EmaState } from "./rtt-ema.ts";
import { EMA_UPDATED_AT, TAIL_AT, TAIL_WORDS, TIMEOUTS, WIDENING } from "./site-layout.ts";

/** What is learned of one site, as plain data. */
export interface LearnedData {
  readonly aggregate: EmaState;
  /** What RoundTripTail holds: buckets and counts in turn; empty without tails. */
  readonly tail: readonly number[];
  /** Timeouts since something last answered. */
  readonly timeouts: number;
  /** What spurious timeouts widen the budget by, in 1/1024 of what one adds. */
  readonly widening: number;
  /** Last round trip in awake time, 0 = never. */
  readonly lastUpdatedAt: number;
}

/** What all sites have in common, as plain data. */
export interface GlobalPriorData {
  readonly global: EmaState;
  /** Last round trip in awake time, 0 = never. */
  readonly updatedAt: number;
  /** What RoundTripTail holds of all sites. */
  readonly tail: readonly number[];
}

const PART = "site";

export function captureLearned(site: LearnedSite): LearnedData {
  const { cells, words, at, timeouts, widening, lastUpdatedAt } = site;
  const tail = site.learning.tails ? new RoundTripTail(words, 4 * at + TAIL_AT).state() : [];
  return { aggregate: new RttEma(cells, at).state(), tail, timeouts, widening, lastUpdatedAt };
}

/** Takes what is stored over, in place of nothing. Throws SNAPSHOT_INVALID. */
export function restoreLearned(site: LearnedSite, data: LearnedData): void {
  const { aggregate, tail, timeouts, widening, lastUpdatedAt } = readObject(PART, data);
  const { cells, words, at } = site;
  new RttEma(cells, at).set(aggregate).updatedAt = readQuantity(PART, "lastUpdatedAt", lastUpdatedAt);
  if (readList(PART, "tail", tail).length > 0) {
    const read = RoundTripTail.restore(tail);
    if (site.learning.tails) new RoundTripTail(words, 4 * at + TAIL_AT).set(read.state());
  }
  words[4 * at + TIMEOUTS] = readQuantity(PART, "timeouts", timeouts, TIMEOUTS_MAX);
  words[4 * at + WIDENING] = readQuantity(PART, "widening", widening, WIDENING_MAX);
}

/**
 * What was learned before a restart counts for less, the longer it took; never for more than an estimate remembers,
 * and never without widening the budget a little.
 */
export function discountLearned(site: LearnedSite, asleepNs: number): void {
  const { cells, at, learning } = site;
  widenLearned(site);
  discountAt(cells, at, rememberedSamples(asleepNs, learning.halfLifeNs));
  site.fadeTail(Math.floor(asleepNs / learning.halfLifeNs) + 1);
}

/** Widens the site's budget as much as one spurious timeout does, until answers in time have shown that all is as it was. */
export function widenLearned({ words, at, widening }: LearnedSite): void {
  words[4 * at + WIDENING] = Math.max(widening, WIDENING_ONE);
}

export function captureGlobal({ cells, words }: GlobalPrior): GlobalPriorData {
  return { global: new RttEma(cells).state(), updatedAt: cells[EMA_UPDATED_AT] as number, tail: words === undefined ? [] : new RoundTripTail(words).state() };
}

/** Throws SNAPSHOT_INVALID. */
export function restoreGlobal(data: GlobalPriorData): GlobalPrior {
  const { global, updatedAt, tail } = readObject("priors", data);
  const prior = new GlobalPrior();
  new RttEma(prior.cells).set(global).updatedAt = readQuantity("priors", "updatedAt", updatedAt);
  if (readList("priors", "tail", tail).length > 0) {
    prior.words = new Uint16Array(TAIL_WORDS);
    new RoundTripTail(prior.words).set(tail);
  }
  return prior;
}
