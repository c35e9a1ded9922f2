import { NS_PER_MS, NS_PER_S } from "@holdfast/core";
import type { Answer, Rule } from "./rule.ts";

const FLOOR_NS = 5 * NS_PER_S;
const CEILING_NS = 60 * NS_PER_S;
const MULTIPLIER = 1.2;
const FAILURE_MULTIPLIER = 2;
const SPAN_MS = 5000;

/**
 * js-libp2p's AdaptiveTimeout (packages/utils/src/adaptive-timeout.ts): one moving average for all peers, in which a
 * sample weighs 1 − e^(−Δ/5 s), Δ being whole milliseconds since the last one; the deadline is 1.2 times it, within
 * 5 … 60 s; a failure, which is an abort, is a sample of twice the time that it took.
 */
export class AdaptiveTimeout implements Rule {
  #averageNs = 0;
  #lastMs = NaN;

  deadlineNs(): number {
    return Math.min(CEILING_NS, Math.max(FLOOR_NS, MULTIPLIER * this.#averageNs));
  }

  timedOut(_site: number, now: number, sentAt: number): void {
    this.#push(now, FAILURE_MULTIPLIER * (now - sentAt));
  }

  answered({ now, tripNs, isLate }: Answer): void {
    if (!isLate) this.#push(now, tripNs); // what was aborted is not heard of again
  }

  #push(now: number, sampleNs: number): void {
    const nowMs = Math.floor(now / NS_PER_MS);
    if (Number.isNaN(this.#lastMs)) this.#averageNs = sampleNs;
    else this.#averageNs += (1 - Math.exp(-(nowMs - this.#lastMs) / SPAN_MS)) * (sampleNs - this.#averageNs);
    this.#lastMs = nowMs;
  }
}
