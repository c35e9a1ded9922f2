import { NS_PER_MS, Random } from "@holdfast/core";
import { Normals } from "../../normals.ts";
import { NEIGHBOURS, PERIOD_NS, type Pause, type PeerTrace } from "./trace.ts";

const HOUR_NS = 3600 * 1e9;
/** Mean life of a peer: long enough for windows of 1000 to be full for most of it, short enough for many deaths. */
const LIFE_NS = 6 * HOUR_NS;

/** One-way delay: lognormal, median 40 ms, σ 0.5 (its 99.9th percentile is 188 ms). Decision: a link between continents. */
const DELAY_MEDIAN_NS = 40 * NS_PER_MS;
const DELAY_SIGMA = 0.5;

export interface Weather {
  /** Time from the beat sent at `at` to the next. */
  readonly periodNs?: (at: number) => number;
  readonly isLost?: (at: number) => boolean;
  /** Whether a question or its answer is lost that is on its way now. Left out: as beats are, by the moment alone. */
  readonly losesAnswer?: (at: number, random: Random, way: "there" | "back") => boolean;
  /** What else arrives at the observer. */
  readonly others?: readonly Float64Array[];
  /** What the neighbours see in the period that begins at `at`. Left out: a relay brings every answer. */
  readonly neighbours?: (at: number) => number;
  /** Where an arrival is moved to, Infinity = lost. */
  readonly deliversAt?: (arrival: number, sentAt: number) => number;
  readonly pauses?: readonly Pause[];
  readonly restarts?: readonly Pause[];
  readonly wallJumps?: PeerTrace["wallJumps"];
}

/** Uniform in the range. */
export function between(random: Random, low: number, high: number): number {
  return Math.floor(low + random.nextFraction() * (high - low));
}

/** A peer that begins within the first second and dies after half to one and a half mean lives, at any phase of its period. */
export function lifeOf(random: Random): { readonly beginsAt: number; readonly diedAt: number } {
  return { beginsAt: between(random, 1, PERIOD_NS), diedAt: between(random, LIFE_NS / 2, 1.5 * LIFE_NS) };
}

/** Draws one-way delays. */
class Delays {
  readonly #normals: Normals;

  constructor(random: Random) {
    this.#normals = new Normals(random);
  }

  next(): number {
    return Math.floor(DELAY_MEDIAN_NS * Math.exp(DELAY_SIGMA * this.#normals.next()));
  }
}

/** Sends beats through the weather until the peer dies. What was sent before the death may arrive after it. */
export function beats(random: Random, life: { readonly beginsAt: number; readonly diedAt: number }, weather: Weather = {}): PeerTrace {
  const { periodNs, isLost, losesAnswer = () => false, neighbours, deliversAt, pauses = [], restarts = [], wallJumps = [], others = [] } = weather;
  const delays = new Delays(random);
  // As many as there can be: no trace beats faster.
  const capacity = Math.ceil((life.diedAt - life.beginsAt) / PERIOD_NS);
  const arrivals = new Float64Array(capacity);
  const sentAt = new Float64Array(capacity);
  const seen = new Uint8Array(capacity);
  let count = 0;
  let latest = 0;
  for (let at = life.beginsAt; at < life.diedAt; at += periodNs === undefined ? PERIOD_NS : periodNs(at)) {
    let arrival = at + delays.next();
    if (isLost?.(at) === true) arrival = Infinity;
    else if (deliversAt !== undefined) arrival = deliversAt(arrival, at);
    if (arrival !== Infinity) latest = arrival = Math.max(latest, arrival);
    arrivals[count] = arrival;
    sentAt[count] = at;
    seen[count++] = neighbours === undefined ? NEIGHBOURS.relayed : neighbours(at);
  }

  /** A question goes to the peer, and its answer comes back: both ways lose and delay as beats are. */
  function answers(askedAt: number): number {
    const chance = Random.fromSeed(`${life.beginsAt} ${life.diedAt} ${askedAt}`);
    const delay = new Delays(chance);
    const reachesAt = askedAt + delay.next();
    if (reachesAt >= life.diedAt || losesAnswer(askedAt, chance, "there") || losesAnswer(reachesAt, chance, "back")) return Infinity;
    const arrival = reachesAt + delay.next();
    return deliversAt === undefined ? arrival : deliversAt(arrival, reachesAt);
  }

  return {
    arrivals: arrivals.subarray(0, count), sentAt: sentAt.subarray(0, count), neighbours: seen.subarray(0, count), pauses, restarts, wallJumps, others, answers, ...life,
  };
}

/** Calls back once in every `everyNs`, with a uniform moment in its first half, so that two are never close. */
export function periodically(random: Random, everyNs: number, until: number, happen: (at: number) => void): void {
  for (let begin = 0; begin < until; begin += everyNs) happen(begin + between(random, 0, everyNs / 2));
}

export function isWithin(spans: readonly Pause[], at: number): boolean {
  return spanAt(spans, at) !== undefined;
}

/** The span that holds the instant; spans are in order and do not touch. */
export function spanAt(spans: readonly Pause[], at: number): Pause | undefined {
  let low = 0;
  let high = spans.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const span = spans[middle] as Pause;
    if (at >= span.to) low = middle + 1;
    else if (at < span.from) high = middle;
    else return span;
  }
  return undefined;
}
