import type { PeerId } from "../base/ids.ts";
import type { BackoffTable } from "./backoff-table.ts";
import type { HealthTransition, PeerGovernor } from "./peer-governor.ts";

/**
 * What each thing that can happen between us and a peer says about the peer. Source: design.md §3. `neither`: it says
 * something about load, policy or ourselves, and nothing about whether the peer works.
 */
const MEANING = {
  "reply": "success", // also one that carries an application error
  "acknowledgement": "success", // of a one-way send
  "heartbeat-echo": "success",
  "dial-refused": "failure",
  "link-lost": "failure",
  "attempt-timed-out": "failure", // before the peer had accepted the request
  "overload": "neither", // it is advice: BackoffTable.recordRemoteAdvisory
  "policy-refusal": "neither",
  "local-fault": "neither",
  "own-cancel": "neither",
  "own-pause": "neither",
} as const satisfies Record<string, Outcome>;

export type Outcome = "success" | "failure" | "neither";
export type PeerEvent = keyof typeof MEANING;

export function outcomeOf(event: PeerEvent): Outcome {
  return MEANING[event];
}

/** Feeds one event to both components that count outcomes, and answers the governor's verdict. */
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
  return state.governor.recordFailure(peer, now);
}
