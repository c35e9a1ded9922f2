import { assert } from "../base/assert.ts";
import { RuntimeError } from "../base/errors.ts";
import { isQuantity, readList, readQuantity } from "./quantity.ts";

/** Four buckets to an octave from 2^20 ns (1 ms) up to 137 s; below 4 ms they are 1 ms wide. */
const BUCKETS = 64;
const UNIT_NS = 1_048_576;
const UNITS_MAX = 131_071;
/** At this many samples every count is halved: what is older than some thousand samples counts for little. */
const TOTAL_MAX = 2048;
/** The share of round trips that may exceed the tail: two thirds of one in a thousand leave room for what is still unknown. */
const SHARE = 1 / 1536;
/**
 * So many samples in a row below the median whose smallness together is as unlikely as 2^−32, were they independent, show
 * that the round trips have become shorter.
 */
const RUN = 8;
const RUN_BITS = 32;
/**
 * The standard normal's quantile that 1 in 2^k exceeds, and the one that `SHARE` exceeds. With few samples the tail
 * is drawn through median and largest sample as if the logarithms were normal.
 */
const NORMAL = [0, 0, 0.6745, 1.1503, 1.5341, 1.8627, 2.1539, 2.4176, 2.6601, 2.8856, 3.0973] as const;
const NORMAL_AT_SHARE = 3.2151;
/** What has not been seen is at most an octave beyond what has. */
const STRETCH_BUCKETS = 4;

/** Multiples of it modulo 1 fill the unit evenly, however many they are. */
const GOLDEN = 0.6180339887498949;

/** Lower bounds of the buckets, in ns, and the last one's upper bound. */
const EDGES = Float64Array.from({ length: BUCKETS + 1 }, (_, bucket) => UNIT_NS * (bucket < 4 ? bucket : (4 + (bucket & 3)) << ((bucket >> 2) - 1)));

/**
 * RoundTripTail tells how long the slowest one in some thousand round trips takes: what mean and deviation do not show.
 *
 * A histogram with buckets that widen with their value, in which two marks move: the median, and the bucket in which the
 * tail begins. So a sample costs O(1), and 128 bytes hold some thousand of them. Old samples fade, since all counts are
 * halved when there are too many, and are forgotten at once when the round trips have plainly become shorter.
 *
 * Invariants:
 *   Q1. `#below` samples lie in buckets below the median's, at most half of all; with the median's own, at least half.
 *   Q2. `#above` samples lie in buckets above the tail's, at most `SHARE` of all; with the tail's own, more.
 */
export class RoundTripTail {
  readonly #counts = new Uint16Array(BUCKETS);
  #total = 0;
  #median = 0;
  #below = 0;
  #top = 0;
  #above = 0;
  /** Samples in a row below the median, the largest bucket of them, and how unlikely they are, as a power of two. */
  #run = 0;
  #runTop = 0;
  #runBits = 0;
  /** Where the next sample that is only known to exceed a time falls among those that do, 0 … 1. No part of the state. */
  #turn = 0;

