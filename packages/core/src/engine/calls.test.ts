import assert from "node:assert/strict";
import { test } from "node:test";
import { any } from "../flow/port-schema.ts";
import { flow, type AnyFlow } from "../flow/flow.ts";
import { host, pure } from "../flow/functions.ts";
import type { ExecutionId, PeerId } from "../base/ids.ts";
import { NS_PER_MS } from "../base/time.ts";
import type { Value } from "../base/value.ts";
import type { Failure } from "../flow/definitions.ts";
import { encodeMessageFrame } from "../wire/message-codec.ts";
import type { PolicyChange } from "./engine-events.ts";
import { TestWorld, type TestNode } from "./testing/pair.ts";

const id = (text: string): ExecutionId => text as ExecutionId;
const number = any<number>();
const codeOf = pure("code-of", { version: 1 }, (failure: Failure) => failure.code);
const countUp = pure("count-up", { version: 1 }, (cell: number | null) => (cell ?? 0) + 1);
const work = host("work", { version: 1, class: "keyed" }, (n: number) => n + 1);

const worked = flow("worked", { input: { n: number }, output: { n: number }, deadlineMs: "never" }, (b, { n }) => ({ n: b.host(work, n) }));
const ask = flow("ask", { input: { n: number }, output: { n: number }, deadlineMs: "never" }, (b, { n }) => ({ n: b.call(worked, b.peer("bob"), { n }).n }));
const askSoon = flow("ask-soon", { input: { n: number }, output: { n: number }, deadlineMs: 500 }, (b, { n }) => ({ n: b.call(worked, b.peer("bob"), { n }).n }));
const askCaught = flow("ask-caught", { input: { n: number }, output: { n: any<unknown>() }, deadlineMs: 5000 }, (b, { n }) => {
  const called = b.call(worked, b.peer("bob"), { n });
  return { n: b.race(called.n, b.pure(codeOf, b.failure(called.n))) };
});
const askAny = flow("ask-any", { input: { n: number }, output: { n: number }, deadlineMs: "never" },
  (b, { n }) => ({ n: b.call(worked, b.select("workers"), { n }, { retry: { attempts: 3 } }).n }));
const note = flow("note", { input: { key: any<string>() }, deadlineMs: "never" }, (b, { key }) => void b.update("notes", key, countUp));
const tell = flow("tell", { input: { key: any<string>() }, deadlineMs: "never" }, (b, { key }) => void b.send(note, b.peer("bob"), { key }));
const raced = flow("raced", { input: { n: number }, output: { got: any<unknown>() }, deadlineMs: "never" },
  (b, { n }) => ({ got: b.race(b.call(worked, b.peer("bob"), { n }).n, b.wait("enough")) }));
const relay = flow("relay", { input: { n: number }, output: { n: number }, deadlineMs: 10_000 }, (b, { n }) => ({ n: b.call(worked, b.peer("cid"), { n }).n }));
const askRelay = flow("ask-relay", { input: { n: number }, output: { n: number }, deadlineMs: 1000 }, (b, { n }) => ({ n: b.call(relay, b.peer("bob"), { n }).n }));
const watch = flow("watch", {
  input: { event: any<{ event: string; peer: string | null }>() }, deadlineMs: "never",
  on: ["peer-down", "peer-up", "peer-blocked", "site-suspect", "site-down", "site-live", "backoff-sent", "backoff-advised", "pause-recognised"],
}, (b, { event }) => void b.update("events", b.pure(pure("event-name", { version: 1 }, (one: { event: string }) => one.event), event), countUp));

const flows: AnyFlow[] = [worked, ask, askSoon, askCaught, askAny, note, tell, raced, relay, askRelay, watch];

function worldOf(...names: string[]): { world: TestWorld; ann: TestNode; bob: TestNode; cid: TestNode } {
  const world = new TestWorld(names, flows, { workers: names.slice(1) });
  world.settle();
  const [ann, bob, cid] = names.map((name) => world.node(name)) as [TestNode, TestNode, TestNode];
  return { world, ann, bob, cid };
}

