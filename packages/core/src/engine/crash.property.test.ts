import assert from "node:assert/strict";
import { test } from "node:test";
import { any } from "../flow/port-schema.ts";
import { flow } from "../flow/flow.ts";
import { host, pure } from "../flow/functions.ts";
import type { ExecutionId } from "../base/ids.ts";
import { NS_PER_MS } from "../base/time.ts";
import { TestWorld, type TestNode } from "./testing/pair.ts";

/** How many schedules; `HOLDFAST_SEEDS=5000` for a long night. */
const SEEDS = Number(process.env["HOLDFAST_SEEDS"] ?? 300);
const STEPS = 120;

const countUp = pure("count-up", { version: 1 }, (cell: number | null) => (cell ?? 0) + 1);
const work = host("work", { version: 1 }, (n: number) => n * n);
const tally = flow("tally", { input: { key: any<string>() }, output: { count: any<number>() }, deadlineMs: "never" },
  (b, { key }) => ({ count: b.update("tallies", key, countUp) }));
const square = flow("square", { input: { n: any<number>() }, output: { n: any<number>() }, deadlineMs: "never" },
  (b, { n }) => ({ n: b.host(work, n) }));
const ask = flow("ask", { input: { key: any<string>() }, output: { count: any<number>() }, deadlineMs: "never" }, (b, { key }) => {
  const { count } = b.call(tally, b.peer("bob"), { key });
  return { count };
});
const tell = flow("tell", { input: { key: any<string>() }, deadlineMs: "never" }, (b, { key }) => {
  b.send(tally, b.peer("cid"), { key });
});
const nap = flow("nap", { input: { ms: any<number>() }, output: { done: any<null>() }, deadlineMs: "never" }, (b, { ms }) => ({ done: b.sleep(ms) }));
const entries = pure("entries", { version: 1 }, ({ n }: { n: number }) => [["sum", n], [`item ${n}`, 1]] as [string, number][]);
const add = pure("add", { version: 1 }, (cell: number | null, delta: number) => (cell ?? 0) + delta);
const spread = flow("spread", { input: { list: any<number[]>() }, output: { count: any<number>() }, deadlineMs: "never" },
  (b, { list }) => ({ count: b.map(list, square, { to: b.select("workers"), concurrency: 2, retry: { attempts: 3 }, into: b.cells("sums", entries, add) }) }));
const flows = [tally, square, ask, tell, nap, spread];

