import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeValue, encodeValue } from "../base/value-codec.ts";
import type { Value } from "../base/value.ts";
import { NS_PER_MS, NS_PER_S } from "../base/time.ts";
import { any } from "../flow/port-schema.ts";
import { flow, type AnyFlow } from "../flow/flow.ts";
import { compileFlows } from "../flow/library.ts";
import { host, pure } from "../flow/functions.ts";
import { captureRows } from "./capture.ts";
import { Engine } from "./engine.ts";
import { engineOptions, type EngineOptions } from "./engine-options.ts";
import type { Encoded } from "./rows.ts";
import { busyFlows } from "./testing/busy-flows.ts";
import { busyWorld } from "./testing/busy-world.ts";
import { type TestNode, TestWorld } from "./testing/pair.ts";

const world = busyWorld();
const ann = world.node("ann");
const rows = captureRows(ann.driver.engine.state);

function restore(given: readonly Encoded[], { flows = busyFlows as readonly AnyFlow[], options = {} as Partial<EngineOptions>, downMs = 0 } = {}): Engine {
  const { identity, groups } = ann.driver.engine.state;
  const engine = new Engine({
    identity: { ...identity, incarnation: identity.incarnation + 1 }, definitions: compileFlows(flows as AnyFlow[]), groups,
    options: engineOptions(options), policy: { block: [], allow: null }, seed: "again",
  });
  engine.restore(given, world.now + downMs * NS_PER_MS, Math.floor(world.now / NS_PER_MS) + downMs);
  return engine;
}

function refuses(given: readonly Encoded[], part: string | RegExp): void {
  assert.throws(() => restore(given), (error: { code?: string; details?: { part?: string } }) => {
    assert.equal(error.code, "SNAPSHOT_INVALID");
    if (typeof part === "string") assert.equal(error.details?.part, part);
    else assert.match(String(error.details?.part), part);
    return true;
  });
}

const replaced = (key: string, bytes: Uint8Array): Encoded[] => rows.map((row) => (row[0] === key ? [key, bytes] : row));
const fieldsOf = (key: string): Value[] => decodeValue(rows.find(([one]) => one === key)?.[1] as Uint8Array) as Value[];
/** One row of each family. */
const samples = [...new Map(rows.map((row) => [row[0].split("/")[0], row])).values()];

test("restore: the rows of every family are at hand", () => {
  const families = samples.map(([key]) => key.split("/")[0]);
  assert.deepEqual(families.sort(), ["bus", "cells", "command", "execution", "frontier", "node", "outbox", "peer", "policy", "program", "result", "session", "slot", "soft", "soft-priors"]);
});

for (const [key, bytes] of samples) {
  test(`restore: a damaged row is refused by name: ${key.split("/")[0]}`, () => {
    refuses(replaced(key, bytes.slice(0, -1)), key);
    refuses(replaced(key, Uint8Array.of(0xff)), key);
    if (!key.startsWith("slot/")) refuses(replaced(key, encodeValue(7)), key);
  });
}

test("restore: whatever is damaged in a row, it is an expected error or another valid state, never a bug", () => {
  for (const [key, bytes] of samples) {
    for (let at = 0; at < Math.min(bytes.length, 120); at += 3) {
      for (const mask of [0x01, 0x40, 0xff]) {
        const flipped = bytes.slice();
        flipped[at] = (flipped[at] as number) ^ mask;
        try {
          restore(replaced(key, flipped), { downMs: 1e13 }); // a flipped clock may lie ahead of ours
        } catch (error) {
          assert.match((error as { code?: string }).code ?? `${key} at ${at}: ${String(error)}`, /^(SNAPSHOT_INVALID|DEFINITION_MISSING|STORE_FOREIGN)$/);
        }
      }
    }
  }
});

