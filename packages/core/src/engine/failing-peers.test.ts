import assert from "node:assert/strict";
import { test } from "node:test";
import type { PeerId } from "../base/ids.ts";
import { any } from "../flow/port-schema.ts";
import { flow } from "../flow/flow.ts";
import { host } from "../flow/functions.ts";
import { TestWorld, type TestNode } from "./testing/pair.ts";

const number = any<number>();
const work = host("work", { version: 1, class: "keyed" }, (n: number) => n + 1);
const worked = flow("worked", { input: { n: number }, output: { n: number }, deadlineMs: "never" }, (b, { n }) => ({ n: b.host(work, n) }));
const ask = flow("ask", { input: { n: number }, output: { n: number }, deadlineMs: "never" }, (b, { n }) => ({ n: b.call(worked, b.peer("bob"), { n }).n }));

const spread = flow("spread", { input: { n: number }, output: { n: number }, deadlineMs: "never" }, (b, { n }) => ({ n: b.call(worked, b.select("workers"), { n }, { retry: { attempts: 2 } }).n }));

function worldOf(...names: string[]): { world: TestWorld; ann: TestNode; bob: TestNode } {
  const world = new TestWorld(names, [worked, ask, spread], { workers: names.slice(1) });
  world.settle();
  return { world, ann: world.node("ann"), bob: world.node("bob") };
}

const streak = (node: TestNode, peer: PeerId): number => node.state.governor.peerHealth(peer)?.consecutiveFailures ?? 0;

/** The peer is as after a failure whose cooldown is over; its link stands, and nothing of it arrives. */
function halfOpen({ world, ann, bob }: ReturnType<typeof worldOf>): void {
  world.slow = true;
  ann.state.recordOutcome(ann.state.peer(bob.id), "attempt-timed-out");
  ann.state.endFailureBackoff(ann.state.peer(bob.id));
}

test("probes: one call goes out to a peer that failed, the others are parked with a time", () => {
  const given = worldOf("ann", "bob");
  const { ann, bob, world } = given;
  halfOpen(given);
  for (let n = 0; n < 5; n++) ann.invoke("ask", { n }, `a${n}`);
  while (ann.driver.engine.hasWork) ann.step();
  assert.deepEqual([ann.state.peer(bob.id).inFlight, ann.state.parkedGates.size, ann.state.probes.taken(bob.id, ann.state.now)], [1, 4, 1]);
  for (const command of ann.state.parkedGates) assert.notEqual(ann.state.timers.find("gate", command), undefined);
  world.slow = false;
  world.run(6000);
  assert.deepEqual([ann.state.finished.size, ann.state.parkedGates.size, ann.state.probes.taken(bob.id, ann.state.now)], [5, 0, 0]);
  assert.equal(ann.state.mayAddAttempt(ann.state.peer(bob.id), "retry"), true, "it works again, though not at any rate yet");
});

test("probes: a cancelled one gives its place to the next", () => {
  const given = worldOf("ann", "bob");
  const { ann, bob } = given;
  halfOpen(given);
  ann.invoke("ask", { n: 1 }, "a");
  ann.invoke("ask", { n: 2 }, "b");
  while (ann.driver.engine.hasWork) ann.step();
  assert.equal(ann.state.parkedGates.size, 1);
  ann.take({ kind: "cancel-requested", execution: "a" as never, tag: 1 });
  while (ann.driver.engine.hasWork) ann.step();
  ann.step();
  assert.deepEqual([ann.state.parkedGates.size, ann.state.peer(bob.id).inFlight], [0, 1]);
});

test("evidence: a dial that our own machine refused says nothing about the peer, and is repeated later, not at once", () => {
  const { ann, bob } = worldOf("ann", "bob");
  const peer = ann.state.peer(bob.id);
  ann.take({ kind: "link-closed", link: peer.link?.id ?? 0, reason: "gone", blamesPeer: false });
  ann.step();
  const before = streak(ann, bob.id);
  ann.take({ kind: "dial-failed", peer: bob.id, reason: "EMFILE", fault: "local" });
  ann.step();
  assert.equal(streak(ann, bob.id), before);
  assert.ok(ann.state.ownRetryAt > ann.state.now || peer.dialing || peer.link !== null);
});