const outcome = (node: TestNode, name: string): unknown => {
  const found = node.state.finished.get(id(name))?.outcome;
  return found === undefined ? "pending" : found.ok ? found.value : found.failure.code;
};
const changePolicy = (node: TestNode, change: PolicyChange): void => node.take({ kind: "policy-changed", change, tag: 0 });
const events = (node: TestNode): Record<string, Value> => Object.fromEntries(node.state.cells.table("events").entries());
const peerOf = (node: TestNode, other: TestNode) => node.state.peer(other.id);

/** Nobody reaches the node, and whoever has a link to it notices. */
function isolate(world: TestWorld, node: TestNode): void {
  world.cutOff.add(node);
  for (const other of world.nodes.values()) if (other !== node) world.cut(other, node);
}

function assertAtRest(...nodes: TestNode[]): void {
  nodes[0]?.world.run(50); // an acknowledgement of a reply may wait for something to ride on
  for (const { name, state } of nodes) {
    const inFlight = [...state.peers.values()].reduce((sum, peer) => sum + peer.inFlight + peer.queue.length + peer.session.outbox.length, 0);
    assert.deepEqual({ name, executions: state.executions.size, commands: state.commands.size, parked: state.parkedGates.size, inFlight }, { name, executions: 0, commands: 0, parked: 0, inFlight: 0 });
  }
}

// ── the gate ──

test("gate: parks while the peer cools down, goes on when it is eligible", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  isolate(world, bob);
  world.run(2000);
  ann.invoke("ask", { n: 1 }, "a");
  world.settle();
  assert.equal(ann.state.parkedGates.size, 1);
  ann.restart(); // a parked gate survives
  world.settle();
  world.cutOff.clear();
  world.run(6000);
  assert.deepEqual(outcome(ann, "a"), { n: 2 });
  assertAtRest(ann, bob);
});

test("gate: parks no longer than the deadline; the call never leaves", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  isolate(world, bob);
  world.run(3000);
  ann.invoke("ask-soon", { n: 1 }, "a");
  world.run(500);
  assert.equal(outcome(ann, "a"), "DEADLINE");
  assert.equal(bob.hostStarts.length, 0);
  world.cutOff.clear();
  world.run(10_000);
  assert.equal(bob.hostStarts.length, 0);
  assertAtRest(ann, bob);
});

test("gate: a peer that policy denies fails the call, and the flow may catch it", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  changePolicy(ann, { action: "block", peer: bob.id });
  for (const name of ["ask", "ask-caught", "tell"]) ann.invoke(name, name === "tell" ? { key: "k" } : { n: 1 }, name);
  world.settle();
  assert.deepEqual(["ask", "ask-caught", "tell"].map((name) => outcome(ann, name)), ["DENIED", { n: "DENIED" }, "DENIED"]);
  changePolicy(ann, { action: "unblock", peer: bob.id });
  changePolicy(ann, { action: "allow-only", peers: [] });
  ann.invoke("ask", { n: 1 }, "b");
  world.settle();
  assert.equal(outcome(ann, "b"), "DENIED");
  assertAtRest(ann, bob);
});

test("gate: a selection skips who cools down or is blocked", () => {
  const { world, ann, bob, cid } = worldOf("ann", "bob", "cid");
  isolate(world, bob);
  world.run(3000);
  for (let n = 0; n < 20; n++) ann.invoke("ask-any", { n }, `a${n}`);
  world.settle();
  for (let n = 0; n < 20; n++) assert.deepEqual(outcome(ann, `a${n}`), { n: n + 1 });
  assert.equal(cid.hostStarts.length, 20);
  changePolicy(ann, { action: "block", peer: cid.id });
  world.cutOff.clear();
  world.run(6000);
  for (let n = 0; n < 5; n++) ann.invoke("ask-any", { n }, `b${n}`);
  world.settle();
  assert.equal(bob.hostStarts.length, 5);
  assertAtRest(ann);
});

// ── policy at run time ──

