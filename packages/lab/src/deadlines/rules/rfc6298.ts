import { NS_PER_S } from "@holdfast/core";
import { type Answer, PerSite, type Rule } from "./rule.ts";

const FLOOR_NS = NS_PER_S;
const CEILING_NS = 60 * NS_PER_S;
const FIRST_NS = NS_PER_S;

interface Estimate {
  srttNs: number;
  rttvarNs: number;
  /** Doubled by every timeout, until a new sample (5.5, 5.7). */
  timeoutNs: number;
}

/**
 * Paxson, Allman, Chu, Sargent, "Computing TCP's Retransmission Timer", RFC 6298 (2011): initial and least timeout 1 s
 * (2.1, 2.4), α = 1/8, β = 1/4, K = 4 (2.3), a ceiling of 60 s (2.5), Karn's rule (3), doubling (5.5).
 */
export class Rfc6298 implements Rule {
  readonly #sites = new PerSite<Estimate>(() => ({ srttNs: 0, rttvarNs: 0, timeoutNs: FIRST_NS }));

  deadlineNs(site: number): number {
    return this.#sites.of(site).timeoutNs;
  }

  timedOut(site: number): void {
    const estimate = this.#sites.of(site);
    estimate.timeoutNs = Math.min(CEILING_NS, 2 * estimate.timeoutNs);
  }

  answered({ site, tripNs, isRetried }: Answer): void {
    if (isRetried) return; // Karn
    const estimate = this.#sites.of(site);
    if (estimate.srttNs === 0) {
      estimate.srttNs = tripNs;
      estimate.rttvarNs = tripNs / 2;
    } else {
      estimate.rttvarNs += (Math.abs(estimate.srttNs - tripNs) - estimate.rttvarNs) / 4;
      estimate.srttNs += (tripNs - estimate.srttNs) / 8;
    }
    estimate.timeoutNs = Math.min(CEILING_NS, Math.max(FLOOR_NS, estimate.srttNs + 4 * estimate.rttvarNs));
  }
}