test("evidence: if nobody answers we are cut off: it says nothing about them for a while, and then it does", () => {
  const { ann } = worldOf("ann", "bob", "cid", "dan");
  const { state } = ann;
  const peers = ["bob", "cid", "dan"].map((name) => state.peersByName.get(name)!);
  state.links.clear();
  assert.deepEqual(peers.map((peer) => state.blamesUs(peer, "silent")), [false, false, true]);
  state.now += 61e9;
  assert.equal(state.blamesUs(peers[0]!, "silent"), false);
  state.heard();
  assert.deepEqual([...peers, peers[0]!].map((peer) => state.blamesUs(peer, "refused")), [false, false, false, false]);
});

test("budget: a retry takes a token of the peer's and of the node's, is refused without one, and goes to no peer that is probed", () => {
  const { ann, bob } = worldOf("ann", "bob");
  const { state } = ann;
  const peer = state.peer(bob.id);
  let granted = 0;
  while (granted < 1000 && state.mayAddAttempt(peer, "retry")) granted++;
  assert.ok(granted >= 10 && granted < 15);
  assert.equal(state.mayAddAttempt(peer, "hedge"), false);
  assert.equal(state.mayAddAttempt(peer, "probe"), true, "a probe carries what was to be sent anyway");
  state.now += 1000e9;
  assert.equal(state.mayAddAttempt(peer, "hedge"), true);
  state.recordOutcome(peer, "attempt-timed-out");
  assert.equal(state.mayAddAttempt(peer, "retry"), false);
});

test("budget: what was asked of a peer that is gone goes elsewhere without a token, all of it", () => {
  const { world, ann } = worldOf("ann", "bob", "cid");
  const { state } = ann;
  world.slow = true;
  for (let n = 0; n < 40; n++) ann.invoke("spread", { n }, `a${n}`);
  while (ann.driver.engine.hasWork) ann.step();
  const [lost, other] = [world.node("bob"), world.node("cid")];
  assert.ok(state.peer(lost.id).inFlight > 0);
  while (state.mayAddAttempt(state.peer(other.id), "retry"));
  ann.take({ kind: "policy-changed", change: { action: "block", peer: lost.id }, tag: 1 });
  while (ann.driver.engine.hasWork) ann.step();
  assert.deepEqual([state.peer(lost.id).inFlight, state.peer(other.id).inFlight], [0, 40]);
  world.slow = false;
  world.run(6000);
  assert.equal(state.finished.size, 40);
});

test("network-changed and a new address end a back-off that failures caused", () => {
  for (const change of ["network", "address"] as const) {
    const { ann, bob } = worldOf("ann", "bob");
    const peer = ann.state.peer(bob.id);
    for (let n = 0; n < 10; n++) {
      ann.state.now++;
      ann.state.recordOutcome(peer, "dial-refused");
    }
    assert.ok(ann.state.backoff.retryAt(bob.id) > ann.state.now);
    if (change === "network") ann.take({ kind: "network-changed" });
    else ann.take({ kind: "peer-configured", peer: bob.id, name: "bob", addresses: ["new"], keepLink: true });
    ann.step();
    assert.equal(ann.state.backoff.retryAt(bob.id), 0);
  }
});

test("overload: a refusal for want of room is advice, and no failure", () => {
  const { ann, bob } = worldOf("ann", "bob");
  ann.state.recordOverload(ann.state.peer(bob.id));
  assert.deepEqual([streak(ann, bob.id), ann.state.backoff.attempts(bob.id)], [0, 0]);
  assert.ok(ann.state.backoff.retryAt(bob.id) >= ann.state.now + 100e6);
});