test("block: what one failure makes others give up is neither cancelled nor answered in the stream that begins then", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  const spread = flow("spread", { input: { list: any<number[]>() }, output: { got: any<unknown>() }, deadlineMs: "never" },
    (b, { list }) => ({ got: b.map(list, worked, { to: b.peer("bob"), concurrency: 3 }) }));
  const there = flow("there", { input: { n: number }, output: { n: number }, deadlineMs: "never" }, (b, { n }) => ({ n: b.call(worked, b.peer("bob"), { n }).n }));
  const back = flow("back", { input: { n: number }, output: { n: number }, deadlineMs: "never" }, (b, { n }) => ({ n: b.call(there, b.peer("ann"), { n }).n }));
  for (const node of [ann, bob]) {
    node.flows = [...flows, spread, there, back];
    node.restart();
    node.holdHost = true;
  }
  world.settle();
  ann.invoke("spread", { list: [1, 2, 3] }, "a");
  bob.invoke("back", { n: 1 }, "b");
  world.settle();
  assert.equal(bob.hostStarts.length, 4);
  changePolicy(ann, { action: "block", peer: bob.id });
  world.settle();
  assert.equal(outcome(ann, "a"), "OUTCOME_UNKNOWN");
  assertAtRest(ann);
});

test("block: sessions end both ways with outcome unknown, nothing is resent, the next epoch works", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  const back = flow("back", { input: { n: number }, output: { n: number }, deadlineMs: "never" }, (b, { n }) => ({ n: b.call(worked, b.peer("ann"), { n }).n }));
  for (const node of [ann, bob]) {
    node.flows = [...flows, back];
    node.restart();
    node.holdHost = true;
  }
  world.settle();
  ann.invoke("ask", { n: 1 }, "there");
  bob.invoke("back", { n: 1 }, "back");
  world.settle();
  assert.equal(ann.state.executions.size, 2, "its own, and one of bob's");
  changePolicy(ann, { action: "block", peer: bob.id });
  world.settle();
  assert.equal(outcome(ann, "there"), "OUTCOME_UNKNOWN");
  assert.equal(ann.state.executions.size, 0, "what bob had asked is cancelled");
  assert.equal(ann.aborted.length, 1);
  assert.equal(outcome(bob, "back"), "pending", "bob cannot know yet");
  world.run(30_000);
  ann.restart(); // what an operator blocked stays blocked
  world.run(30_000);
  assert.equal(peerOf(ann, bob).link, null);
  changePolicy(ann, { action: "unblock", peer: bob.id });
  world.run(61_000);
  assert.equal(outcome(bob, "back"), "OUTCOME_UNKNOWN");
  assert.equal(bob.state.executions.size, 0, "what ann had asked is cancelled there too");
  assert.deepEqual([ann.hostStarts.length, bob.hostStarts.length], [1, 1], "nothing was sent again");
  ann.holdHost = bob.holdHost = false;
  ann.invoke("ask", { n: 5 }, "again");
  bob.invoke("back", { n: 6 }, "again");
  world.run(1000);
  assert.deepEqual([outcome(ann, "again"), outcome(bob, "again")], [{ n: 6 }, { n: 7 }]);
  assert.deepEqual([peerOf(ann, bob).session.epoch, peerOf(bob, ann).session.epoch], [2, 2]);
  assertAtRest(ann, bob);
});

test("block: a caller hears that its call is gone once it is unblocked, though nobody has anything to send", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  bob.holdHost = true;
  ann.invoke("ask", { n: 1 }, "a");
  world.settle();
  changePolicy(bob, { action: "block", peer: ann.id });
  world.settle();
  assert.equal(bob.state.executions.size, 0);
  changePolicy(bob, { action: "unblock", peer: ann.id });
  world.run(61_000);
  assert.equal(outcome(ann, "a"), "OUTCOME_UNKNOWN");
  assertAtRest(ann, bob);
});

test("block: in the configuration of the next start, it ends what is in flight", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  bob.holdHost = true;
  ann.invoke("ask", { n: 1 }, "a");
  world.settle();
  ann.kill();
  ann.policy = { block: [bob.id], allow: null };
  ann.start();
  world.settle();
  assert.equal(outcome(ann, "a"), "OUTCOME_UNKNOWN");
  ann.invoke("ask", { n: 1 }, "b");
  world.run(20_000);
  assert.equal(outcome(ann, "b"), "DENIED");
  assert.equal(peerOf(ann, bob).link, null);
});

