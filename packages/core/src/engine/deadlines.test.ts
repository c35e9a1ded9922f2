import assert from "node:assert/strict";
import { test } from "node:test";
import { any } from "../flow/port-schema.ts";
import { flow } from "../flow/flow.ts";
import { host } from "../flow/functions.ts";
import type { ExecutionId } from "../base/ids.ts";
import { NS_PER_MS, NS_PER_S } from "../base/time.ts";
import type { SiteData } from "../peer/deadlines/rtt-site.ts";
import { TestWorld, type TestNode } from "./testing/pair.ts";

const number = any<number>();
const work = host("work", { version: 1, class: "keyed" }, (n: number) => n + 1);
const worked = flow("worked", { input: { n: number }, output: { n: number }, deadlineMs: "never" }, (b, { n }) => ({ n: b.host(work, n) }));
const ask = flow("ask", { input: { n: number }, output: { n: number }, deadlineMs: "never" }, (b, { n }) => ({ n: b.call(worked, b.peer("bob"), { n }).n }));
const askSoon = flow("ask-soon", { input: { n: number }, output: { n: number }, deadlineMs: 400 }, (b, { n }) => ({ n: b.call(worked, b.peer("bob"), { n }).n }));

function pair(): { world: TestWorld; ann: TestNode; bob: TestNode } {
  const world = new TestWorld(["ann", "bob"], [worked, ask, askSoon], {});
  world.settle();
  return { world, ann: world.node("ann"), bob: world.node("bob") };
}

/** One call that bob works on for so long. */
function call(world: TestWorld, bob: TestNode, ann: TestNode, id: string, ms: number): void {
  bob.holdHost = true;
  ann.invoke("ask", { n: 1 }, id);
  world.settle();
  if (ms > 0) world.run(ms);
  for (const start of bob.hostStarts.splice(0)) bob.finishHost(start);
  world.settle();
  assert.deepEqual(ann.state.finished.get(id as ExecutionId)?.outcome.ok, true, id);
}

const siteOf = (ann: TestNode, bob: TestNode): SiteData => {
  const [called] = ann.state.tracker.trackedSites().filter((site) => site !== ann.state.peer(bob.id).linkSite);
  return ann.state.tracker.captureSite(called ?? assert.fail()) ?? assert.fail();
};
const attemptOf = (ann: TestNode) => [...ann.state.commands.values()].flatMap(({ attempts }) => attempts)[0] ?? assert.fail();

test("late: a reply after the budget ran out is a spurious timeout: counted, a sample, and the budget widens", () => {
  const { world, ann, bob } = pair();
  for (let n = 0; n < 20; n++) call(world, bob, ann, `warm ${n}`, 30);
  const before = siteOf(ann, bob);
  assert.equal(before.widening, 0);
  call(world, bob, ann, "late", 3000);
  const after = siteOf(ann, bob);
  assert.equal(ann.state.counters.get("spurious-timeouts"), 1);
  assert.equal(after.timeouts, 0, "its back-off is over");
  assert.ok(after.widening > 1000);
  assert.equal(after.aggregate.sampleCount, before.aggregate.sampleCount + 1);
});

test("timeouts: a call that is not answered backs its site off once, and doubles its own budget", () => {
  const { world, ann, bob } = pair();
  for (let n = 0; n < 20; n++) call(world, bob, ann, `warm ${n}`, 30);
  ann.invoke("ask", { n: 1 }, "a");
  world.settle();
  const attempt = attemptOf(ann);
  const seen = [attempt.budgetNs];
  for (let ms = 0; ms < 4000; ms++) {
    world.run(1);
    if (attempt.budgetNs !== seen.at(-1)) seen.push(attempt.budgetNs);
  }
  assert.ok(seen.length >= 4, seen.join());
  // What is learned grows older meanwhile, by some ns.
  const steps = seen.filter((ns, n) => n === 0 || ns > 1.01 * (seen[n - 1] as number));
  for (let n = 1; n < steps.length; n++) assert.ok(Math.abs((steps[n] as number) / (steps[n - 1] as number) - 2) < 0.01);
  assert.equal(siteOf(ann, bob).timeouts, 1);
});

