import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { RuntimeError } from "../../base/errors.ts";
import { BackoffTable } from "../failure/backoff-table.ts";
import { outcomeOf, recordOutcome } from "../failure/outcome.ts";
import type { PeerEvent } from "../failure/outcome.ts";
import { PeerGovernor } from "./peer-governor.ts";

const isSnapshotInvalid = (error: RuntimeError) => error.code === "SNAPSHOT_INVALID";

test("governor: G1: blocklist, then allowlist, then cooldown", () => {
  const governor = new PeerGovernor<string>();
  const backoff = new BackoffTable<string>({ baseNs: 10 });
  backoff.recordFailure("ann", 5);
  const ask = () => governor.checkOutbound("ann", backoff, 6);
  assert.deepEqual(ask(), { allow: false, reason: "cooldown", retryAt: 15 });
  assert.deepEqual(governor.checkInbound("ann"), { allow: true });
  governor.setAllowlist([]);
  assert.deepEqual(ask(), { allow: false, reason: "not-allowlisted" });
  governor.block("ann");
  assert.deepEqual(ask(), { allow: false, reason: "blocklisted" });
  governor.unblock("ann");
  governor.setAllowlist(undefined);
  assert.deepEqual(governor.checkOutbound("ann", backoff, 15), { allow: true });
});

test("governor: the failure at the threshold takes a peer down, once; the first success brings it up, once", () => {
  const governor = new PeerGovernor<string>({ failureThreshold: 2 });
  const heard = [1, 2, 3].map((now) => governor.recordFailure("ann", now));
  assert.deepEqual(heard, ["none", "went-down", "none"]);
  assert.deepEqual([4, 5].map((now) => governor.recordSuccess("ann", now)), ["came-up", "none"]);
});

test("governor: failures of one instant are one step of the streak", () => {
  const governor = new PeerGovernor<string>({ failureThreshold: 2 });
  for (let request = 0; request < 14; request++) assert.equal(governor.recordFailure("ann", 7), "none");
  assert.equal(governor.recordFailure("ann", 8), "went-down");
});

test("governor: G2: a lowered threshold marks nobody down until the next failure", () => {
  const governor = new PeerGovernor<string>();
  governor.recordFailure("ann", 1);
  governor.setFailureThreshold(0);
  assert.equal(governor.failureThreshold, 1);
  assert.equal(governor.isDown("ann"), false);
  assert.equal(governor.recordFailure("ann", 2), "went-down");
});

test("governor: G4: at the bound the least recent health goes, a down peer's last", () => {
  const evicted: string[] = [];
  const governor = new PeerGovernor<string>({ failureThreshold: 1, maxEntries: 2, onEvict: (peer) => evicted.push(peer) });
  governor.recordFailure("down", 1);
  governor.recordSuccess("up", 2);
  governor.recordSuccess("new", 3);
  assert.deepEqual(evicted, ["up"]);
});

test("governor: G3, and health and policy survive capture and restore", () => {
  const events = fc.array(fc.tuple(fc.constantFrom("a", "b"), fc.boolean(), fc.nat()));
  const peers = fc.uniqueArray(fc.string(), { maxLength: 4 });
  fc.assert(
    fc.property(events, peers, fc.option(peers, { nil: undefined }), (given, blocked, allowed) => {
      const governor = new PeerGovernor<string>({ failureThreshold: 2 });
      for (const [peer, good, now] of given) {
        const wasDown = governor.isDown(peer);
        const heard = good ? governor.recordSuccess(peer, now) : governor.recordFailure(peer, now);
        assert.equal(heard !== "none", wasDown !== governor.isDown(peer));
      }
      for (const peer of blocked) governor.block(peer);
      governor.setAllowlist(allowed);
      const copy = new PeerGovernor<string>();
      copy.restorePolicy(JSON.parse(JSON.stringify(governor.capturePolicy())));
      for (const [peer, health] of governor) copy.restoreHealth(peer, health);
      assert.deepEqual([copy.capturePolicy(), [...copy]], [governor.capturePolicy(), [...governor]]);
    }),
  );
});

test("governor: damaged health and policy are refused", () => {
  const governor = new PeerGovernor<string>();
  const health = { consecutiveFailures: 1, lastEvent: 1, down: false };
  const policy = { blocklist: ["a"], allowlist: null, failureThreshold: 5 };
  for (const bad of [{ consecutiveFailures: 2 ** 32 }, { lastEvent: NaN }, { down: 1 }]) {
    assert.throws(() => governor.restoreHealth("ann", { ...health, ...bad } as typeof health), isSnapshotInvalid);
  }
  for (const bad of [{ blocklist: [1] }, { allowlist: "ann" }, { failureThreshold: 0 }, { blocklist: null }]) {
    assert.throws(() => governor.restorePolicy({ ...policy, ...bad } as typeof policy), isSnapshotInvalid);
  }
  assert.equal(governor.trackedPeers, 0);
});

const outcomes: readonly (readonly [PeerEvent, string])[] = [
  ["reply", "success"],
  ["acknowledgement", "success"],
  ["heartbeat-echo", "success"],
  ["dial-refused", "failure"],
  ["link-refused", "failure"],
  ["link-silent", "failure"],
  ["protocol-violated", "failure"],
  ["attempt-timed-out", "failure"],
  ["overload", "neither"],
  ["policy-refusal", "neither"],
  ["local-fault", "neither"],
  ["own-cancel", "neither"],
  ["own-pause", "neither"],
];

for (const [event, outcome] of outcomes) {
  test(`outcome: ${event} counts as ${outcome}`, () => {
    const state = { governor: new PeerGovernor<string>({ failureThreshold: 2 }), backoff: new BackoffTable<string>() };
    state.governor.recordFailure("ann", 1);
    state.backoff.recordFailure("ann", 1);
    const heard = recordOutcome("ann", event, state, 2);
    const attempts = { success: undefined, failure: 2, neither: 1 }[outcomeOf(event)];
    assert.equal(outcomeOf(event), outcome);
    assert.equal(heard, outcome === "failure" ? "went-down" : "none");
    assert.equal(state.backoff.state("ann")?.attempts, attempts);
    assert.equal(state.governor.peerHealth("ann")?.consecutiveFailures, attempts ?? 0);
  });
}

test("outcome: what is ambiguous counts once against a peer until it shows that it works, and lengthens the back-off", () => {
  const state = { governor: new PeerGovernor<string>({ failureThreshold: 2 }), backoff: new BackoffTable<string>() };
  const heard = [1, 2, 3, 4].map((now) => recordOutcome("ann", "link-lost", state, now));
  assert.deepEqual(heard, ["none", "none", "none", "none"]);
  assert.deepEqual([state.governor.peerHealth("ann")?.consecutiveFailures, state.backoff.attempts("ann")], [1, 4]);
  recordOutcome("ann", "reply", state, 5);
  recordOutcome("ann", "link-lost", state, 6);
  assert.equal(state.governor.peerHealth("ann")?.consecutiveFailures, 1);
  assert.equal(recordOutcome("ann", "dial-refused", state, 7), "went-down");
});