test("block: while a dial is under way, and unblock afterwards: the peer is dialled again", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  isolate(world, bob);
  world.settle();
  changePolicy(ann, { action: "block", peer: bob.id });
  world.run(10_000);
  world.cutOff.clear();
  bob.kill(); // so that only ann dials
  ann.state.peer(bob.id).dialing = true; // the host is at it
  ann.take({ kind: "link-opened", link: 9999, peer: bob.id, dialled: true });
  world.settle();
  assert.equal(peerOf(ann, bob).link, null);
  const { dials } = world;
  changePolicy(ann, { action: "unblock", peer: bob.id });
  world.run(10_000);
  assert.ok(world.dials > dials);
});

// ── attempts and outcomes ──

test("attempts: one that nobody accepts is a failure of the peer, one step an instant however many there are", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  world.cutOff.add(bob); // frames vanish, the link stays
  for (let n = 0; n < 14; n++) ann.invoke("ask", { n }, `a${n}`);
  world.settle();
  const streak = (): number => ann.state.governor.peerHealth(bob.id)?.consecutiveFailures ?? 0;
  let steps = 0;
  const stepsAt: number[] = [];
  for (let ms = 0; ms < 2000; ms++) {
    world.run(1);
    assert.ok(streak() <= steps + 1, "one step an instant");
    if (streak() > steps) stepsAt.push(ms);
    steps = streak();
  }
  const gaps = stepsAt.slice(1).map((at, n) => at - (stepsAt[n] as number));
  for (let n = 1; n < gaps.length; n++) assert.ok((gaps[n] as number) >= 1.9 * (gaps[n - 1] as number), `the budget doubles: ${gaps.join(", ")}`);
  world.run(20_000);
  assert.equal(events(ann)["peer-down"], 1);
  world.cutOff.clear();
  world.run(60_000);
  assert.equal(events(ann)["peer-up"], 1);
  for (let n = 0; n < 14; n++) assert.deepEqual(outcome(ann, `a${n}`), { n: n + 1 });
  assertAtRest(ann, bob);
});

/** Ann knows how quick both workers are; then both stop finishing their work. */
function slowWorkers() {
  const made = worldOf("ann", "bob", "cid");
  const { world, ann, bob, cid } = made;
  world.run(3000);
  bob.holdHost = cid.holdHost = true;
  for (let n = 0; n < 12; n++) {
    ann.invoke("ask-any", { n }, `warm ${n}`);
    world.run(5);
    for (const node of [bob, cid]) for (const start of node.hostStarts.splice(0)) node.finishHost(start);
    world.run(1);
  }
  ann.invoke("ask-any", { n: 1 }, "a");
  world.settle();
  const [first, second] = bob.hostStarts.length === 1 ? [bob, cid] : [cid, bob];
  return { ...made, first, second };
}

test("attempts: an accepted one that outlasts what we learned gets company; the first to complete wins", () => {
  const { world, ann, first, second } = slowWorkers();
  world.run(5000);
  assert.deepEqual([first.hostStarts.length, second.hostStarts.length], [1, 1]);
  assert.equal(first.hostStarts[0]?.key, second.hostStarts[0]?.key, "one key for every attempt on every peer");
  assert.equal(ann.state.governor.peerHealth(first.id)?.consecutiveFailures ?? 0, 0, "slow is not failing");
  second.finishHost(second.hostStarts[0] as never);
  world.settle();
  assert.deepEqual(outcome(ann, "a"), { n: 2 });
  assert.equal(first.aborted.length, 1, "the loser is cancelled");
  first.finishHost(first.hostStarts[0] as never);
  world.run(1000);
  assertAtRest(ann, first, second);
});

test("attempts: a late reply completes the call and cancels the other", () => {
  const { world, ann, first, second } = slowWorkers();
  world.run(5000);
  first.finishHost(first.hostStarts[0] as never);
  world.settle();
  assert.deepEqual(outcome(ann, "a"), { n: 2 });
  assert.equal(second.aborted.length, 1);
  assertAtRest(ann, first, second);
});

