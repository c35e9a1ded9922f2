import {
  ABOVE, BELOW, COUNTS, MEDIAN, RUN_LENGTH, RUN_TOP, RUN_UNLIKELY, TOP, TOTAL, TURN,
} from "./site-layout.ts";

/**
 * The rules of RoundTripTail over `TAIL_WORDS` words of somebody's, from `base` on. Apart from the class, so that who needs
 * these alone loads no reading of stored states with them.
 */

/** Four buckets to an octave from 2^20 ns (1 ms) up to 137 s; below 4 ms they are 1 ms wide. */
export const BUCKETS = 64;
const UNIT_NS = 1_048_576;
const UNITS_MAX = 131_071;
/** The standard normal's quantile that `TAIL_SHARE` exceeds. */
const NORMAL_AT_SHARE = 3.2151;
/** At this many samples every count is halved: what is older than some thousand samples counts for little. */
export const TOTAL_MAX = 2048;
/**
 * So many samples in a row below the median whose smallness together is as unlikely as 2^−32, were they independent, show
 * that the round trips have become shorter.
 */
const RUN = 8;
const RUN_BITS = 32;
/** What has not been seen is at most an octave beyond what has. */
const STRETCH_BUCKETS = 4;

/** Multiples of it modulo 2^16 fill the range evenly, however many they are: 2^16 over the golden ratio. */
const GOLDEN = 40503;
const TURN_ONE = 65536;

/** The share of round trips that may exceed the tail: two thirds of one in a thousand leave room for what is still unknown. */
export const TAIL_SHARE = 1 / 1536;
/**
 * The standard normal's quantile that 1 in 2^k exceeds. With few samples the tail
 * is drawn through median and largest sample as if the logarithms were normal.
 */
const NORMAL = [0, 0, 0.6745, 1.1503, 1.5341, 1.8627, 2.1539, 2.4176, 2.6601, 2.8856, 3.0973] as const;

/** Lower bounds of the buckets, in ns, and the last one's upper bound. */
const EDGES = Float64Array.from({ length: BUCKETS + 1 }, (_, bucket) => UNIT_NS * (bucket < 4 ? bucket : (4 + (bucket & 3)) << ((bucket >> 2) - 1)));

/** Samples that still count, below 4096. */
export function tailSize(words: Uint16Array, base: number): number {
  return words[base + TOTAL] as number;
}

/** True if the round trips have plainly become shorter: all that came before this sample's run is forgotten. */
export function learnTail(words: Uint16Array, base: number, sampleNs: number): boolean {
  const bucket = bucketOf(sampleNs);
  const forgets = judgeRun(words, base, bucket);
  if (forgets) forget(words, base, bucket);
  add(words, base, bucket);
  return forgets;
}

/** The time in ns that one round trip in some thousand exceeds; 0 without a sample. */
export function tailValueNs(words: Uint16Array, base: number): number {
  const size = tailSize(words, base);
  if (size === 0) return 0;
  const top = words[base + TOP] as number;
  const rank = size * TAIL_SHARE;
  if (rank >= 1) {
    const fromTop = (rank - (words[base + ABOVE] as number) - 0.5) / countOf(words, base, top);
    return valueAt(top + 1 - (fromTop > 0 ? fromTop : 0));
  }
  const octave = 31 - Math.clz32(size);
  const low = NORMAL[octave] as number;
  const reached = low + ((NORMAL[octave + 1] ?? NORMAL_AT_SHARE) - low) * (size / (1 << octave) - 1);
  const beyond = reached === 0 ? STRETCH_BUCKETS : (top + 0.5 - (words[base + MEDIAN] as number)) * (NORMAL_AT_SHARE / reached - 1);
  return valueAt(top + 1 + (beyond > STRETCH_BUCKETS ? STRETCH_BUCKETS : beyond));
}

/** The share of samples above a time, 0 … 1. */
export function shareAbove(words: Uint16Array, base: number, ns: number): number {
  return tailSize(words, base) === 0 ? 0 : massAbove(words, base, bucketOf(ns)) / tailSize(words, base);
}

/** The mean of the samples above a time, in whole ns; the time itself if there are none. */
export function meanAboveNs(words: Uint16Array, base: number, ns: number): number {
  const bucket = bucketOf(ns);
  let count = countOf(words, base, bucket) / 2;
  let sum = count * ((ns + (EDGES[bucket + 1] as number)) / 2);
  for (let at = bucket + 1; at < BUCKETS; at++) {
    count += countOf(words, base, at);
    sum += countOf(words, base, at) * valueAt(at + 0.5);
  }
  return count === 0 ? ns : Math.max(ns, Math.floor(sum / count));
}

