import type { PeerId } from "../base/ids.ts";
import type { Value } from "../base/value.ts";
import type { EngineState } from "./engine-state.ts";
import type { Peer } from "./peer.ts";

/** What the gate says about a selection, now. */
export type Choice =
  | { kind: "peer"; peer: Peer }
  /** Everybody who might be asked is cooling down, or being probed: the first is eligible at `retryAt`. */
  | { kind: "wait"; retryAt: number }
  | { kind: "denied"; reason: string }
  | { kind: "unknown"; reason: string };

/**
 * Chooses whom to ask: of the peers that policy allows and that are not cooling down, one with a link before one
 * without, one that is up before one that is down, and then the one with the least in flight; ties go round.
 * Called at the gate for every call, and for every further attempt, with those already tried left out.
 */
export function choosePeer(state: EngineState, selection: Value, tried: ReadonlySet<PeerId>): Choice {
  const candidates = resolve(state, selection);
  if (candidates.length === 0) return { kind: "unknown", reason: `nobody answers to ${describe(selection)}` };
  let best: Peer | undefined;
  let bestScore = Infinity;
  let retryAt = Infinity;
  let denied: string | undefined;
  // Starting anywhere makes equal candidates take turns.
  const start = candidates.length === 1 ? 0 : state.random.below(candidates.length);
  for (let n = 0; n < candidates.length; n++) {
    const peer = candidates[(start + n) % candidates.length] as Peer;
    if (tried.has(peer.id)) continue;
    const decision = state.governor.checkOutbound(peer.id, state.backoff, state.now);
    if (!decision.allow) {
      if (decision.reason === "cooldown") retryAt = Math.min(retryAt, decision.retryAt);
      else denied = decision.reason;
      continue;
    }
    const freeAt = state.probeFreeAt(peer);
    if (freeAt > state.now) {
      retryAt = Math.min(retryAt, freeAt);
      continue;
    }
    const score = (peer.link?.sendReady === true ? 0 : 1e9) + (isFailing(state, peer) ? 1e6 : 0) + peer.inFlight;
    if (score < bestScore) {
      best = peer;
      bestScore = score;
    }
  }
  if (best !== undefined) return { kind: "peer", peer: best };
  if (retryAt < Infinity) return { kind: "wait", retryAt };
  if (denied !== undefined) return { kind: "denied", reason: denied };
  return { kind: "unknown", reason: `everybody in ${describe(selection)} was tried` };
}

/** Is there reason to believe that what this peer accepted will not be answered soon? */
export function isFailing(state: EngineState, peer: Peer): boolean {
  return peer.siteVerdict === "down" || state.governor.isDown(peer.id);
}

/** Does it name a group, so that a further attempt may go to another peer? */
export function isGroup(selection: Value): boolean {
  return typeof (selection as { group?: Value }).group === "string";
}

function resolve(state: EngineState, selection: Value): readonly Peer[] {
  const { group, peer } = (typeof selection === "object" && selection !== null ? selection : {}) as { group?: Value; peer?: Value };
  const names = typeof group === "string" ? (state.groups.get(group) ?? []) : typeof peer === "string" ? [peer] : [];
  return names.map((name) => state.peersByName.get(name) ?? state.peers.get(name as PeerId)).filter((found) => found !== undefined);
}

function describe(selection: Value): string {
  const { group, peer } = (selection ?? {}) as { group?: Value; peer?: Value };
  return typeof group === "string" ? `group ${group}` : `peer ${String(peer)}`;
}