test("attempts: a refusal of one leaves the others their chance", () => {
  const { world, ann, bob, cid, first, second } = slowWorkers();
  second.flows = [note];
  second.restart(); // it does not know the flow any more
  world.run(20_000);
  assert.equal(outcome(ann, "a"), "pending");
  first.finishHost(first.hostStarts[0] as never);
  world.settle();
  assert.deepEqual(outcome(ann, "a"), { n: 2 });
  assertAtRest(ann, bob, cid);
});

test("attempts: a peer that dies with what it accepted is asked no more, another is", () => {
  const { world, ann, first, second } = slowWorkers();
  isolate(world, first);
  second.holdHost = false;
  world.run(60_000);
  assert.deepEqual(outcome(ann, "a"), { n: 2 });
  world.cutOff.clear();
  world.run(70_000);
  assert.equal(first.state.executions.size, 0, "the durable cancel arrives when it is back");
  assertAtRest(ann, first, second);
});

test("attempts: neither a lost link nor the callee's restart completes a call", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  bob.holdHost = true;
  ann.invoke("ask", { n: 1 }, "a");
  world.settle();
  for (let round = 0; round < 3; round++) {
    world.cut(ann, bob);
    world.run(100);
    bob.restart();
    world.run(100);
    ann.restart();
    world.run(100);
  }
  assert.equal(outcome(ann, "a"), "pending");
  assert.equal(new Set(bob.hostStarts.map(({ key }) => key)).size, 1);
  bob.finishHost(bob.hostStarts.at(-1) as never);
  world.run(100);
  assert.deepEqual(outcome(ann, "a"), { n: 2 });
  assertAtRest(ann, bob);
});

// ── cancelling, deadlines ──

test("cancel: reaches remote work durably, though both ends die in between", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  bob.holdHost = true;
  ann.invoke("ask", { n: 1 }, "a");
  world.settle();
  isolate(world, bob);
  ann.take({ kind: "cancel-requested", execution: id("a"), tag: 900 });
  world.settle();
  assert.equal(ann.answers.get(900)?.ok, true);
  ann.restart();
  bob.restart();
  world.run(1000);
  assert.equal(bob.state.executions.size, 1);
  world.cutOff.clear();
  world.run(70_000);
  assert.equal(bob.state.executions.size, 0);
  assert.equal(bob.aborted.length, 1);
  assertAtRest(ann, bob);
});

test("race: a call that lost is cancelled where it runs", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  bob.holdHost = true;
  ann.invoke("raced", { n: 1 }, "r");
  world.settle();
  ann.take({ kind: "signalled", execution: id("r"), event: "enough", value: 0, tag: 1 });
  world.settle();
  assert.deepEqual(outcome(ann, "r"), { got: 0 });
  assert.equal(bob.aborted.length, 1);
  assertAtRest(ann, bob);
});

test("deadlines: the remaining time travels, and shrinks on the way", () => {
  const { world, ann, bob, cid } = worldOf("ann", "bob", "cid");
  cid.holdHost = true;
  world.slow = true;
  ann.invoke("ask-relay", { n: 1 }, "a");
  for (let hop = 0; hop < 8; hop++) {
    for (const node of [ann, bob, cid]) node.step();
    world.now += 20 * NS_PER_MS;
    for (const link of world.waiting) world.deliver(link, Infinity);
  }
  world.slow = false;
  const at = (node: TestNode): number => [...node.state.executions.values()][0]?.deadlineAt as number;
  // 20 ms pass between any two: those on the wire are not seen, those in a node are.
  assert.ok(at(ann) - at(bob) < 0 && at(bob) <= at(ann) + 41 * NS_PER_MS, `${at(ann)} ${at(bob)} ${at(cid)}`);
  assert.ok(at(cid) <= at(bob) + 41 * NS_PER_MS);
  world.run(2000);
  assert.equal(outcome(ann, "a"), "DEADLINE");
  assert.equal(cid.aborted.length, 1);
  assertAtRest(ann, bob, cid);
});

