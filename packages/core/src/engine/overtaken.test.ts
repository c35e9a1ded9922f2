import assert from "node:assert/strict";
import { test } from "node:test";
import { any } from "../flow/port-schema.ts";
import { flow } from "../flow/flow.ts";
import { host } from "../flow/functions.ts";
import type { ExecutionId } from "../base/ids.ts";
import { NS_PER_S } from "../base/time.ts";
import type { Hello, Message } from "../wire/message.ts";
import { decodeMessage, encodeMessageFrame } from "../wire/message-codec.ts";
import type { EngineOptions } from "./engine-options.ts";
import type { Peer } from "./peer.ts";
import { TestNode, TestWorld } from "./testing/pair.ts";

// Decision 10: a process whose store another one has claimed, and which does not know it.

const number = any<number>();
const work = host("work", { version: 1, class: "keyed" }, (n: number) => n + 1);
const worked = flow("worked", { input: { n: number }, output: { n: number }, deadlineMs: "never" }, (b, { n }) => ({ n: b.host(work, n) }));
const ask = flow("ask", { input: { n: number }, output: { n: number }, deadlineMs: "never" }, (b, { n }) => ({ n: b.call(worked, b.peer("bob"), { n }).n }));
const flows = [worked, ask];

/** Does not recognise its pauses: what the Hello does must hold without that. */
const NEVER_PAUSED: Partial<EngineOptions> = { pauseMinNs: 1e6 * NS_PER_S };

function worldOf(options: Partial<EngineOptions> = NEVER_PAUSED): { world: TestWorld; ann: TestNode; bob: TestNode } {
  const world = new TestWorld(["ann", "bob"], flows, {}, options);
  world.settle();
  return { world, ann: world.node("ann"), bob: world.node("bob") };
}

const FENCED = new Error("STORE_FENCED");

/** Another process takes over what the node has stored. The old one lives until it commits. */
function overtake(world: TestWorld, old: TestNode): TestNode {
  const seed = [...world.nodes.values()].indexOf(old) + 1;
  const next = new TestNode(world, old.name, seed, flows, old.options);
  for (const [key, bytes] of old.rows) next.rows.set(key, bytes);
  next.position = old.position;
  next.incarnation = old.incarnation;
  old.rows.set = () => {
    throw FENCED;
  };
  for (const act of ["step", "settleCommits"] as const) {
    const unguarded = old[act].bind(old);
    old[act] = () => {
      try {
        return unguarded();
      } catch (error) {
        if (error !== FENCED) throw error;
        old.kill();
        return true;
      }
    };
  }
  world.nodes.set(old.name, next);
  next.start();
  world.nodes.set("old", old);
  return next;
}

const peerOf = (node: TestNode, other: TestNode): Peer => node.state.peer(other.id);
const incarnationSeen = (node: TestNode, other: TestNode): number | undefined => peerOf(node, other).link?.incarnation;
const alarms = (...nodes: TestNode[]): unknown[] => nodes.flatMap(({ events }) => events.filter(({ event }) => event === "history-lost" || event === "lineage-changed"));

function assertAnswers(world: TestWorld, node: TestNode, key: string): void {
  node.invoke("ask", { n: 3 }, key);
  world.run(1000);
  assert.equal(node.outcomes.get(key as ExecutionId)?.ok, true, `${key} is answered`);
}

for (const which of ["ann", "bob"] as const) {
  test(`overtaken: ${which}'s idle old process loses its link to the new one, whichever link the lower id dialled`, () => {
    const { world, ann, bob } = worldOf();
    assertAnswers(world, ann, "before");
    world.run(10_000);
    const old = world.node(which);
    const other = which === "ann" ? bob : ann;
    const next = overtake(world, old);
    world.run(5000);
    assert.equal(incarnationSeen(other, next), next.incarnation);
    assert.equal(old.up, false, "told that it was overtaken, it has found out");
    assert.deepEqual(alarms(ann, bob, next), []);
    assert.equal(other.state.governor.peerHealth(next.id)?.consecutiveFailures ?? 0, 0, "no failure of the peer");
    assertAnswers(world, world.node("ann"), "after");
  });
}

