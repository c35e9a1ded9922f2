import { NS_PER_MS, NS_PER_S } from "@holdfast/core";
import { type Answer, PerSite, type Rule } from "./rule.ts";

const LEAST_VARIANCE_NS = 200 * NS_PER_MS;
const CEILING_NS = 120 * NS_PER_S;
const FIRST_NS = NS_PER_S;

class Estimate {
  srttNs = 0;
  /** Mean deviation ×4, as the kernel keeps it; its maximum in this round trip; what the timeout is made of. */
  mdevNs = 0;
  mdevMaxNs = 0;
  rttvarNs = 0;
  roundEndsAt = 0;
  doublings = 0;

  get timeoutNs(): number {
    const timeoutNs = this.srttNs === 0 ? FIRST_NS : this.srttNs + this.rttvarNs;
    return Math.min(CEILING_NS, timeoutNs * 2 ** this.doublings);
  }
}

/**
 * Linux's tcp_rtt_estimator (net/ipv4/tcp_input.c; Sarolahti and Kuznetsov, "Congestion Control in Linux TCP", USENIX
 * 2002): the variance term is at least 200 ms, rises at once to the largest deviation of a round trip and falls by a
 * quarter once in one; a sample below the estimate weighs an eighth in the deviation. With timestamps (RFC 7323), so a
 * retransmission's answer is a sample. Restarted: the metrics cache gives back smoothed time and variance, whatever
 * their age. From memory, the source was not at hand.
 */
export class Linux implements Rule {
  readonly #sites = new PerSite(() => new Estimate());

  deadlineNs(site: number): number {
    return this.#sites.of(site).timeoutNs;
  }

  timedOut(site: number): void {
    const estimate = this.#sites.of(site);
    if (estimate.doublings < 15) estimate.doublings++;
  }

  answered({ now, site, tripNs }: Answer): void {
    const estimate = this.#sites.of(site);
    estimate.doublings = 0;
    if (estimate.srttNs === 0) {
      estimate.srttNs = tripNs;
      estimate.mdevNs = 2 * tripNs;
      estimate.rttvarNs = estimate.mdevMaxNs = Math.max(estimate.mdevNs, LEAST_VARIANCE_NS);
      estimate.roundEndsAt = now + tripNs;
      return;
    }
    const error = tripNs - estimate.srttNs;
    estimate.srttNs += error / 8;
    const deviation = Math.abs(error) - estimate.mdevNs / 4;
    estimate.mdevNs += error < 0 && deviation > 0 ? deviation / 8 : deviation;
    if (estimate.mdevNs > estimate.mdevMaxNs) {
      estimate.mdevMaxNs = estimate.mdevNs;
      if (estimate.mdevMaxNs > estimate.rttvarNs) estimate.rttvarNs = estimate.mdevMaxNs;
    }
    if (now < estimate.roundEndsAt) return;
    if (estimate.mdevMaxNs < estimate.rttvarNs) estimate.rttvarNs -= (estimate.rttvarNs - estimate.mdevMaxNs) / 4;
    estimate.roundEndsAt = now + estimate.srttNs;
    estimate.mdevMaxNs = LEAST_VARIANCE_NS;
  }

  restarted(): void {}
}
