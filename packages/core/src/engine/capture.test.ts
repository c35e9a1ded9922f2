import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NS_PER_MS } from "../base/time.ts";
import { captureRows, foldDifferences } from "./capture.ts";
import { EngineState } from "./engine-state.ts";
import { restoreRows } from "./restore.ts";
import type { Encoded } from "./rows.ts";
import { busyFlows } from "./testing/busy-flows.ts";
import { type TestNode, TestWorld } from "./testing/pair.ts";

const FLOWS = ["worked", "ask", "tell", "spread", "listed", "hurried"] as const;

function emptyLike(node: TestNode): EngineState {
  const { identity, definitions, options, configuredPolicy: policy, groups } = node.driver.engine.state;
  return new EngineState({ identity, definitions, options, policy, groups, seed: "another" });
}

function checkNode(node: TestNode): void {
  const { engine } = node.driver;
  if (!node.up || engine.hasChanges) return;
  assert.deepEqual(foldDifferences(engine.state, [...node.rows]), [], `${node.name}: stored rows fold to the live state`);
}

function checkCapture(node: TestNode): void {
  const { engine } = node.driver;
  const before = engine.hasChanges;
  const rows = captureRows(engine.state);
  assert.equal(engine.hasChanges, before);
  const copy = emptyLike(node);
  restoreRows(copy, rows);
  const again: Encoded[] = captureRows(copy);
  assert.deepEqual(again.map(([key]) => key), rows.map(([key]) => key));
  for (const [at, [key, bytes]] of again.entries()) assert.deepEqual(bytes, rows[at]?.[1], key);
}

const action = fc.record({
  does: fc.constantFrom("invoke", "invoke", "step", "step", "step", "run", "kill", "signal", "cancel", "block", "unblock", "cut", "finish"),
  node: fc.nat(2), other: fc.nat(2), flow: fc.constantFrom(...FLOWS), n: fc.nat(50),
});

test("capture: after every commit of a random run the stored rows fold to the live state, and a capture restores to itself", () => {
  fc.assert(fc.property(fc.array(action, { minLength: 5, maxLength: 60 }), (actions) => {
    const world = new TestWorld(["ann", "bob", "cid"], busyFlows, { workers: ["bob", "cid"] }, { softEveryNs: 1 });
    const nodes = ["ann", "bob", "cid"].map((name) => world.node(name));
    for (const node of nodes) node.holdHost = true;
    const step = (node: TestNode): boolean => {
      const busy = node.step();
      checkNode(node);
      return busy;
    };
    const settle = (): void => {
      for (let round = 0; round < 200 && nodes.map(step).includes(true); round++);
    };
    const run = (ms: number): void => {
      const until = world.now + ms * NS_PER_MS;
      for (settle(); world.now < until; settle()) {
        const wakes = nodes.map((node) => (node.up ? node.driver.nextTimeout()?.at : undefined));
        world.now = Math.max(world.now + 1, Math.min(until, ...wakes.filter((at) => typeof at === "number")));
      }
    };
    settle();
    let ids = 0;
    for (const { does, node: at, other, flow, n } of actions) {
      const node = nodes[at] as TestNode;
      const { driver } = node;
      const peer = (nodes[other] as TestNode).id;
      switch (does) {
        case "invoke": node.invoke(flow, flow === "spread" || flow === "listed" ? { list: Array.from({ length: n % 9 }, (_, i) => i) } : { n }, `a/${ids++}`); break;
        case "step": step(node); break;
        case "run": run(n * 20); break;
        case "kill":
          node.kill();
          world.now += n * NS_PER_MS;
          node.hostStarts = [];
          node.start();
          break;
        case "signal": driver.handle({ kind: "signalled", execution: `a/${n % (ids + 1)}` as never, event: "go", value: n, tag: 0 }); break;
        case "cancel": driver.handle({ kind: "cancel-requested", execution: `a/${n % (ids + 1)}` as never, tag: 0 }); break;
        case "block": if (other !== at) driver.handle({ kind: "policy-changed", change: { action: "block", peer }, tag: 0 }); break;
        case "unblock": driver.handle({ kind: "policy-changed", change: { action: "unblock", peer }, tag: 0 }); break;
        case "cut": if (!world.cutOff.delete(node)) world.cutOff.add(node); break;
        case "finish": for (const effect of node.hostStarts.splice(0, n % 4)) node.finishHost(effect); break;
      }
      for (const one of nodes) checkCapture(one);
    }
    run(300);
    for (const one of nodes) checkCapture(one);
  }), { numRuns: 40 });
});