test("deadlines: work that is exhausted when it arrives never runs", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  isolate(world, bob);
  ann.take({ kind: "link-closed", link: -1, reason: "", blamesPeer: false });
  world.run(20);
  ann.invoke("ask-soon", { n: 1 }, "a"); // sealed into the outbox, or parked at the gate
  world.run(2000);
  world.cutOff.clear();
  world.run(10_000);
  assert.equal(outcome(ann, "a"), "DEADLINE");
  assert.equal(bob.hostStarts.length, 0);
  assertAtRest(ann, bob);
});

test("send: one way, once; what the window does not admit waits for it", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  world.slow = true;
  for (let n = 0; n < 600; n++) ann.invoke("tell", { key: `k${n}` }, `t${n}`);
  ann.step();
  ann.step();
  assert.ok(ann.state.parkedGates.size >= 600 - 257, `${ann.state.parkedGates.size} parked`);
  world.run(1); // no timer is due within this
  world.slow = false;
  world.settle();
  const notes = bob.state.cells.table("notes");
  assert.equal(notes.size, 600);
  for (let n = 0; n < 600; n++) assert.equal(notes.get(`k${n}`), 1);
  assertAtRest(ann, bob);
});

test("send: one that waited for the window and finds its peer in a cooldown then waits on", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  world.settle();
  const { peerWindow } = peerOf(ann, bob).session;
  world.slow = true;
  for (let n = 0; n <= peerWindow; n++) ann.invoke("tell", { key: `k${n}` }, `t${n}`);
  while (ann.driver.engine.hasWork) ann.step();
  assert.equal(ann.state.parkedGates.size, 1);
  const { backoff } = ann.state;
  backoff.recordRemoteAdvisory(bob.id, ann.state.now, 1e9);
  world.slow = false;
  world.run(900);
  assert.equal(bob.state.cells.table("notes").size, peerWindow, "its window is open, and it asked to be left alone");
  world.run(700); // advice is lengthened by up to a half
  assert.equal(bob.state.cells.table("notes").size, peerWindow + 1);
  assertAtRest(ann, bob);
});

// ── values that do not fit the wire ──

test("values: what the wire does not take fails the call at the caller, in either direction; both nodes go on", () => {
  const big = "x".repeat(5 * 1024 * 1024);
  const grow = flow("grow", { input: { n: number }, output: { text: any<string>() }, deadlineMs: 5000 }, (b, { n }) => ({ text: b.pure(pure("grown", { version: 1 }, (n: number) => big.slice(n - 1)), n) }));
  const askGrow = flow("ask-grow", { input: { n: number }, output: { text: any<string>() }, deadlineMs: 5000 }, (b, { n }) => ({ text: b.call(grow, b.peer("bob"), { n }).text }));
  const fail = flow("fail", { input: { n: number }, output: { n: number }, deadlineMs: 5000 }, (b, { n }) => ({ n: b.host(host("fails", { version: 1 }, (n: number): number => { throw new Error(`${n} ${big}`); }), n) }));
  const askFail = flow("ask-fail", { input: { n: number }, output: { n: number }, deadlineMs: 5000 }, (b, { n }) => ({ n: b.call(fail, b.peer("bob"), { n }).n }));
  const tellBig = flow("tell-big", { input: { key: any<string>() }, deadlineMs: 5000 }, (b, { key }) => void b.send(note, b.peer("bob"), { key }));
  const { world, ann, bob } = worldOf("ann", "bob");
  for (const node of [ann, bob]) {
    node.flows = [...flows, grow, askGrow, fail, askFail, tellBig];
    node.restart();
  }
  world.settle();
  ann.invoke("ask", { n: big }, "out");
  ann.invoke("ask-grow", { n: 1 }, "back");
  ann.invoke("ask-fail", { n: 1 }, "failure");
  ann.invoke("tell-big", { key: big }, "send");
  const long = "y".repeat(4096);
  ann.invoke("ask", { n: 1 }, long); // its idempotency key does not fit
  world.settle();
  assert.deepEqual(["out", "back", "failure", "send", long].map((name) => outcome(ann, name)), ["VALUE_TOO_LARGE", "VALUE_TOO_LARGE", "HOST_THREW", "VALUE_TOO_LARGE", "VALUE_TOO_LARGE"]);
  ann.invoke("ask", { n: 1 }, "after");
  world.settle();
  assert.deepEqual(outcome(ann, "after"), { n: 2 });
  assertAtRest(ann, bob);
});

