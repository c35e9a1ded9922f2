import { NS_PER_MS } from "@holdfast/core";
import { type Answer, PerSite, type Rule } from "./rule.ts";

const FIRST_NS = 333 * NS_PER_MS;
const GRANULARITY_NS = NS_PER_MS;
const ACK_DELAY_NS = 25 * NS_PER_MS;

interface Estimate {
  srttNs: number;
  rttvarNs: number;
  isFirst: boolean;
  expired: number;
}

/**
 * The probe timeout of QUIC: Iyengar, Swett, "QUIC Loss Detection and Congestion Control", RFC 9002 (2021), §5.3, §6.2:
 * smoothed + max(4 × variance, 1 ms) + max_ack_delay (25 ms by default, RFC 9000 §18.2), 333 ms at first, doubled by each
 * one that expires until something is acknowledged. Packets are numbered, so each answer is a sample. Peers here do not
 * delay acknowledgements, so nothing is taken off a sample.
 */
export class QuicPto implements Rule {
  readonly #sites = new PerSite<Estimate>(() => ({ srttNs: FIRST_NS, rttvarNs: FIRST_NS / 2, isFirst: true, expired: 0 }));

  deadlineNs(site: number): number {
    const { srttNs, rttvarNs, expired } = this.#sites.of(site);
    return (srttNs + Math.max(4 * rttvarNs, GRANULARITY_NS) + ACK_DELAY_NS) * 2 ** expired;
  }

  timedOut(site: number): void {
    const estimate = this.#sites.of(site);
    if (estimate.expired < 15) estimate.expired++;
  }

  answered({ site, tripNs }: Answer): void {
    const estimate = this.#sites.of(site);
    estimate.expired = 0;
    if (estimate.isFirst) {
      estimate.isFirst = false;
      estimate.srttNs = tripNs;
      estimate.rttvarNs = tripNs / 2;
      return;
    }
    estimate.rttvarNs += (Math.abs(estimate.srttNs - tripNs) - estimate.rttvarNs) / 4;
    estimate.srttNs += (tripNs - estimate.srttNs) / 8;
  }
}
