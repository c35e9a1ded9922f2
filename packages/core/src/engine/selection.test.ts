import assert from "node:assert/strict";
import { test } from "node:test";
import { flow, type AnyFlow } from "../flow/flow.ts";
import { host } from "../flow/functions.ts";
import { any } from "../flow/port-schema.ts";
import type { EngineOptions } from "./engine-options.ts";
import { choosePeer } from "./selection.ts";
import { TestWorld, type TestNode } from "./testing/pair.ts";

const number = any<number>();
const ports = { input: { n: number }, output: { n: number }, deadlineMs: "never" } as const;
const worked = flow("worked", ports, (b, { n }) => ({ n: b.host(host("work", { version: 1, class: "keyed" }, (n: number) => n + 1), n) }));
const ask = flow("ask", ports, (b, { n }) => ({ n: b.call(worked, b.select("workers"), { n }, { retry: { attempts: 3 }, hedge: "never" }).n }));
const flows: AnyFlow[] = [worked, ask];
const GROUP = { group: "workers" };

function worldOf(options: Partial<EngineOptions> = {}) {
  const world = new TestWorld(["ann", "bob", "cid", "dan"], flows, { workers: ["bob", "cid", "dan"] }, options);
  world.run(3000);
  const [ann, bob, cid, dan] = [...world.nodes.values()] as [TestNode, TestNode, TestNode, TestNode];
  return { world, ann, bob, cid, dan };
}