// ── verdicts, pauses, notices ──

test("events: a silent peer becomes suspect, then down; when it speaks again, live", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  world.run(30_000);
  world.cutOff.add(bob);
  world.run(120_000);
  assert.deepEqual([events(ann)["site-suspect"], events(ann)["site-down"], events(ann)["site-live"]], [1, 1, undefined]);
  world.cutOff.clear();
  world.run(120_000);
  assert.deepEqual([events(ann)["site-suspect"], events(ann)["site-down"], events(ann)["site-live"]], [1, 1, 1]);
  assert.equal(events(ann)["peer-down"], events(ann)["peer-up"]);
});

test("pauses: whoever was not polled convicts nobody", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  world.run(30_000);
  world.now += 3_600_000 * NS_PER_MS; // both were suspended
  world.run(30_000);
  for (const node of [ann, bob]) assert.deepEqual(events(node), { "pause-recognised": 1 }, node.name);
  ann.paused = true; // SIGSTOP
  world.run(100_000);
  ann.paused = false;
  world.run(60_000);
  assert.deepEqual(events(ann), { "pause-recognised": 2 });
  assert.deepEqual([events(bob)["site-down"], events(bob)["site-live"]], [1, 1]);
});

test("pauses: a budget does not run while we are not polled", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  world.slow = true;
  ann.invoke("ask", { n: 1 }, "a");
  ann.step();
  world.now += 60_000 * NS_PER_MS;
  world.slow = false;
  world.settle();
  assert.equal(ann.state.governor.peerHealth(bob.id)?.consecutiveFailures ?? 0, 0);
  assert.deepEqual(outcome(ann, "a"), { n: 2 });
});

test("overload: at 75 % of the ingress the peer that causes it is told to back off, once a second; it is no failure", () => {
  const { world, ann, bob, cid } = worldOf("ann", "bob", "cid");
  const [link] = world.linksOf(ann, bob) as [number];
  const flood = (): void => {
    for (let beat = 0; beat < 3200; beat++) {
      const frame = encodeMessageFrame({ kind: "heartbeat", beat: beat + 10, acknowledged: 0, window: 256, sentAtUs: 0, intervalUs: 0 });
      ann.take({ kind: "frame-received", link, body: frame.slice(4) });
    }
    world.settle();
  };
  flood();
  flood();
  assert.deepEqual([events(ann)["backoff-sent"], events(bob)["backoff-advised"], events(cid)["backoff-advised"]], [1, 1, undefined]);
  assert.equal(bob.state.governor.peerHealth(ann.id)?.consecutiveFailures ?? 0, 0);
  assert.equal(bob.state.governor.checkOutbound(ann.id, bob.state.backoff, bob.state.now).allow, false);
  world.run(5000);
  assert.equal(bob.state.governor.checkOutbound(ann.id, bob.state.backoff, bob.state.now).allow, true);
  flood();
  assert.equal(events(ann)["backoff-sent"], 2);
});

// ── links ──

test("links: a peer that still believes in our old link is not dialled in a frenzy, and is reached in the end", () => {
  for (const [gone, stays] of [["ann", "bob"], ["bob", "ann"]] as const) {
    const { world } = worldOf("ann", "bob");
    world.run(10_000);
    world.vanish(world.node(gone));
    world.now += NS_PER_MS;
    const { dials } = world;
    world.node(gone).start();
    world.settle();
    world.run(10_000);
    assert.equal(peerOf(world.node(gone), world.node(stays)).link?.sendReady, true, `${gone} is back`);
    assert.ok(world.dials - dials < 40, `${world.dials - dials} dials`);
  }
});