test("restore: rows that contradict each other are refused", () => {
  const without = (family: string): Encoded[] => rows.filter(([key]) => key !== samples.find(([one]) => one.startsWith(family))?.[0]);
  refuses(without("node"), "node");
  refuses(without("frontier"), "frontier");
  refuses(without("command/"), /execution|commands/);
  refuses(without("execution/"), /slot|frontier|commands/);
  refuses(without("slot/"), /^execution\//);
  refuses(without("program/"), /^program\//);
  refuses(without("outbox/"), /^session\//);
  refuses(rows.filter(([key]) => !key.startsWith("session/")), "outbox");
  refuses([...rows, ["telepathy/1", encodeValue(null)]], "telepathy/1");
  refuses([...rows, ["command/x", (samples.find(([key]) => key.startsWith("command/")) as Encoded)[1]]], "command/x");
});

test("restore: another spec version is refused before anything else is looked at", () => {
  const [, ...rest] = fieldsOf("node");
  refuses([["telepathy/1", encodeValue(null)], ["node", encodeValue([2, ...rest])]], "spec version");
});

test("restore: another peer's rows are refused", () => {
  assert.throws(() => restore(captureRows(world.node("bob").driver.engine.state)), { code: "STORE_FOREIGN" });
});

test("restore: missing definitions are listed, all of them", () => {
  const others = [flow("other", { input: {}, output: {}, deadlineMs: "never" }, () => ({}))];
  assert.throws(() => restore(rows, { flows: others }), (error: { code?: string; details?: { missing?: string } }) => {
    assert.equal(error.code, "DEFINITION_MISSING");
    for (const name of ["host work@1", "pure add@1", "pure long@1"]) assert.match(error.details?.missing ?? "", new RegExp(name));
    return true;
  });
});

/** Runs turns until nothing more happens now. */
function settle(engine: Engine, now: number): void {
  for (let turn = 0; turn < 50 && engine.poll(now, Math.floor(now / NS_PER_MS)).more; turn++);
}

test("restore: parkMissing starts all the same; what lacks a definition stays parked until a start that has it", () => {
  const twice = pure("twice", { version: 1 }, (n: number) => n * 2);
  const slow = host("slow", { version: 1 }, (n: number) => n);
  const old = flow("old", { input: { n: any<number>() }, output: { n: any<number>() }, deadlineMs: "never" },
    (b) => ({ n: b.pure(twice, b.wait("go", any<number>())) }));
  const hosted = flow("hosted", { input: { n: any<number>() }, output: { n: any<number>() }, deadlineMs: "never" }, (b, { n }) => ({ n: b.host(slow, n) }));
  const nodes = new TestWorld(["ann"], [old, hosted]);
  const node = nodes.node("ann");
  node.holdHost = true;
  node.invoke("old", { n: 1 }, "waits");
  node.invoke("hosted", { n: 1 }, "works");
  nodes.settle();
  const start = (flows: readonly AnyFlow[], stored: readonly Encoded[], parkMissing: boolean): Engine => {
    const { identity, groups } = node.driver.engine.state;
    const engine = new Engine({ identity, definitions: compileFlows(flows as AnyFlow[]), groups, options: engineOptions({ parkMissing }), policy: { block: [], allow: null }, seed: "" });
    engine.restore(stored, nodes.now, 0);
    settle(engine, nodes.now);
    return engine;
  };
  const other = [flow("other", { input: {}, output: {}, deadlineMs: "never" }, () => ({}))];
  const parked = start(other, [...node.rows], true);
  parked.handle({ kind: "signalled", execution: "waits" as never, event: "go", value: 21, tag: 1 });
  settle(parked, nodes.now);
  assert.equal(parked.state.executions.size, 2);
  assert.equal(parked.state.finished.size, 0);
  const whole = start([old, hosted], captureRows(parked.state), false);
  assert.deepEqual(whole.state.finished.get("waits" as never)?.outcome, { ok: true, value: { n: 42 } });
  assert.equal(whole.state.executions.size, 1);
});

test("restore: a cooldown of which 25 s were left has 15 s left after 10 s of downtime", () => {
  const cid = world.node("cid");
  const peer = `peer/${cid.id}`;
  const [addresses, references, verdict, health] = fieldsOf(peer);
  const until = world.now + 25 * NS_PER_S;
  const cooling = [addresses, references, verdict, health, [6, 1, until, 1, 0, 0, 0]] as Value;
  const engine = restore(replaced(peer, encodeValue(cooling)), { downMs: 10_000 });
  assert.equal(engine.state.backoff.retryAt(cid.id) - engine.state.now, 15 * NS_PER_S);
  assert.equal(engine.state.backoff.state(cid.id)?.attempts, 6);
});

test("restore: who was blocked or down before is so after", () => {
  const nodes = new TestWorld(["ann", "bob", "cid"], busyFlows);
  nodes.settle();
  const node = nodes.node("ann");
  const [bob, cid] = [nodes.node("bob"), nodes.node("cid")];
  node.driver.handle({ kind: "policy-changed", change: { action: "block", peer: bob.id }, tag: 1 });
  cid.kill();
  nodes.run(60_000);
  assert.equal(node.driver.engine.state.governor.peerHealth(cid.id)?.down, true);
  node.kill();
  node.start();
  const { state } = node.driver.engine;
  assert.equal(state.governor.checkInbound(bob.id).allow, false);
  assert.equal(state.governor.peerHealth(cid.id)?.down, true);
  nodes.run(10_000);
  assert.equal(node.driver.engine.state.peers.get(bob.id)?.link, null);
});

test("restore: ids are never given twice, however often the node restarts", () => {
  const nodes = new TestWorld(["ann"], busyFlows);
  const node = nodes.node("ann");
  node.holdHost = true;
  const [commands, executions] = [new Set<number>(), new Set<string>()];
  for (let life = 0; life < 10; life++) {
    const known: { commands: Set<number>; executions: Set<string> } = seen(node);
    node.invoke("listed", { list: [life, life, life] });
    nodes.run(100);
    for (const id of seen(node).commands) if (!known.commands.has(id)) assert.equal(commands.size, commands.add(id).size - 1, `command ${id}`);
    for (const id of seen(node).executions) if (!known.executions.has(id)) assert.equal(executions.size, executions.add(id).size - 1, id);
    node.kill();
    node.hostStarts = [];
    node.start();
    nodes.settle();
    for (const effect of node.hostStarts.splice(0, 2)) node.finishHost(effect);
  }
  assert.ok(commands.size > 20 && executions.size > 20);
});

function seen(node: TestNode): { commands: Set<number>; executions: Set<string> } {
  const { commands, executions } = node.driver.engine.state;
  return { commands: new Set(commands.keys()), executions: new Set(executions.keys()) };
}

test("restore: an operation left ready runs, and the frontier's row does not outlive it", () => {
  const nodes = busyWorld();
  const node = nodes.node("ann");
  assert.ok(node.driver.engine.state.frontier.size > 0);
  for (let life = 0; life < 3; life++) {
    node.kill();
    node.start();
    nodes.settle();
  }
  assert.equal(node.driver.engine.state.frontier.size, 0);
});

test("restore: results of a map that has ended go with their execution, not later", () => {
  const big = pure("big", { version: 1 }, (n: number) => "x".repeat(2000 + n));
  const item = flow("item", { input: { n: any<number>() }, output: { text: any<string>() }, deadlineMs: "never" }, (b, { n }) => ({ text: b.pure(big, n) }));
  const whole = flow("whole", { input: { list: any<number[]>() }, output: { out: any<unknown>(), end: any<null>() }, deadlineMs: "never" },
    (b, { list }) => ({ out: b.map(list, item), end: b.wait("go", any<null>()) }));
  const nodes = new TestWorld(["ann"], [item, whole]);
  const node = nodes.node("ann");
  node.invoke("whole", { list: [1, 2, 3] }, "a/1");
  node.invoke("whole", { list: [1, 2, 3] }, "a");
  nodes.settle();
  for (const id of ["a", "a/1"]) {
    node.kill();
    node.start();
    node.driver.handle({ kind: "signalled", execution: id as never, event: "go", value: null, tag: 1 });
    nodes.settle();
    assert.equal(node.outcomes.get(id as never)?.ok, true);
  }
  assert.deepEqual([...node.rows.keys()].filter((key) => /^(slot|execution|program|command)\//.test(key)), []);
});

test("restore: a ready operation that a race cancelled before its turn is not listed as ready", () => {
  const echo = pure("echo", { version: 1 }, (n: number) => n);
  const raced = flow("raced", { input: { n: any<number>() }, output: { n: any<number>(), end: any<null>() }, deadlineMs: "never" },
    (b) => ({ n: b.race(b.constant(1), b.pure(echo, b.constant(2))), end: b.wait("go", any<null>()) }));
  const nodes = new TestWorld(["ann"], [raced]);
  const node = nodes.node("ann");
  // So many that the turn ends between some execution's race and the loser behind it in the frontier.
  for (let n = 0; n < 300; n++) node.invoke("raced", { n }, `${n}`);
  node.step();
  const { frontier } = node.driver.engine.state;
  assert.ok(frontier.size > 0);
  node.kill();
  node.start();
  nodes.settle();
  assert.equal(node.driver.engine.state.executions.size, 300);
});
