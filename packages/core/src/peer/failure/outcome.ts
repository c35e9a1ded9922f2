import type { PeerId } from "../../base/ids.ts";
import type { BackoffTable } from "./backoff-table.ts";
import type { HealthTransition, PeerGovernor } from "../policy/peer-governor.ts";

/** What kind of evidence about a peer something is. Only `works`, `remote-fault` and, once, `ambiguous` say whether it is up. */
export type Evidence =
  | "works"
  /** The peer, or the way to it, does not do what it should. */
  | "remote-fault"
  /** It may have been the peer, the network or a restart: it counts at most once against up or down until the peer shows that it works. */
  | "ambiguous"
  /** The peer has too much to do, and says so: it is advice (BackoffTable.recordRemoteAdvisory), and proves life. */
  | "overload"
  /** Our own network, descriptors, memory or pauses, or our own policy. */
  | "local-fault"
  /** We did not want it any more. */
  | "cancelled";

/** What each thing that can happen between us and a peer says about the peer. Source: design.md §3. */
const EVIDENCE = {
  "reply": "works", // also one that carries an application error
  "acknowledgement": "works", // of a one-way send
  "heartbeat-echo": "works",
  "dial-refused": "remote-fault",
  "protocol-violated": "remote-fault",
  "link-refused": "remote-fault", // closed before it was of any use
  "link-silent": "remote-fault", // nothing was acknowledged in time
  "attempt-timed-out": "remote-fault", // before the peer had accepted the request
  "link-lost": "ambiguous",
  "overload": "overload",
  "policy-refusal": "local-fault",
  "local-fault": "local-fault",
  "own-pause": "local-fault",
  "own-cancel": "cancelled",
} as const satisfies Record<string, Evidence>;

export type Outcome = "success" | "failure" | "neither";
export type PeerEvent = keyof typeof EVIDENCE;

export function evidenceOf(event: PeerEvent): Evidence {
  return EVIDENCE[event];
}

/** What the counting components make of it. */
export function outcomeOf(event: PeerEvent): Outcome {
  switch (evidenceOf(event)) {
    case "works": return "success";
    case "remote-fault": case "ambiguous": return "failure";
    default: return "neither";
  }
}

/**
 * Feeds one event to both components that count outcomes, and answers the governor's verdict. What is
 * ambiguous lengthens the back-off, so that a link that comes and goes is not dialled at full speed, but adds to no
 * streak that has begun.
 */
export function recordOutcome<K extends string = PeerId>(
  peer: K,
  event: PeerEvent,
  state: { readonly governor: PeerGovernor<K>; readonly backoff: BackoffTable<K> },
  now: number,
): HealthTransition {
  const outcome = outcomeOf(event);
  if (outcome === "neither") return "none";
  if (outcome === "success") {
    state.backoff.recordSuccess(peer, now);
    return state.governor.recordSuccess(peer, now);
  }
  state.backoff.recordFailure(peer, now);
  const isKnown = evidenceOf(event) === "ambiguous" && (state.governor.peerHealth(peer)?.consecutiveFailures ?? 0) > 0;
  return isKnown ? "none" : state.governor.recordFailure(peer, now);
}