/** Opens a link to the node, on which its peer says Hello: as an old process without a memory, but for what is given. */
function say(node: TestNode, link: number, from: TestNode, given: Partial<Hello>): void {
  node.take({ kind: "link-opened", link, peer: from.id, dialled: false });
  node.take({ kind: "frame-received", link, body: encodeMessageFrame({
    kind: "hello", protocol: 1, lineage: from.state.identity.lineage, incarnation: 1, epoch: 1, lowestUnacknowledged: 1, nextSequence: 1,
    peerLineage: node.state.identity.lineage, peerEpoch: 1, mark: 0, window: 256, addresses: [], ...given,
  }).slice(4) });
}

test("overtaken: an old process with an old memory is refused without an alarm; so it is after a restart of the peer", () => {
  for (const restarts of [false, true]) {
    const { world, ann, bob } = worldOf();
    bob.restart();
    assertAnswers(world, ann, "one");
    world.run(5000);
    const session = peerOf(ann, bob).session.encode();
    bob.paused = true;
    if (restarts) ann.restart();
    const failures = ann.state.governor.peerHealth(bob.id)?.consecutiveFailures ?? 0;
    const sent: Message[] = [];
    const perform = ann.perform.bind(ann);
    ann.perform = (effect) => {
      if (effect.kind !== "send-frame" || effect.link !== 100_000) return perform(effect);
      sent.push(decodeMessage(effect.frame.slice(4)));
    };
    say(ann, 100_000, bob, { incarnation: 1 });
    ann.step();
    assert.deepEqual(sent.at(-1), { kind: "goodbye", code: "overtaken" });
    assert.deepEqual(alarms(ann), []);
    assert.deepEqual(peerOf(ann, bob).session.encode(), session, "nothing was taken from it");
    assert.equal(ann.state.governor.peerHealth(bob.id)?.consecutiveFailures ?? 0, failures);
    bob.paused = false;
    world.run(10_000);
    assertAnswers(world, ann, "two");
  }
});

test("overtaken: whoever finds that it has forgotten something confirms that it owns its store before it says so", () => {
  for (const overtaken of [true, false]) {
    const { world, ann, bob } = worldOf();
    assertAnswers(world, ann, "one");
    world.run(5000);
    if (overtaken) overtake(world, bob).kill();
    const { acknowledged, nextSequence, mark } = peerOf(ann, bob).session;
    say(bob, 100_000, ann, { lowestUnacknowledged: acknowledged + 1, nextSequence, mark: mark + 5 });
    world.settle();
    assert.equal(bob.up, !overtaken);
    assert.equal(alarms(bob).length, overtaken ? 0 : 1);
  }
});

test("overtaken: a process that wakes up finds out before anything leaves it", () => {
  const { world, bob } = worldOf({});
  world.run(5000);
  overtake(world, bob).kill(); // what the new one is about, it does somewhere else
  bob.paused = true;
  world.run(2000);
  bob.paused = false;
  let left = 0;
  bob.perform = () => void left++;
  bob.step();
  assert.deepEqual([bob.up, left], [false, 0]);
});

test("overtaken: a process that has nothing to commit finds out within a minute", () => {
  const { world, bob } = worldOf();
  world.run(5000);
  overtake(world, bob).kill();
  world.run(50_000);
  assert.equal(bob.up, true);
  world.run(15_000);
  assert.equal(bob.up, false);
});

test("overtaken: an old backup that has forgotten nothing of the streams is believed once it has shown that it owns its store; one that has raises the alarm", () => {
  const { world, ann, bob } = worldOf();
  assertAnswers(world, ann, "one");
  world.run(1000);
  const backup = new Map(bob.rows);
  const { incarnation } = bob;
  const putBack = (): void => {
    bob.kill();
    bob.rows.clear();
    for (const [key, bytes] of backup) bob.rows.set(key, bytes);
    bob.incarnation = incarnation;
    bob.start();
  };
  for (let n = 0; n < 5; n++) {
    bob.restart();
    world.run(1000);
  }
  assert.equal(incarnationSeen(ann, bob), incarnation + 5);
  putBack();
  world.run(5000);
  assert.deepEqual(alarms(ann, bob), []);
  assert.ok((incarnationSeen(ann, bob) ?? 0) >= incarnation + 5);
  assertAnswers(world, ann, "two");
  world.run(1000);

  putBack();
  const session = peerOf(ann, bob).session.encode();
  world.run(5000);
  assert.notDeepEqual(alarms(ann, bob), []);
  assert.deepEqual(peerOf(ann, bob).session.encode(), session, "nothing was taken from it");
  assert.notEqual(peerOf(ann, bob).link?.sendReady, true);
});
