import { powerOfTwo } from "../quantity.ts";
import { ALPHA, BETA, discountAt, imputeAt, learnAt, relearnAt } from "./ema-cells.ts";
import { CENSORED_SHARE, COUNT, EMA_UPDATED_AT, IMPUTED, RTTVAR, SRTT, TAIL_AT, TIMED_OUT_AT, TIMEOUTS, WIDENING } from "./site-layout.ts";
import { halveTail, learnTail, meanAboveNs, shareAbove, tailObserveAbove, tailSize, tailValueNs } from "./tail-words.ts";

/** What of RttTrackerOptions says how a site learns. */
export interface SiteLearning {
  /** Age at which an estimate counts for half of what it did, in ns. */
  readonly halfLifeNs: number;
  /** Whether the slowest round trips are learned. */
  readonly tails: boolean;
}

/** One more estimate that hears of what a site hears of: its numbers, from `at` on. */
export interface EstimatePlace {
  readonly cells: Float64Array;
  readonly at: number;
}

/** Beyond this many timeouts in a row every budget is at its ceiling. */
export const TIMEOUTS_MAX = 32;
/** One spurious timeout, and as much as many of them come to. A sample in time takes a 64th away. */
export const WIDENING_ONE = 1024;
export const WIDENING_MAX = 4 * WIDENING_ONE;
/** An estimate has forgotten nearly all that came before so many samples; after a long silence it counts for no more. */
export const MEMORY_SAMPLES = 16;

/**
 * LearnedSite is what is learned of one site: how long it takes to answer, how its slowest answers stray, what ran out of
 * time. It looks at `SITE_CELLS` numbers of somebody's: one view serves many sites, one after the other.
 */
export class LearnedSite {
  readonly learning: SiteLearning;
  cells!: Float64Array;
  words!: Uint16Array;
  at = 0;

  constructor(learning: SiteLearning) {
    this.learning = learning;
  }

  /** Looks at the numbers from `at` on; `words` are the same bytes. */
  over(cells: Float64Array, words: Uint16Array, at: number): this {
    this.cells = cells;
    this.words = words;
    this.at = at;
    return this;
  }

  get srttNs(): number {
    return this.cells[this.at + SRTT] as number;
  }

  get rttvarNs(): number {
    return this.cells[this.at + RTTVAR] as number;
  }

  get sampleCount(): number {
    return this.cells[this.at + COUNT] as number;
  }

  /** Last round trip in awake time, 0 = never. */
  get lastUpdatedAt(): number {
    return this.cells[this.at + EMA_UPDATED_AT] as number;
  }

  /** Samples in the tail. */
  get tailSize(): number {
    return tailSize(this.words, 4 * this.at + TAIL_AT);
  }

  /** The time in ns that one round trip in some thousand exceeds; 0 without a sample. */
  get tailNs(): number {
    return tailValueNs(this.words, 4 * this.at + TAIL_AT);
  }

  /** The share of round trips that took longer, as counted. */
  shareAbove(ns: number): number {
    return shareAbove(this.words, 4 * this.at + TAIL_AT, ns);
  }

  /** Timeouts since something last answered. */
  get timeouts(): number {
    return this.words[4 * this.at + TIMEOUTS] as number;
  }

  /** What spurious timeouts widen the budget by, in 1/1024 of what one adds. */
  get widening(): number {
    return this.words[4 * this.at + WIDENING] as number;
  }

  /** One measured round trip; a quantity. True if round trips have plainly become shorter, and what was known before is forgotten. */
  observe(elapsedNs: number, now: number): boolean {
    const { cells, words, at } = this;
    const { halfLifeNs, tails } = this.learning;
    const lastAt = this.lastUpdatedAt;
    learnAged(cells, at, elapsedNs, now, this.learning);
    words[4 * at + TIMEOUTS] = 0;
    const { widening } = this;
    if (widening > 0) words[4 * at + WIDENING] = widening - (widening < 64 ? 1 : widening >> 6);
    cells[at + CENSORED_SHARE] = (cells[at + CENSORED_SHARE] as number) - (cells[at + CENSORED_SHARE] as number) / 64;
    if (!tails) return false;
    if (lastAt > 0 && now - lastAt >= halfLifeNs) this.fadeTail(Math.floor((now - lastAt) / halfLifeNs));
    if (!learnTail(words, 4 * at + TAIL_AT, elapsedNs)) return false;
    relearnAt(cells, at, elapsedNs);
    return true;
  }