test("links: one on which the peer never says Hello is let go, and the peer dialled again", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  bob.kill(); // after it accepted the connection, say, and before it could speak
  let dials = 0;
  const dial = world.dial.bind(world);
  world.dial = (from, peer) => {
    if (bob.up) return dial(from, peer);
    from.take({ kind: "link-opened", link: 100_000 + dials++, peer, dialled: true });
  };
  ann.invoke("ask", { n: 3 }, "asked");
  world.run(6000);
  assert.equal(dials, 2);
  bob.start();
  world.run(10_000);
  assert.equal(peerOf(ann, bob).link?.sendReady, true);
  assert.equal(ann.outcomes.get("asked" as ExecutionId)?.ok, true);
});

for (const code of ["shutdown", "stale", "malformed", "denied", "duplicate-link", "history-lost", "overtaken", "whatever"]) {
  test(`links: one who says goodbye (${code}) to every link is not dialled in a frenzy`, () => {
    const { world, ann, bob } = worldOf("ann", "bob");
    bob.kill();
    let dials = 0;
    world.dial = (from, peer) => {
      const link = 100_000 + dials++;
      from.take({ kind: "link-opened", link, peer, dialled: true });
      from.take({ kind: "frame-received", link, body: encodeMessageFrame({ kind: "goodbye", code }).slice(4) });
    };
    world.run(10_000);
    assert.ok(dials > 0 && dials <= 1100, `${dials} dials in 10 s`);
    assert.equal(ann.state.links.size, 0);
  });
}

test("links: those of two nodes that dial each other at once become one", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  for (let round = 0; round < 20; round++) {
    world.cut(ann, bob);
    world.run(20);
    assert.equal(ann.state.links.size, 1);
    assert.equal(bob.state.links.size, 1);
    assert.equal(peerOf(ann, bob).link?.dialled, !(peerOf(bob, ann).link?.dialled ?? false));
  }
});

// ── bounds ──

test("bounds: the callee's table of executions fills, new work is held back or refused, and all of it is done in the end", () => {
  const { world, ann, bob, cid } = worldOf("ann", "bob", "cid");
  bob.holdHost = true;
  const each = 6000;
  for (const node of [ann, cid]) for (let n = 0; n < each; n++) node.take({ kind: "invoked", id: id(`a${n}`), flow: "ask", input: { n }, deadlineNs: null, tag: 1 });
  world.settle();
  assert.ok(bob.state.executions.size <= 10_000 && bob.state.executions.size > 9000, `${bob.state.executions.size} live`);
  bob.holdHost = false;
  for (const start of bob.hostStarts.splice(0)) if (bob.state.commands.has(start.command)) bob.take({ kind: "host-completed", command: start.command, value: 1 });
  world.settle();
  const codes = new Map<string, number>();
  for (const node of [ann, cid]) {
    for (let n = 0; n < each; n++) {
      const found = outcome(node, `a${n}`);
      const code = typeof found === "string" ? found : "ok";
      codes.set(code, (codes.get(code) ?? 0) + 1);
    }
  }
  assert.deepEqual(Object.fromEntries(codes), { ok: 2 * each });
  assertAtRest(ann, bob, cid);
});

test("bounds: strangers beyond the table of peers are refused at the handshake", () => {
  const { world, ann } = worldOf("ann", "bob");
  const hello = encodeMessageFrame({
    kind: "hello", protocol: 1, lineage: "f".repeat(32) as never, incarnation: 1, epoch: 1, lowestUnacknowledged: 1, nextSequence: 1,
    peerLineage: "", peerEpoch: 0, mark: 0, window: 256, addresses: [],
  }).slice(4);
  for (let n = 0; n < 16_500; n++) {
    ann.take({ kind: "link-opened", link: 10_000 + n, peer: `stranger ${n}` as PeerId, dialled: false });
    ann.take({ kind: "frame-received", link: 10_000 + n, body: hello });
  }
  world.settle();
  assert.equal(ann.state.peers.size, 16_384);
  assert.equal(ann.state.counters.get("peers-refused"), 16_500 - 16_384 + 1);
  ann.invoke("ask", { n: 1 }, "a");
  world.settle();
  assert.deepEqual(outcome(ann, "a"), { n: 2 });
});