/** Takes a sample of which is known that it exceeds a time: one like those that do, each of them in its turn. */
export function tailObserveAbove(words: Uint16Array, base: number, ns: number): void {
  const bucket = bucketOf(ns);
  const mass = massAbove(words, base, bucket);
  if (mass === 0) return;
  const turn = (words[base + TURN] = ((words[base + TURN] as number) + GOLDEN) % TURN_ONE);
  let at = bucket;
  let reached = countOf(words, base, bucket) / 2;
  while (reached <= (turn / TURN_ONE) * mass && at < BUCKETS - 1) reached += countOf(words, base, ++at);
  add(words, base, at);
}

/** Makes everything count half. What is left over goes up to the next bucket in use, so that singles do not all vanish. */
export function halveTail(words: Uint16Array, base: number): void {
  let carry = 0;
  let total = 0;
  for (let at = base + COUNTS; at < base + COUNTS + BUCKETS; at++) {
    const count = words[at] as number;
    if (count === 0) continue;
    words[at] = (count + carry) >> 1;
    carry = (count + carry) & 1;
    total += words[at] as number;
  }
  words[base + TOTAL] = total;
  recount(words, base);
}

function countOf(words: Uint16Array, base: number, bucket: number): number {
  return words[base + COUNTS + bucket] as number;
}

/** Samples in the buckets above, and half of those in this one. */
function massAbove(words: Uint16Array, base: number, bucket: number): number {
  let mass = countOf(words, base, bucket) / 2;
  for (let at = bucket + 1; at < BUCKETS; at++) mass += countOf(words, base, at);
  return mass;
}

function add(words: Uint16Array, base: number, bucket: number): void {
  words[base + COUNTS + bucket] = (words[base + COUNTS + bucket] as number) + 1;
  const total = (words[base + TOTAL] as number) + 1;
  words[base + TOTAL] = total;
  if (total >= TOTAL_MAX) return halveTail(words, base);
  if (bucket < (words[base + MEDIAN] as number)) words[base + BELOW] = (words[base + BELOW] as number) + 1;
  if (bucket > (words[base + TOP] as number)) words[base + ABOVE] = (words[base + ABOVE] as number) + 1;
  settle(words, base);
}

/** Does the run that this sample goes on with show that the round trips have become shorter? */
function judgeRun(words: Uint16Array, base: number, bucket: number): boolean {
  const median = words[base + MEDIAN] as number;
  if (bucket >= median) {
    if (words[base + RUN_LENGTH] !== 0) endRun(words, base);
    return false;
  }
  if (bucket > (words[base + RUN_TOP] as number)) words[base + RUN_TOP] = bucket;
  // Counted down from the median's mark: most samples lie near it.
  let below = 1 + (words[base + BELOW] as number);
  for (let at = bucket + 1; at < median; at++) below -= words[base + COUNTS + at] as number;
  const total = words[base + TOTAL] as number;
  const bits = (words[base + RUN_UNLIKELY] as number) + 31 - Math.clz32(Math.floor((total + 1) / below));
  const length = (words[base + RUN_LENGTH] as number) + 1;
  words[base + RUN_UNLIKELY] = bits;
  words[base + RUN_LENGTH] = length;
  return length >= RUN && bits >= RUN_BITS && total >= 2 * RUN;
}

function endRun(words: Uint16Array, base: number): void {
  words[base + RUN_LENGTH] = words[base + RUN_TOP] = words[base + RUN_UNLIKELY] = 0;
}

/** Only the run is left. */
function forget(words: Uint16Array, base: number, bucket: number): void {
  const counts = base + COUNTS;
  const before = (words[base + RUN_LENGTH] as number) - 1;
  words.fill(0, counts, counts + BUCKETS);
  words[counts + bucket] = before - 1;
  const top = counts + (words[base + RUN_TOP] as number);
  words[top] = (words[top] as number) + 1;
  words[base + TOTAL] = before;
  endRun(words, base);
  recount(words, base);
}

/** Finds both marks anew, from the counts. */
export function recount(words: Uint16Array, base: number): void {
  words[base + MEDIAN] = words[base + BELOW] = words[base + ABOVE] = 0;
  words[base + TOP] = BUCKETS - 1;
  settle(words, base);
}

function settle(words: Uint16Array, base: number): void {
  const counts = base + COUNTS;
  const total = words[base + TOTAL] as number;
  let median = words[base + MEDIAN] as number;
  let below = words[base + BELOW] as number;
  while (2 * below >= total && total > 0) below -= words[counts + --median] as number;
  while (2 * (below + (words[counts + median] as number)) < total) below += words[counts + median++] as number;
  words[base + MEDIAN] = median;
  words[base + BELOW] = below;
  const allowed = total * TAIL_SHARE;
  let top = words[base + TOP] as number;
  let above = words[base + ABOVE] as number;
  while (above > allowed) above -= words[counts + ++top] as number;
  while (top > 0 && above + (words[counts + top] as number) <= allowed) above += words[counts + top--] as number;
  words[base + TOP] = top;
  words[base + ABOVE] = above;
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
