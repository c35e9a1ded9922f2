import assert from "node:assert/strict";
import { test } from "node:test";
import { any } from "../flow/port-schema.ts";
import { flow } from "../flow/flow.ts";
import { host, pure } from "../flow/functions.ts";
import type { ExecutionId } from "../base/ids.ts";
import { TestWorld } from "./testing/pair.ts";

const double = pure("double", { version: 1 }, (n: number) => n * 2);
const doubled = flow("doubled", { input: { n: any<number>() }, output: { n: any<number>() }, deadlineMs: 5000 },
  (b, { n }) => ({ n: b.pure(double, n) }));
const work = host("work", { version: 1 }, (n: number) => n + 1);
const worked = flow("worked", { input: { n: any<number>() }, output: { n: any<number>() }, deadlineMs: "never" },
  (b, { n }) => ({ n: b.host(work, n) }));
const ask = flow("ask", { input: { n: any<number>() }, output: { n: any<number>() }, deadlineMs: 5000 },
  (b, { n }) => ({ n: b.call(doubled, b.peer("bob"), { n }).n }));
const entries = pure("entries", { version: 1 }, ({ n }: { n: number }) => [["sum", n], [`item ${n}`, 1]] as [string, number][]);
const add = pure("add", { version: 1 }, (cell: number | null, delta: number) => (cell ?? 0) + delta);
const spread = flow("spread", { input: { list: any<number[]>() }, output: { count: any<number>() }, deadlineMs: "never" },
  (b, { list }) => ({ count: b.map(list, worked, { to: b.select("workers"), concurrency: 2, retry: { attempts: 3 }, into: b.cells("sums", entries, add) }) }));

const flows = [doubled, worked, ask, spread];
const id = (text: string): ExecutionId => text as ExecutionId;

test("a call to a peer is answered", () => {
  const world = new TestWorld(["ann", "bob"], flows);
  world.settle();
  world.node("ann").invoke("ask", { n: 21 }, "a");
  world.settle();
  assert.deepEqual(world.node("ann").outcomes.get(id("a")), { ok: true, value: { n: 42 } });
});

test("a map over workers folds every result once, though every node is killed in the middle", () => {
  const world = new TestWorld(["ann", "bob", "cid"], flows, { workers: ["bob", "cid"] });
  world.settle();
  const [ann, bob, cid] = ["ann", "bob", "cid"].map((name) => world.node(name)) as [any, any, any];
  ann.invoke("spread", { list: [1, 2, 3, 4, 5, 6, 7, 8] }, "job");
  for (let round = 0; round < 40; round++) {
    for (const node of [ann, bob, cid]) node.step();
    if (round % 7 === 3) {
      const victim = [ann, bob, cid][Math.floor(round / 7) % 3];
      victim.kill();
      world.now += 1000;
      victim.start();
    }
  }
  world.run(60_000);
  const sums = ann.driver.engine.state.cells.table("sums");
  assert.equal(ann.driver.engine.state.finished.get(id("job"))?.outcome.ok, true);
  assert.equal(sums.get("sum"), 44);
  for (let n = 2; n <= 9; n++) assert.equal(sums.get(`item ${n}`), 1);
});