  /**
   * An attempt that was given up after this time: at least so long. What share of such attempts would have been answered
   * is reckoned from the tail, and so is how late; the others were lost, and say nothing of how long an answer takes.
   */
  observeCensored(atLeastNs: number, edge?: EstimatePlace): void {
    const { cells, words, at } = this;
    const tail = 4 * at + TAIL_AT;
    const censored = (cells[at + CENSORED_SHARE] as number) + (1 - (cells[at + CENSORED_SHARE] as number)) / 64;
    cells[at + CENSORED_SHARE] = censored;
    if (this.tailSize === 0) return;
    const share = Math.min(1, shareAbove(words, tail, atLeastNs) / censored);
    const imputedNs = meanAboveNs(words, tail, atLeastNs);
    imputeAt(cells, at, imputedNs, share);
    if (edge !== undefined) imputeAt(edge.cells, edge.at, imputedNs, share);
    const imputed = (cells[at + IMPUTED] as number) + share;
    cells[at + IMPUTED] = imputed < 1 ? imputed : imputed - 1;
    if (imputed >= 1) tailObserveAbove(words, tail, atLeastNs);
  }

  /** The budget of an attempt ran out. Those that ran beside one another are one step: true if this one is. */
  observeTimeout(armedAt: number, now: number): boolean {
    const { cells, words, at } = this;
    if (armedAt < (cells[at + TIMED_OUT_AT] as number)) return false;
    cells[at + TIMED_OUT_AT] = now;
    words[4 * at + TIMEOUTS] = Math.min(TIMEOUTS_MAX, this.timeouts + 1);
    return true;
  }

  /** Something answered, whether it makes a sample or not. */
  observeAnswer(): void {
    this.words[4 * this.at + TIMEOUTS] = 0;
  }

  /** What had run out of its budget was answered. */
  observeLateReply(): void {
    this.observeAnswer();
    this.words[4 * this.at + WIDENING] = Math.min(WIDENING_MAX, this.widening + WIDENING_ONE);
  }

  /** Makes the tail count half, so many times. */
  fadeTail(times: number): void {
    for (; times > 0 && this.tailSize > 0; times--) halveTail(this.words, 4 * this.at + TAIL_AT);
  }
}

/** A sample, of an estimate that ages: after a long silence it begins to learn again, and what was known counts for what it still weighs. */
export function learnAged(cells: Float64Array, at: number, elapsedNs: number, now: number, { halfLifeNs }: SiteLearning, alpha = ALPHA, beta = BETA): void {
  const updatedAt = cells[at + EMA_UPDATED_AT] as number;
  if (updatedAt > 0 && now - updatedAt >= halfLifeNs / 8) discountAt(cells, at, rememberedSamples(now - updatedAt, halfLifeNs));
  cells[at + EMA_UPDATED_AT] = now;
  learnAt(cells, at, elapsedNs, alpha, beta);
}

/** Samples that still count after so long. */
export function rememberedSamples(asleepNs: number, halfLifeNs: number): number {
  return MEMORY_SAMPLES * fade(asleepNs, halfLifeNs);
}

/** What is left of a weight at an age: 1, ½ at the half-life, ¼ at twice that, straight lines in between. */
export function fade(ageNs: number, halfLifeNs: number): number {
  if (ageNs <= 0) return 1;
  const halves = ageNs / halfLifeNs;
  if (halves < 1) return 1 - halves / 2;
  const whole = Math.floor(halves);
  return (1 - (halves - whole) / 2) / powerOfTwo(whole);
}
