import { NS_PER_MS, NS_PER_S, type Random } from "@holdfast/core";
import { Normals } from "../../normals.ts";
import type { RequestTrace } from "./trace.ts";

/** Mean time between requests; uniform between half of it and one and a half. */
export const PERIOD_NS = 50 * NS_PER_MS;
/** The standard normal's 99.9th percentile. */
const NORMAL_999 = 3.0902;
/** What is lost on every trace that says nothing else: so that each shows how long a loss takes to be noticed. */
export const LOSS = 0.002;
const LOST_MAX = 12;

/** Requests a client makes: ten minutes of them. */
export const REQUESTS = 12_000;
export const LENGTH_NS = REQUESTS * PERIOD_NS;

/** Lognormal round trips. */
export interface Lognormal {
  readonly medianNs: number;
  readonly sigma: number;
}

export function quantile999({ medianNs, sigma }: Lognormal): number {
  return medianNs * Math.exp(NORMAL_999 * sigma);
}

export function between(random: Random, low: number, high: number): number {
  return low + random.nextFraction() * (high - low);
}

/** Draws lognormals. */
export class Trips {
  readonly #normals: Normals;

  constructor(random: Random) {
    this.#normals = new Normals(random);
  }

  next({ medianNs, sigma }: Lognormal): number {
    return Math.max(1, Math.floor(medianNs * Math.exp(sigma * this.#normals.next())));
  }
}

/** The 99.9th percentile of a mixture. */
export function mixture999(parts: readonly (Lognormal & { readonly share: number })[]): number {
  const beyond = (ns: number) => parts.reduce((sum, { medianNs, sigma, share }) => sum + share * upperTail(Math.log(ns / medianNs) / sigma), 0);
  let low = 1;
  let high = 1e12;
  for (let step = 0; step < 100; step++) {
    const middle = Math.sqrt(low * high);
    if (beyond(middle) > 0.001) low = middle;
    else high = middle;
  }
  return high;
}

/** What a standard normal exceeds with which probability: Abramowitz and Stegun (1964), 26.2.17. */
function upperTail(z: number): number {
  if (z < 0) return 1 - upperTail(-z);
  const t = 1 / (1 + 0.2316419 * z);
  const series = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) * series;
}

export interface Drawn {
  readonly tripNs: number;
  readonly p999Ns: number;
}

/** A client's requests, all to one site unless the trace says otherwise. */
export function requests(random: Random, draw: (at: number, index: number) => Drawn, given: {
  readonly count?: number; readonly loss?: number; readonly siteOf?: (index: number) => number;
  readonly measured?: { readonly from: number; readonly count: number };
  readonly steps?: RequestTrace["steps"]; readonly restart?: RequestTrace["restart"];
} = {}): RequestTrace {
  const { count = REQUESTS, loss = LOSS, siteOf = () => 0, measured = { from: 0, count }, steps = [], restart } = given;
  const trace = {
    sentAt: new Float64Array(count), tripNs: new Float64Array(count), lost: new Uint8Array(count), p999Ns: new Float64Array(count),
    site: new Uint8Array(count), ...measured, steps,
  };
  let at = NS_PER_S;
  for (let index = 0; index < count; index++) {
    if (restart?.before === index) at += restart.asleepNs;
    const { tripNs, p999Ns } = draw(at, index);
    trace.sentAt[index] = at;
    trace.tripNs[index] = tripNs;
    trace.p999Ns[index] = p999Ns;
    trace.site[index] = siteOf(index);
    let lost = 0;
    while (lost < LOST_MAX && random.nextFraction() < loss) lost++;
    trace.lost[index] = lost;
    at += Math.floor(between(random, PERIOD_NS / 2, 1.5 * PERIOD_NS));
  }
  return restart === undefined ? trace : { ...trace, restart };
}
