import { assert } from "../../base/assert.ts";
import { elapsedNs, NS_PER_S } from "../../base/time.ts";
import { decay } from "../decay.ts";

/** The default time constant. Source: the decay time of Finagle's and Linkerd's peak-EWMA balancers. */
export const PEAK_EWMA_NS = 10 * NS_PER_S;

/**
 * PeakEwma estimates what a request to one site would cost now: its latency times what is already asked of it.
 *
 *   - A sample above the estimate becomes the estimate at once; one below draws it down, by e^(−time since the last
 *     sample ÷ time constant) of the old one. So it is quick to avoid who has become slow, and slow to trust again.
 *   - Who has been asked and stays silent longer than its estimate counts at least that long: silence reckons from the
 *     last answer, or from the first request after there was none. One request that hangs while others are answered
 *     says nothing about the site.
 *   - Without new samples the estimate fades, with the same time constant, towards the prior that the reader gives: the
 *     median of the group. One that fades to nothing makes whoever was not asked for a minute look the fastest of all, and
 *     all at once ask it.
 *
 * Source: the peak-EWMA balancers of Finagle and Linkerd, but for the prior and for silence. Times are whole ns of awake
 * time, estimates are fractions of them. It is not stored: it would have faded before a restart is over.
 *
 * Invariants:
 *   W1. Whatever began ends once: answered or given up.
 *   W2. An estimate lies between the least and the greatest of its samples, its prior and its silence.
 */
export class PeakEwma {
  readonly #timeConstantNs: number;
  #latencyNs = 0;
  /** −1: no sample yet. */
  #sampledAt = -1;
  #silentSince = 0;
  /** Silence before the first request in flight began, while nothing was answered in between. */
  #silentBeforeNs = 0;
  #inFlight = 0;

  constructor(timeConstantNs: number = PEAK_EWMA_NS) {
    assert(timeConstantNs >= 1, "a time constant is at least 1 ns");
    this.#timeConstantNs = timeConstantNs;
  }

  /** Requests that wait for their answer. */
  get inFlight(): number {
    return this.#inFlight;
  }

  get hasSample(): boolean {
    return this.#sampledAt >= 0;
  }

  /** A request goes out, or waits for room to. */
  began(now: number): void {
    if (this.#inFlight++ === 0) this.#silentSince = now - this.#silentBeforeNs;
  }

  /** It was answered after `latencyNs`. */
  answered(latencyNs: number, now: number): void {
    this.#ended();
    this.#spoke(now);
    this.#observe(latencyNs, now);
  }

  /**
   * It was answered, but not with what was asked for: by an error, a refusal, or before anybody measured (0). It proves
   * life; a quick refusal makes nobody quick, so it may raise the estimate and never draws it down.
   */
  turnedDown(latencyNs: number, priorNs: number, now: number): void {
    this.#ended();
    this.#spoke(now);
    this.#observeAtLeast(latencyNs, priorNs, now);
  }

  /**
   * It ended without an answer after `waitedNs`: it would have taken at least as long. A site of which one request after the
   * other is given up, each soon, is as silent as one that is waited for: its silence adds up.
   */
  gaveUp(waitedNs: number, priorNs: number, now: number): void {
    const silentNs = elapsedNs(now, this.#silentSince);
    this.#ended();
    if (this.#inFlight === 0) this.#silentBeforeNs = silentNs;
    this.#observeAtLeast(Math.max(waitedNs, silentNs), priorNs, now);
  }

  /** The estimate, faded towards the prior; without the silence. */
  learnedNs(now: number, priorNs: number): number {
    if (!this.hasSample) return priorNs;
    return priorNs + (this.#latencyNs - priorNs) * decay(now - this.#sampledAt, this.#timeConstantNs);
  }

  /** What an answer takes, in ns; `priorNs`: what it takes of members like this one. */
  latencyNs(now: number, priorNs: number): number {
    const learnedNs = this.learnedNs(now, priorNs);
    if (this.#inFlight === 0) return learnedNs;
    return Math.max(learnedNs, elapsedNs(now, this.#silentSince));
  }

  /** The latency times the requests that would wait for it, this one included. */
  costNs(now: number, priorNs: number): number {
    return this.latencyNs(now, priorNs) * (this.#inFlight + 1);
  }

  #observe(latencyNs: number, now: number): void {
    const left = this.hasSample && latencyNs < this.#latencyNs ? decay(now - this.#sampledAt, this.#timeConstantNs) : 0;
    this.#latencyNs = latencyNs + (this.#latencyNs - latencyNs) * left;
    this.#sampledAt = now;
  }

  #spoke(now: number): void {
    this.#silentSince = now;
    this.#silentBeforeNs = 0;
  }

  /** A bound from below says something where it lies above what is believed now. */
  #observeAtLeast(latencyNs: number, priorNs: number, now: number): void {
    if (latencyNs > this.learnedNs(now, priorNs)) this.#observe(latencyNs, now);
  }

  #ended(): void {
    assert(this.#inFlight > 0, "W1: what ends has begun");
    this.#inFlight--;
  }
}
