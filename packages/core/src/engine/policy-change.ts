import { RuntimeError } from "../base/errors.ts";
import { addNs } from "../base/time.ts";
import { isPolicyReason, parsePolicyScope, policyScopeText, POLICY_REASON_BYTES_MAX } from "../peer/policy/peer-policy.ts";
import type { PeerPolicy, PolicyEntry, PolicyScope } from "../peer/policy/peer-policy.ts";
import { isQuantity } from "../peer/quantity.ts";
import type { Answer, PolicyChange, PolicySubject, PolicyTerms } from "./engine-events.ts";

type Refusal = Extract<Answer, { ok: false }>;

/** Makes a change that was asked for at `now`. Returns why it cannot be made; then nothing has changed. */
export function changePolicy(policy: PeerPolicy, change: PolicyChange, now: number): Refusal | undefined {
  try {
    return apply(policy, change, now);
  } catch (error) {
    if (!(error instanceof RuntimeError)) throw error;
    return refusal("SCHEMA", error.message);
  }
}

function apply(policy: PeerPolicy, change: PolicyChange, now: number): Refusal | undefined {
  switch (change.action) {
    case "block": return isFull(policy.add(entryOf("deny", change.peer, change, now)));
    case "unblock": return void policy.remove("deny", scopeOf(change.peer));
    case "allow":
      if (!policy.allowlists.includes("operator")) return refusal("SCHEMA", "Everybody is admitted who is not blocked: an allowlist begins with allow-only.");
      return isFull(policy.add(entryOf("allow", change.peer, change, now)));
    case "disallow": return void policy.remove("allow", scopeOf(change.peer));
    case "allow-only": return isFull(policy.allowOnly(change.peers?.map((peer) => entryOf("allow", peer, change, now))));
  }
}

function entryOf(kind: PolicyEntry["kind"], subject: PolicySubject, { forNs, by = "api", reason = "" }: PolicyTerms, now: number): PolicyEntry {
  if (forNs !== undefined && !(isQuantity(forNs) && forNs > 0)) throw new RuntimeError("OPTION_INVALID", { option: "forNs", expected: "whole ns, at least 1" });
  if (!isPolicyReason(reason)) throw new RuntimeError("OPTION_INVALID", { option: "reason", expected: `at most ${POLICY_REASON_BYTES_MAX} bytes of text` });
  return { kind, ...scopeOf(subject), until: forNs === undefined ? "never" : addNs(now, forNs), by, reason, addedAt: now };
}

/** In the one spelling by which entries are told apart. Throws OPTION_INVALID for a malformed range. */
function scopeOf(subject: PolicySubject): PolicyScope {
  if (typeof subject === "string") return { on: "peer", what: subject };
  return subject.on === "peer" ? { on: "peer", what: subject.what } : parsePolicyScope(policyScopeText(subject));
}

function isFull(outcome: "added" | "set" | "full"): Refusal | undefined {
  return outcome === "full" ? refusal("FULL", "The policy is full (docs/LIMITS.md); take entries back first.") : undefined;
}

function refusal(code: Refusal["code"], message: string): Refusal {
  return { ok: false, code, message, details: null };
}
