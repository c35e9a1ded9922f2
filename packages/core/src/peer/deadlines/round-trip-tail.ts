import { assert } from "../../base/assert.ts";
import { RuntimeError } from "../../base/errors.ts";
import { isQuantity } from "../quantity.ts";
import { readList, readQuantity } from "../read-quantity.ts";
import { COUNTS, TAIL_WORDS, TOTAL } from "./site-layout.ts";
import { BUCKETS, halveTail, learnTail, meanAboveNs, recount, shareAbove, tailObserveAbove, tailSize, tailValueNs, TOTAL_MAX } from "./tail-words.ts";

/**
 * RoundTripTail tells how long the slowest one in some thousand round trips takes: what mean and deviation do not show.
 *
 * A histogram with buckets that widen with their value, in which two marks move: the median, and the bucket in which the
 * tail begins. So a sample costs O(1), and 152 bytes hold some thousand of them. Old samples fade, since all counts are
 * halved when there are too many, and are forgotten at once when the round trips have plainly become shorter.
 *
 * Invariants:
 *   Q1. `BELOW` samples lie in buckets below the median's, less than half of all; with the median's own, at least half.
 *   Q2. `ABOVE` samples lie in buckets above the tail's, at most `SHARE` of all; with the tail's own, more.
 */
export class RoundTripTail {
  #words: Uint16Array;
  #at: number;

  /** Over words of its own, or over `TAIL_WORDS` of somebody's. */
  constructor(words: Uint16Array = new Uint16Array(TAIL_WORDS), at = 0) {
    this.#words = words;
    this.#at = at;
  }

  /** Looks at other words from now on: one view serves many tails. */
  over(words: Uint16Array, at: number): this {
    this.#words = words;
    this.#at = at;
    return this;
  }

  /** Throws SNAPSHOT_INVALID. Takes what `state` gives. */
  static restore(pairs: readonly number[]): RoundTripTail {
    return new RoundTripTail().set(pairs);
  }

  /** Takes a stored state over, in place of an empty one. Throws SNAPSHOT_INVALID. */
  set(pairs: readonly number[]): this {
    const list = readList("tail", "pairs", pairs);
    if (list.length % 2 !== 0) throw new RuntimeError("SNAPSHOT_INVALID", { part: "tail", field: "pairs" });
    let total = 0;
    for (let next = 0; next < list.length; next += 2) {
      const at = this.#at + COUNTS + readQuantity("tail", "bucket", list[next], BUCKETS - 1);
      const count = readQuantity("tail", "count", list[next + 1], TOTAL_MAX);
      total += count - (this.#words[at] as number);
      this.#words[at] = count;
    }
    if (total >= TOTAL_MAX) throw new RuntimeError("SNAPSHOT_INVALID", { part: "tail", field: "count" });
    this.#words[this.#at + TOTAL] = total;
    recount(this.#words, this.#at);
    return this;
  }

  /** Samples that still count, below 4096. */
  get size(): number {
    return tailSize(this.#words, this.#at);
  }

  /** Buckets that are not empty and their counts, in turn. */
  state(): number[] {
    const pairs: number[] = [];
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const count = this.#words[this.#at + COUNTS + bucket] as number;
      if (count !== 0) pairs.push(bucket, count);
    }
    return pairs;
  }

  /** True if the round trips have plainly become shorter: all that came before this sample's run is forgotten. */
  observe(sampleNs: number): boolean {
    assert(isQuantity(sampleNs), "a sample is a quantity");
    return this.learn(sampleNs);
  }

  /** As `observe`, of a sample that was checked. */
  learn(sampleNs: number): boolean {
    return learnTail(this.#words, this.#at, sampleNs);
  }

  /** The time in ns that one round trip in some thousand exceeds; 0 without a sample. */
  valueNs(): number {
    return tailValueNs(this.#words, this.#at);
  }

  /** The share of samples above a time, 0 … 1. */
  shareAbove(ns: number): number {
    return shareAbove(this.#words, this.#at, ns);
  }

  /** The mean of the samples above a time, in whole ns; the time itself if there are none. */
  meanAboveNs(ns: number): number {
    return meanAboveNs(this.#words, this.#at, ns);
  }

  /** Takes a sample of which is known that it exceeds a time: one like those that do, each of them in its turn. */
  observeAbove(ns: number): void {
    tailObserveAbove(this.#words, this.#at, ns);
  }

  /** Makes everything count half. What is left over goes up to the next bucket in use, so that singles do not all vanish. */
  halve(): void {
    halveTail(this.#words, this.#at);
  }
}