/** A small generator of its own: schedules must not depend on what they test. */
function generator(seed: number): (below: number) => number {
  let state = (seed * 2654435761) >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

interface Outcome {
  readonly world: TestWorld;
  readonly keys: readonly string[];
  readonly kills: number;
}

/** Bad weather, then calm that must converge. */
function runSchedule(seed: number): Outcome {
  const random = generator(seed);
  const world = new TestWorld(["ann", "bob", "cid"], flows, { workers: ["bob", "cid"] });
  const nodes = [...world.nodes.values()] as [TestNode, TestNode, TestNode];
  const [ann] = nodes;
  world.settle();
  world.slow = true;
  let kills = 0;
  const odds = [0, 30, 100, 400][seed % 4] as number;
  for (const node of nodes) {
    if (odds > 0) node.crashWhen = () => random(odds) === 0 && (kills++, true);
    if (seed % 3 !== 0) node.commitDone = () => random(3) === 0;
  }
  const keys: string[] = [];
  const start = (flowName: string, input: (key: string) => object): void => {
    if (!ann.up) return;
    const key = `${flowName} ${keys.length}`;
    keys.push(key);
    ann.invoke(flowName, input(key) as never, key);
  };
  for (let step = 0; step < STEPS; step++) {
    const node = nodes[random(3)] as TestNode;
    switch (random(16)) {
      case 0: start("ask", (key) => ({ key })); break;
      case 1: start("tell", (key) => ({ key })); break;
      case 2: start("nap", () => ({ ms: random(400) })); break;
      case 3: if (keys.filter((key) => key.startsWith("spread")).length < 2) start("spread", () => ({ list: [1, 2, 3, 4, 5, 6] })); break;
      case 4: world.now += random(2) === 0 ? random(50) * NS_PER_MS : random(3000) * NS_PER_MS; break;
      case 5: world.cut(node, nodes[random(3)] as TestNode); break;
      case 6: if (node.up && random(3) === 0) { kills++; node.kill(random(2) === 0); } break;
      case 7: case 8: if (!node.up) node.start(); break;
      case 9: node.settleCommits(); break;
      case 10: case 11: case 12: {
        const links = world.waiting;
        const link = links[random(Math.max(1, links.length))];
        if (link !== undefined) world.deliver(link, 1 + random(3));
        break;
      }
      default: node.step();
    }
  }
  for (const node of nodes) {
    node.crashWhen = undefined;
    node.commitDone = undefined;
    if (!node.up) node.start();
  }
  world.slow = false;
  // What had been given to a node that died before its turn was committed was never accepted: it is given again.
  for (const key of keys) {
    const name = key.split(" ")[0] as string;
    const input = name === "nap" ? { ms: 0 } : name === "spread" ? { list: [1, 2, 3, 4, 5, 6] } : { key };
    const known = ann.state.executions.has(key as ExecutionId) || ann.state.finished.get(key as ExecutionId) !== undefined;
    if (!known) ann.invoke(name, input as never, key);
  }
  world.run(150_000);
  return { world, keys, kills };
}

function check({ world, keys }: Outcome): void {
  const [ann, bob, cid] = ["ann", "bob", "cid"].map((name) => world.node(name)) as [TestNode, TestNode, TestNode];
  for (const key of keys) {
    const finished = ann.state.finished.get(key as ExecutionId);
    assert.equal(finished?.outcome.ok, true, `${key}: ${JSON.stringify(finished?.outcome ?? "lost")}`);
    if (key.startsWith("ask")) assert.equal(bob.state.cells.table("tallies").get(key), 1, `${key} took effect once`);
    if (key.startsWith("tell")) assert.equal(cid.state.cells.table("tallies").get(key), 1, `${key} took effect once`);
  }
  const spreads = keys.filter((key) => key.startsWith("spread")).length;
  const sums = ann.state.cells.table("sums");
  assert.equal(sums.get("sum") ?? 0, spreads * 91);
  for (const n of [1, 4, 9, 16, 25, 36]) assert.equal(sums.get(`item ${n}`) ?? 0, spreads, `item ${n} was folded once a map`);
  for (const node of [ann, bob, cid]) checkAtRest(node);
}

/** Nothing is left of work that has ended, in memory or in the store. */
function checkAtRest(node: TestNode): void {
  const { state } = node;
  assert.equal(state.executions.size, 0, `${node.name}: executions`);
  assert.equal(state.commands.size, 0, `${node.name}: commands`);
  assert.equal(state.frontier.size, 0, `${node.name}: frontier`);
  assert.equal(state.parkedGates.size, 0, `${node.name}: parked gates`);
  for (const peer of state.peers.values()) {
    assert.equal(peer.session.outbox.length, 0, `${node.name}: outbox`);
    assert.equal(peer.session.outboxBytes, 0, `${node.name}: outbox bytes`);
    assert.equal(peer.inFlight, 0, `${node.name}: in flight`);
    assert.equal(peer.queue.length, 0, `${node.name}: queue`);
  }
  assert.ok(state.timers.size <= 4 * state.peers.size, `${node.name}: ${state.timers.size} timers`);
  const left = [...node.rows.keys()].filter((key) => /^(execution|command|slot|outbox|program)\//.test(key));
  assert.deepEqual(left, [], `${node.name}: rows`);
}

test(`crashes: whatever is killed and cut, every request takes effect once and every call ends (${SEEDS} seeds)`, () => {
  let kills = 0;
  let work = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    try {
      const outcome = runSchedule(seed);
      check(outcome);
      kills += outcome.kills;
      work += outcome.keys.length;
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
  assert.ok(kills > SEEDS && work > SEEDS, `${kills} kills, ${work} executions: the weather was bad`);
});

test("crashes: the same seed leaves the same rows, bit for bit", () => {
  const rowsOf = ({ world }: Outcome): string[] => {
    return [...world.nodes.values()].flatMap(({ name, rows }) => [...rows].map(([key, bytes]) => `${name} ${key} ${Buffer.from(bytes).toString("hex")}`));
  };
  for (let seed = 1; seed <= 12; seed++) assert.deepEqual(rowsOf(runSchedule(seed)), rowsOf(runSchedule(seed)), `seed ${seed}`);
});