/** Whom ann would ask, over many choices. */
function chosen(ann: TestNode, flowName = "worked"): Map<string, number> {
  const counts = new Map<string, number>();
  for (let n = 0; n < 300; n++) {
    const choice = choosePeer(ann.state, GROUP, flowName);
    const name = choice.kind === "peer" ? String(choice.peer.name) : choice.kind;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

/** Ann asks one after the other; each worker takes as long as it does, in ms. */
function work(world: TestWorld, ann: TestNode, msOf: (worker: TestNode) => number, calls: number): void {
  const workers = [...world.nodes.values()].filter((node) => node !== ann);
  for (const worker of workers) worker.holdHost = true;
  for (let n = 0; n < calls; n++) {
    ann.invoke("ask", { n });
    world.settle();
    for (const worker of workers) {
      for (const start of worker.hostStarts.splice(0)) {
        world.run(msOf(worker));
        worker.finishHost(start);
      }
    }
    world.run(1);
  }
}

test("selection: all take turns where nothing is known, and the slow one is avoided once it is", () => {
  const { world, ann, bob } = worldOf();
  for (const count of chosen(ann).values()) assert.ok(count > 50);
  work(world, ann, (worker) => (worker === bob ? 60 : 6), 30);
  const counts = chosen(ann);
  assert.equal(counts.get("bob"), undefined);
  assert.equal(counts.size, 2);
  assert.equal(chosen(ann, "another").size, 3, "another flow of the same peers is another site");
});

test("selection: linked before not, live before suspect, suspect before down, and nobody twice", () => {
  const { world, ann, bob, cid, dan } = worldOf();
  const peers = [bob, cid, dan].map(({ id }) => id);
  const choose = (tried: readonly string[]): unknown => {
    const choice = choosePeer(ann.state, GROUP, "worked", new Set(tried) as never);
    return choice.kind === "peer" ? choice.peer.id : choice.kind;
  };
  assert.equal(choose([bob.id, dan.id]), cid.id);
  assert.equal(choose(peers), "unknown");
  ann.state.peer(cid.id).siteVerdict = "down";
  assert.equal(chosen(ann).get("cid"), undefined);
  ann.state.peer(dan.id).siteVerdict = "suspect";
  assert.deepEqual([...chosen(ann).keys()], ["bob"]);
  assert.equal(choose([bob.id]), dan.id);
  ann.state.peer(dan.id).siteVerdict = "live";
  world.cutOff.add(bob);
  world.cut(ann, bob);
  world.run(1);
  ann.state.backoff.recordSuccess(bob.id, ann.state.now);
  assert.equal(ann.state.peer(bob.id).link, null);
  assert.deepEqual([...chosen(ann).keys()], ["dan"]);
  assert.equal(choose([dan.id]), cid.id, "a link counts for more than a verdict");
});

test("selection: an attempt that is not accepted in time is a failure of the site", () => {
  const { world, ann, bob } = worldOf();
  work(world, ann, () => 6, 12);
  world.cutOff.add(bob); // frames vanish, the link stays
  const { outcomes } = ann.state.loads.load(ann.state.peer(bob.id), "worked");
  assert.equal(outcomes.failureShare, 0);
  for (let n = 0; n < 10; n++) {
    ann.invoke("ask", { n });
    world.run(20);
  }
  world.run(1000);
  assert.ok(outcomes.failureShare > 0);
});

test("selection: selectByLatency off: latencies do not matter", () => {
  const { world, ann, bob } = worldOf({ selectByLatency: false });
  work(world, ann, (worker) => (worker === bob ? 60 : 6), 30);
  assert.equal(chosen(ann).size, 3);
});

test("selection: who keeps silent is avoided before it answers, and whoever is busy too", () => {
  const { world, ann, bob, cid, dan } = worldOf();
  work(world, ann, () => 6, 30);
  for (const worker of [cid, dan]) worker.holdHost = false;
  for (let n = 0; n < 40 && bob.hostStarts.length === 0; n++) ann.invoke("ask", { n }), world.run(1);
  assert.equal(bob.hostStarts.length, 1);
  world.run(500);
  assert.equal(chosen(ann).get("bob"), undefined);
});

test("selection: who refuses is set aside within 30 requests, comes last, and comes back", () => {
  const { world, ann, dan } = worldOf();
  work(world, ann, () => 6, 60);
  dan.flows = [];
  dan.restart(); // it knows no flow any more, and refuses at once
  world.run(100);
  let asked = 0;
  while (ann.state.counters.get("peers-set-aside") === undefined) {
    asked = dan.state.peer(ann.id).counts.refusedEnvelopes;
    assert.ok(asked <= 30, `${asked} requests`);
    work(world, ann, () => 6, 1);
  }
  assert.equal(chosen(ann).get("dan"), undefined);
  const [explained] = ann.state.loads.explain(ann.state.peer(dan.id), ann.state.awake);
  assert.deepEqual([explained?.flow, explained?.inFlight, explained?.aside.map(({ group }) => group)], ["worked", 0, ["workers"]]);
  assert.ok((explained?.latencyNs ?? 0) > 0);
  for (const name of ["bob", "cid"]) ann.take({ kind: "policy-changed", change: { action: "block", peer: world.node(name).id }, tag: 0 });
  world.settle();
  assert.deepEqual([...chosen(ann).keys()], ["dan"], "last, and not denied");
  for (const name of ["bob", "cid"]) ann.take({ kind: "policy-changed", change: { action: "unblock", peer: world.node(name).id }, tag: 0 });
  world.run(13_000);
  assert.ok(chosen(ann).has("dan"));
});

test("selection: the application's errors are the application's", () => {
  const failing = host("failing", { version: 1, class: "keyed" }, (_n: number): number => {
    throw new Error("no");
  });
  const failed = flow("failed", ports, (b, { n }) => ({ n: b.host(failing, n) }));
  const askFailed = flow("ask-failed", ports, (b, { n }) => ({ n: b.call(failed, b.select("workers"), { n }).n }));
  const world = new TestWorld(["ann", "bob", "cid", "dan"], [failed, askFailed], { workers: ["bob", "cid", "dan"] });
  const ann = world.node("ann");
  world.run(3000);
  for (let n = 0; n < 100; n++) ann.invoke("ask-failed", { n }), world.run(2);
  assert.equal(ann.state.counters.get("peers-set-aside"), undefined);
  assert.equal(chosen(ann, "failed").size, 3);
});

test("selection: the same seed chooses the same peers", () => {
  const run = (): unknown => {
    const { world, ann, bob } = worldOf();
    work(world, ann, (worker) => (worker === bob ? 9 : 6), 40);
    return [...ann.state.peers.values()].map(({ counts }) => counts.calls);
  };
  assert.deepEqual(run(), run());
});
