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

const NOBODY: readonly string[] = [];
const NOT_TRIED: ReadonlySet<PeerId> = new Set();

/**
 * Chooses whom to ask for a flow: of the peers that policy allows and that are not cooling down, those with a link
 * before those without, the live before suspects and those before the ones that are down, those that do as their group
 * does before those set aside; of two of the first drawn at random, the one whose answer costs less
 * (peer/selection/peer-group.ts). Equal costs go by what is in flight altogether, which for one-way sends is all there is to go by.
 * Called at the gate for every call, and for every further attempt, with those already tried left out.
 */
export function choosePeer(state: EngineState, selection: Value, flow: string, tried: ReadonlySet<PeerId> = NOT_TRIED): Choice {
  const name = groupOf(selection);
  const names = name === undefined ? nameOf(selection) : (state.groups.get(name) ?? NOBODY);
  const group = state.loads.group(name ?? "", flow);
  let known = 0;
  let retryAt = Infinity;
  let denied: string | undefined;
  group.clear();
  for (const peerName of names) {
    const peer = state.peersByName.get(peerName) ?? state.peers.get(peerName as PeerId);
    if (peer === undefined) continue;
    known++;
    let rank: number | undefined;
    if (!tried.has(peer.id)) {
      const decision = state.governor.checkOutbound(peer.id, state.backoff, state.now);
      const freeAt = decision.allow ? state.probeFreeAt(peer) : 0;
      if (freeAt > state.now) retryAt = Math.min(retryAt, freeAt);
      else if (decision.allow) rank = (peer.link?.sendReady === true ? 0 : 3) + (isFailing(state, peer) ? 2 : peer.siteVerdict === "suspect" ? 1 : 0);
      else if (decision.reason === "cooldown") retryAt = Math.min(retryAt, decision.retryAt);
      else denied = decision.reason;
    }
    group.add(peer, rank, state.awake);
  }
  const peer = group.pick(state.awake, state.random);
  if (peer !== undefined) return { kind: "peer", peer };
  if (known === 0) return { kind: "unknown", reason: `nobody answers to ${describe(selection)}` };
  if (retryAt < Infinity) return { kind: "wait", retryAt };
  if (denied !== undefined) return { kind: "denied", reason: denied };
  return { kind: "unknown", reason: `everybody in ${describe(selection)} was tried` };
}

/** Is there reason to believe that what this peer accepted will not be answered soon? */
export function isFailing(state: EngineState, peer: Peer): boolean {
  return peer.siteVerdict === "down" || state.governor.isDown(peer.id);
}

/** The group that it names, so that a further attempt may go to another peer. */
export function groupOf(selection: Value): string | undefined {
  const { group } = (typeof selection === "object" && selection !== null ? selection : {}) as { group?: Value };
  return typeof group === "string" ? group : undefined;
}

function nameOf(selection: Value): readonly string[] {
  const { peer } = (typeof selection === "object" && selection !== null ? selection : {}) as { peer?: Value };
  return typeof peer === "string" ? [peer] : NOBODY;
}

function describe(selection: Value): string {
  const { group, peer } = (selection ?? {}) as { group?: Value; peer?: Value };
  return typeof group === "string" ? `group ${group}` : `peer ${String(peer)}`;
}