  /** Throws SNAPSHOT_INVALID. Takes what `state` gives. */
  static restore(pairs: readonly number[]): RoundTripTail {
    const tail = new RoundTripTail();
    const list = readList("tail", "pairs", pairs);
    if (list.length % 2 !== 0) throw new RuntimeError("SNAPSHOT_INVALID", { part: "tail", field: "pairs" });
    for (let at = 0; at < list.length; at += 2) {
      const bucket = readQuantity("tail", "bucket", list[at], BUCKETS - 1);
      const count = readQuantity("tail", "count", list[at + 1], TOTAL_MAX);
      tail.#total += count - (tail.#counts[bucket] as number);
      tail.#counts[bucket] = count;
    }
    if (tail.#total >= TOTAL_MAX) throw new RuntimeError("SNAPSHOT_INVALID", { part: "tail", field: "count" });
    tail.#recount();
    return tail;
  }

  /** Samples that still count, below 4096. */
  get size(): number {
    return this.#total;
  }

  /** Buckets that are not empty and their counts, in turn. */
  state(): number[] {
    const pairs: number[] = [];
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      if (this.#counts[bucket] !== 0) pairs.push(bucket, this.#counts[bucket] as number);
    }
    return pairs;
  }

  /** True if the round trips have plainly become shorter: all that came before this sample's run is forgotten. */
  observe(sampleNs: number): boolean {
    assert(isQuantity(sampleNs), "a sample is a quantity");
    const bucket = bucketOf(sampleNs);
    const forgets = this.#judgeRun(bucket);
    if (forgets) this.#forget(bucket);
    this.#add(bucket);
    return forgets;
  }

  /** The time in ns that one round trip in some thousand exceeds; 0 without a sample. */
  valueNs(): number {
    const total = this.#total;
    if (total === 0) return 0;
    const rank = total * SHARE;
    if (rank >= 1) {
      const fromTop = (rank - this.#above - 0.5) / (this.#counts[this.#top] as number);
      return valueAt(this.#top + 1 - (fromTop > 0 ? fromTop : 0));
    }
    const octave = 31 - Math.clz32(total);
    const low = NORMAL[octave] as number;
    const reached = low + ((NORMAL[octave + 1] ?? NORMAL_AT_SHARE) - low) * (total / (1 << octave) - 1);
    const beyond = reached === 0 ? STRETCH_BUCKETS : (this.#top + 0.5 - this.#median) * (NORMAL_AT_SHARE / reached - 1);
    return valueAt(this.#top + 1 + (beyond > STRETCH_BUCKETS ? STRETCH_BUCKETS : beyond));
  }

  /** The share of samples above a time, 0 … 1. */
  shareAbove(ns: number): number {
    const bucket = bucketOf(ns);
    let above = (this.#counts[bucket] as number) / 2;
    for (let at = bucket + 1; at < BUCKETS; at++) above += this.#counts[at] as number;
    return this.#total === 0 ? 0 : above / this.#total;
  }

  /** The mean of the samples above a time, in whole ns; the time itself if there are none. */
  meanAboveNs(ns: number): number {
    const bucket = bucketOf(ns);
    let count = (this.#counts[bucket] as number) / 2;
    let sum = count * ((ns + (EDGES[bucket + 1] as number)) / 2);
    for (let at = bucket + 1; at < BUCKETS; at++) {
      count += this.#counts[at] as number;
      sum += (this.#counts[at] as number) * valueAt(at + 0.5);
    }
    return count === 0 ? ns : Math.max(ns, Math.floor(sum / count));
  }

  /** Takes a sample of which is known that it exceeds a time: one like those that do, each of them in its turn. */
  observeAbove(ns: number): void {
    const bucket = bucketOf(ns);
    let mass = (this.#counts[bucket] as number) / 2;
    for (let at = bucket + 1; at < BUCKETS; at++) mass += this.#counts[at] as number;
    if (mass === 0) return;
    this.#turn = (this.#turn + GOLDEN) % 1;
    let at = bucket;
    let reached = (this.#counts[bucket] as number) / 2;
    while (reached <= this.#turn * mass && at < BUCKETS - 1) reached += this.#counts[++at] as number;
    this.#add(at);
  }

  /** Makes everything count half. What is left over goes up to the next bucket in use, so that singles do not all vanish. */
  halve(): void {
    let carry = 0;
    this.#total = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const count = this.#counts[bucket] as number;
      if (count === 0) continue;
      this.#counts[bucket] = (count + carry) >> 1;
      carry = (count + carry) & 1;
      this.#total += this.#counts[bucket] as number;
    }
    this.#recount();
  }

  #add(bucket: number): void {
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1;
    if (++this.#total >= TOTAL_MAX) return this.halve();
    if (bucket < this.#median) this.#below++;
    if (bucket > this.#top) this.#above++;
    this.#settle();
  }

  /** Does the run that this sample goes on with show that the round trips have become shorter? */
  #judgeRun(bucket: number): boolean {
    if (bucket >= this.#median) {
      this.#run = this.#runTop = this.#runBits = 0;
      return false;
    }
    if (bucket > this.#runTop) this.#runTop = bucket;
    let below = 1;
    for (let at = 0; at <= bucket; at++) below += this.#counts[at] as number;
    this.#runBits += 31 - Math.clz32(Math.floor((this.#total + 1) / below));
    return ++this.#run >= RUN && this.#runBits >= RUN_BITS && this.#total >= 2 * RUN;
  }

  /** Only the run is left. */
  #forget(bucket: number): void {
    this.#counts.fill(0);
    this.#counts[bucket] = this.#run - 2;
    this.#counts[this.#runTop] = (this.#counts[this.#runTop] as number) + 1;
    this.#total = this.#run - 1;
    this.#run = this.#runTop = this.#runBits = 0;
    this.#recount();
  }

  #recount(): void {
    this.#median = this.#below = this.#above = 0;
    this.#top = BUCKETS - 1;
    this.#settle();
  }

  #settle(): void {
    const counts = this.#counts;
    const total = this.#total;
    while (2 * this.#below > total) this.#below -= counts[--this.#median] as number;
    while (2 * (this.#below + (counts[this.#median] as number)) < total) this.#below += counts[this.#median++] as number;
    const allowed = total * SHARE;
    while (this.#above > allowed) this.#above -= counts[++this.#top] as number;
    while (this.#top > 0 && this.#above + (counts[this.#top] as number) <= allowed) this.#above += counts[this.#top--] as number;
  }
}

function bucketOf(ns: number): number {
  const units = Math.floor(ns / UNIT_NS);
  if (units < 4) return units;
  const bounded = units < UNITS_MAX ? units : UNITS_MAX;
  const octave = 31 - Math.clz32(bounded);
  return 4 * (octave - 1) + ((bounded >> (octave - 2)) & 3);
}

/** The time at a position between bucket bounds, in whole ns. */
function valueAt(position: number): number {
  if (position >= BUCKETS) return EDGES[BUCKETS] as number;
  const bucket = Math.floor(position);
  const low = EDGES[bucket] as number;
  return Math.floor(low + (position - bucket) * ((EDGES[bucket + 1] as number) - low));
}
