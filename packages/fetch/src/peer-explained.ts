import { MEMORY_SAMPLES, TAIL_SHARE, WARM_SAMPLES } from "@holdfast/core/peer";
import type { PolicyDecision } from "@holdfast/core/peer";
import { toMs } from "./clock.ts";
import type { PeerBook } from "./peer-book.ts";
import type { InFlight, Site } from "./peer-record.ts";

export interface SiteExplained {
  readonly site: string;
  /** Smoothed round trip and mean deviation, in ms. */
  readonly srttMs: number;
  readonly deviationMs: number;
  readonly samples: number;
  /** The learned deadline, in ms, and where most of it comes from: this site, all sites of all peers, or the options. */
  readonly deadlineMs: number;
  readonly tier: "site" | "global" | "static";
  /** Timeouts since something last answered. */
  readonly timeouts: number;
}

/** Everything behind the decisions about one peer, as data. Times are ms from now. */
export interface PeerExplained {
  readonly peer: string;
  readonly state: "open" | "blocked" | "cooling-down" | "advised-to-wait" | "half-open";
  /** In words: what stands in the way, or that nothing does. */
  readonly why: string;
  readonly retryAfterMs: number;
  readonly policy: PolicyDecision;
  readonly isDown: boolean;
  readonly failuresInARow: number;
  readonly cooldownMs: number;
  /** Failed probes and openings since the last success: the step of the schedule. */
  readonly cooldownStep: number;
  readonly advisedMs: number;
  readonly probes: number;
  readonly inFlight: number;
  /**
   * How unlikely it is, by what its site's answers took, that the attempt under way which is most overdue will be answered yet:
   * −log10 of the share of answers that take longer than it has waited. 0 where nothing is under way, or learned.
   */
  readonly phi: number;
  /** Further attempts that the peer's successes have earned. */
  readonly retryTokens: number;
  /** The slowest site's figures. */
  readonly srttMs: number | undefined;
  readonly deadlineMs: number;
  readonly sites: readonly SiteExplained[];
}

/** What is known of the peer, and what stands in its way. Changes nothing. */
export function explainPeer(book: PeerBook, key: string, now: number): PeerExplained {
  const record = book.records.get(key);
  const denial = book.denial(key, now);
  const { failures = 0, isDown = false, backoff, probes } = record?.trouble ?? {};
  const sites = record?.sites.map((site) => explainSite(book, site, now)) ?? [];
  const slowest = sites.reduce<SiteExplained | undefined>((most, site) => (site.samples > 0 && site.srttMs > (most?.srttMs ?? -1) ? site : most), undefined);
  const from = (at = 0): number => toMs(Math.max(0, at - now));
  const cooldownMs = from(backoff?.nextRetry);
  const advisedMs = from(backoff?.advisedUntil);
  probes?.expire(now);
  const state = denial ? "blocked" : cooldownMs > 0 && cooldownMs >= advisedMs ? "cooling-down" : advisedMs > 0 ? "advised-to-wait" : probes ? "half-open" : "open";
  const inARow = `${failures} failures in a row`;
  const attempts = [...(record?.inFlight() ?? [])];
  const taken = probes?.leases.length ?? 0;
  const why = {
    "open": `nothing stands in the way${failures > 0 ? `; ${inARow}` : ""}`,
    "blocked": denial?.why ?? "",
    "cooling-down": `${inARow}; left alone for ${Math.ceil(cooldownMs)} ms more`,
    "advised-to-wait": `it asked to be left alone, for ${Math.ceil(advisedMs)} ms more`,
    "half-open": `it failed, and is tried by ${taken} calls at present; more with each success`,
  } as const;
  return {
    peer: key, state, why: why[state], policy: denial ? { allow: false, reason: denial.reason } : { allow: true }, retryAfterMs: Math.max(denial?.retryAfterMs ?? 0, cooldownMs, advisedMs, from(probes?.freeAt(now))),
    isDown, failuresInARow: failures, cooldownMs, cooldownStep: backoff?.attempts ?? 0, advisedMs,
    probes: taken, inFlight: attempts.length, phi: attempts.reduce((most, attempt) => Math.max(most, phiOf(book, attempt, now)), 0), retryTokens: book.retryTokens(record, now),
    srttMs: slowest?.srttMs, deadlineMs: slowest?.deadlineMs ?? toMs(book.initialNs), sites,
  };
}

/** In the steps of `deadlineNs`. */
function explainSite(book: PeerBook, site: Site, now: number): SiteExplained {
  const { blend, prior, initialNs } = book;
  blend.begin(initialNs);
  const globalWeight = blend.shrink(prior.cells, 0, now);
  let isLearned = isWarm(prior.sampleCount, blend.freshness);
  const learned = book.learned(site);
  const { srttNs = 0, rttvarNs = 0, sampleCount = 0, timeouts = 0 } = learned ?? {};
  const weight = learned === undefined ? 0 : blend.shrink(learned.cells, learned.at, now);
  isLearned ||= isWarm(sampleCount, blend.freshness);
  const tier = !isLearned ? "static" : weight >= globalWeight * (1 - weight) ? "site" : "global";
  const deadlineMs = toMs(blend.budgetNs(prior.shape, learned, initialNs, now));
  return { site: site.name, srttMs: toMs(srttNs), deviationMs: toMs(rttvarNs), samples: sampleCount, deadlineMs, tier, timeouts };
}

/** φ at the tail. */
const TAIL_PHI = -Math.log10(TAIL_SHARE);

/**
 * As counted up to the tail; beyond it, of which nothing was seen, as if the share fell off exponentially. Source for φ: Hayashibara et al.,
 * "The φ Accrual Failure Detector" (2004), of heartbeats; for exponential tails: Cassandra's.
 */
function phiOf(book: PeerBook, { site, startedAt }: InFlight, now: number): number {
  const learned = book.learned(site);
  const { tailNs = 0 } = learned ?? {};
  if (learned === undefined || tailNs === 0) return 0;
  const elapsedNs = Math.max(0, now - startedAt);
  if (elapsedNs >= tailNs) return TAIL_PHI * (elapsedNs / tailNs);
  return Math.min(TAIL_PHI, Math.max(0, -Math.log10(learned.shareAbove(elapsedNs))));
}

/** Does an estimate answer for itself, and has age left something of it? */
function isWarm(samples: number, freshness: number): boolean {
  return samples >= WARM_SAMPLES && Math.min(samples, MEMORY_SAMPLES) * freshness >= 1;
}
