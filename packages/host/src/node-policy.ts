import {
  type ConfiguredScope, isPolicyReason, NS_PER_MS, parsePeerId, parsePolicyScope, Peer, type PeerId, POLICY_REASON_BYTES_MAX, type PolicyLists, type PolicySubject,
  type PolicyTerms, RuntimeError,
} from "@holdfast/core";
import type { NodeOptions, PolicyItem, PolicyOptions } from "./node-api.ts";
import type { Engine } from "@holdfast/core";

type EngineState = Engine["state"];

/** What the configuration says of peers and addresses. Throws OPTION_INVALID naming the item, PEER_ID_INVALID. */
export function policyLists({ peers = {}, policy = {} }: NodeOptions): PolicyLists {
  const idOf = (who: string): PeerId | undefined => (peers[who] === undefined ? undefined : parsePeerId(peers[who].id));
  const scope = (item: string | PolicyItem): ConfiguredScope => {
    const { who, reason = "" } = typeof item === "string" ? { who: item } : item;
    checkReason(reason);
    const subject = parseSubject(who, idOf);
    return typeof subject === "string" ? { on: "peer", what: subject, reason } : { ...subject, reason };
  };
  return { block: (policy.block ?? []).map(scope), allow: policy.allow?.map(scope) ?? null };
}

/**
 * Whom a change of policy means: a peer by name or id, a range of addresses such as 10.0.0.0/8, or a protocol such as /ws.
 * Throws OPTION_INVALID for a malformed range, PEER_ID_INVALID.
 */
export function parseSubject(who: string, idOf: (name: string) => PeerId | undefined): PolicySubject {
  const known = idOf(who);
  if (known !== undefined) return known;
  const scope = parsePolicyScope(who);
  return scope.on === "peer" ? (scope.what as PeerId) : scope;
}

/** How long and why, as the engine takes it. Throws OPTION_INVALID. */
export function policyTerms({ forMs, reason, by }: PolicyOptions): PolicyTerms {
  if (forMs !== undefined && !(forMs > 0 && forMs < Infinity)) throw new RuntimeError("OPTION_INVALID", { option: "forMs", value: forMs, expected: "above 0" });
  if (reason !== undefined) checkReason(reason);
  return { ...(forMs !== undefined && { forNs: Math.ceil(forMs * NS_PER_MS) }), ...(reason !== undefined && { reason }), ...(by !== undefined && { by }) };
}

/**
 * The peer that a person means: by name, by id, or by how one of them begins. A well-formed id that is not known here is a peer
 * of which nothing is known. Throws PEER_UNKNOWN naming those that could be meant.
 */
export function findPeer(state: EngineState, who: string): Peer {
  const exact = state.peersByName.get(who) ?? state.peers.get(who as PeerId);
  if (exact !== undefined) return exact;
  const peers = [...state.peers.values()];
  const found = who === "" ? [] : peers.filter(({ id, name }) => id.startsWith(who) || name?.startsWith(who) === true);
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  if (found.length > 1) throw new RuntimeError("PEER_UNKNOWN", { peer: who, begins: shown(found) });
  try {
    return new Peer(parsePeerId(who));
  } catch {
    throw new RuntimeError("PEER_UNKNOWN", { peer: who, known: peers.length === 0 ? "nobody" : shown(peers) });
  }
}

/** Names that a line has room for. */
const SHOWN_MAX = 10;

function shown(peers: readonly Peer[]): string {
  const names = peers.slice(0, SHOWN_MAX).map(({ id, name }) => name ?? id);
  return names.join(" ") + (peers.length > SHOWN_MAX ? ` and ${peers.length - SHOWN_MAX} more` : "");
}

function checkReason(reason: string): void {
  if (typeof reason !== "string" || !isPolicyReason(reason)) throw new RuntimeError("OPTION_INVALID", { option: "reason", expected: `at most ${POLICY_REASON_BYTES_MAX} bytes of text` });
}
