import { explainPeer, NS_PER_MS, type Peer, type PolicyEntry, policyScopeText } from "@holdfast/core";
import type { Engine } from "@holdfast/core";
import type { ExplainedPeer, PolicyEntryReport, PolicyReport } from "./node-api.ts";

type EngineState = Engine["state"];

/** Engine time as ms since 1970; 0 and null are never. */
function wallMs(state: EngineState, at: number): number {
  return Math.round(state.wallMs + (at - state.now) / NS_PER_MS);
}

/** What core says of a peer, in ms, with instants since 1970 and from now. */
export function explainedPeer(state: EngineState, peer: Peer, now: number): ExplainedPeer {
  const { id, name, obstacles, policy, link, health, detector, sites, cooldown, work, counts, next } = explainPeer(state, peer, now);
  const pastMs = (at: number | null): number | null => (at === null || at === 0 ? null : wallMs(state, at));
  const leftMs = (at: number): number => Math.max(0, (at - now) / NS_PER_MS);
  const { decision, entry, address, entries, allowlists } = policy;
  return {
    id, name, obstacles: [...obstacles],
    policy: {
      decision: decision.allow ? "allowed" : decision.reason, address, allowlists,
      entry: entry === null ? null : entryReport(state, entry), entries: entries.map((one) => entryReport(state, one)),
    },
    link: {
      state: link.state, dialled: link.dialled, remote: link.remote, openForMs: link.openForNs === null ? null : link.openForNs / NS_PER_MS,
      incarnation: link.incarnation, kept: link.kept, addresses: link.addresses,
    },
    health: {
      consecutiveFailures: health.consecutiveFailures, threshold: health.threshold, down: health.down, lastEventAtMs: pastMs(health.lastEventAt),
      lastFailure: health.lastFailure === null ? null : { event: health.lastFailure.event, atMs: wallMs(state, health.lastFailure.at) },
    },
    detector: detector === null ? null : {
      announced: detector.announced, state: detector.state, phi: detector.phi, suspectPhi: finite(detector.suspectPhi), downPhi: finite(detector.downPhi),
      samples: detector.samples, intervalMs: detector.intervalNs / NS_PER_MS, isIsolated: detector.isIsolated, silenceMs: detector.silenceNs === null ? null : detector.silenceNs / NS_PER_MS,
      next: detector.next === null ? null : { to: detector.next.to, inMs: leftMs(detector.next.at) },
    },
    sites: sites.map(({ site, budgetNs, tier, tiers }) => ({
      site, budgetMs: budgetNs / NS_PER_MS, tier,
      tiers: tiers.map(({ srttNs, rttvarNs, ...one }) => ({ tier: one.tier, weight: one.weight, srttMs: srttNs / NS_PER_MS, rttvarMs: rttvarNs / NS_PER_MS, samples: one.sampleCount })),
    })),
    cooldown: cooldown === null ? null : {
      attempts: cooldown.attempts, lastAttemptAtMs: pastMs(cooldown.lastAttemptAt), failuresForMs: leftMs(cooldown.failureUntil), adviceForMs: leftMs(cooldown.advisedUntil),
    },
    work: { ...work }, counts: { ...counts },
    next: next.map(({ at, what, of }) => ({ what, of, atMs: wallMs(state, at), inMs: leftMs(at) })),
  };
}

export function policyReport(state: EngineState): PolicyReport {
  const { policy } = state.governor;
  return { entries: [...policy.entries()].map((entry) => entryReport(state, entry)), allowlists: policy.allowlists };
}

function entryReport(state: EngineState, entry: PolicyEntry): PolicyEntryReport {
  const { kind, on, what, by, reason, until, addedAt } = entry;
  return {
    kind, who: policyScopeText({ on, what }), on, by, reason, name: on === "peer" ? (state.peers.get(what as Peer["id"])?.name ?? null) : null,
    untilMs: until === "never" ? until : wallMs(state, until), addedAtMs: addedAt === 0 ? null : wallMs(state, addedAt),
  };
}

/** JSON has no infinity; null is a threshold that nothing reaches. */
function finite(threshold: number): number | null {
  return threshold < Infinity ? threshold : null;
}