test("in flight: a budget that runs is not shortened by what is learned meanwhile", () => {
  const { world, ann, bob } = pair();
  for (let n = 0; n < 8; n++) call(world, bob, ann, `warm ${n}`, n % 2 === 0 ? 2000 : 200);
  ann.invoke("ask", { n: 1 }, "a");
  world.settle();
  bob.hostStarts.length = 0; // never finished
  const attempt = attemptOf(ann);
  const armedNs = attempt.budgetNs;
  const learned = () => ann.state.tracker.estimateBudget(ann.state.peer(bob.id).site("worked"), undefined, 100 * NS_PER_MS, { now: ann.state.awake });
  assert.ok(armedNs > 2000 * NS_PER_MS);
  for (let n = 0; n < 60; n++) {
    call(world, bob, ann, `quick ${n}`, 20);
    assert.ok(attempt.budgetNs >= armedNs && attempt.doublings === 0);
  }
  assert.ok(learned() < armedNs / 2);
});

test("censored: a call given up at its deadline is a sample of at least that long", () => {
  const { world, ann, bob } = pair();
  for (let n = 0; n < 30; n++) call(world, bob, ann, `warm ${n}`, n % 5 === 0 ? 900 : 20);
  for (let n = 0; n < 6; n++) call(world, bob, ann, `quick ${n}`, 20);
  const before = siteOf(ann, bob).aggregate;
  ann.invoke("ask-soon", { n: 1 }, "a");
  world.run(1000);
  const after = siteOf(ann, bob).aggregate;
  assert.ok(after.srttNs > before.srttNs + 20 * NS_PER_MS, `${before.srttNs} → ${after.srttNs}`);
  assert.equal(after.sampleCount, before.sampleCount, "it is no answer");
});

test("samples: a request that had to wait for a link gives one; one that was sent again over a new link gives none", () => {
  const { world, ann, bob } = pair();
  call(world, bob, ann, "warm", 20);
  const count = () => siteOf(ann, bob).aggregate.sampleCount;
  const first = count();
  world.cut(ann, bob);
  ann.invoke("ask", { n: 1 }, "a");
  for (let ms = 0; ms < 20_000 && bob.hostStarts.length === 0; ms++) world.run(1);
  for (const start of bob.hostStarts.splice(0)) bob.finishHost(start);
  world.run(100);
  assert.equal(count(), first + 1);
  ann.invoke("ask", { n: 1 }, "b");
  world.slow = true; // it is on its way when the link breaks
  ann.step();
  world.cut(ann, bob);
  world.slow = false;
  for (let ms = 0; ms < 20_000 && bob.hostStarts.length === 0; ms++) world.run(1);
  for (const start of bob.hostStarts.splice(0)) bob.finishHost(start);
  world.run(100);
  assert.equal(ann.state.finished.get("b" as ExecutionId)?.outcome.ok, true);
  assert.equal(count(), first + 1);
});

test("restart: what was learned counts for less, the longer the node was down", () => {
  const { world, ann, bob } = pair();
  for (let n = 0; n < 40; n++) call(world, bob, ann, `warm ${n}`, 30);
  world.run(11_000); // soft state rides on a commit
  call(world, bob, ann, "ride", 30);
  const counts = [0, 600, 1800].map((downS) => {
    ann.kill();
    world.now += downS * NS_PER_S;
    ann.start();
    return siteOf(ann, bob).aggregate.sampleCount;
  });
  assert.deepEqual(counts.map((count, n) => count <= [16, 8, 2][n]!), [true, true, true], counts.join());
  assert.ok((counts[0] as number) > (counts[1] as number));
});
