/**
 * A node's stored state of about 10 MB, as a real engine left it: stopped in the middle of its work: executions that wait for
 * host work, events and timers, envelopes that nobody acknowledged, results, cells. The rows are those that its commits put, one by one, so cells lie in the segments that their history made.
 */
import { strict as assert } from "node:assert";
import { any, compileFlows, type Encoded, Engine, engineOptions, flow, host, NS_PER_MS, pure, type AnyFlow } from "@holdfast/core";
import { type TestNode, TestWorld } from "../../packages/core/src/engine/testing/pair.ts";

export const STATE_BYTES = 10_000_000;

const ORDERS = 2000;
const REPORTS = 400;
const FINISHED = 2500;
const COUNTERS = 60_000;
const COUNTERS_AT_ONCE = 500;
const PROFILES = 3000;
/** As many as a window takes, to each of `PEERS`. */
const TOLD = 250;
const PEERS = ["bob", "cid", "dan", "eve"];

interface Order {
  readonly id: string;
  readonly customer: { readonly name: string; readonly address: readonly string[] };
  readonly lines: readonly { readonly sku: string; readonly title: string; readonly count: number; readonly price: number }[];
  readonly placedAt: number;
}

/** Calls of functions that are the user's. While they are not allowed, one more is an error. */
export const userCode: { allowed: boolean; calls: number } = { allowed: true, calls: 0 };

function ran(): void {
  assert.ok(userCode.allowed, "a restore calls no function of the user's");
  userCode.calls++;
}

const charge = host("charge", { version: 1 }, (order: Order) => (ran(), { receipt: `r-${order.id}`, paid: total(order) }));
const summary = pure("summary", { version: 1 }, (order: Order) => (ran(), { id: order.id, total: total(order), pieces: order.lines.length }));
const writeReport = pure("write-report", { version: 1 }, (n: number) => (ran(), Array.from({ length: 12 }, (_, at) => orderOf(n * 100 + at))));
const profileOf = pure("profile-of", { version: 1 }, (_: Order | null, n: number) => (ran(), { ...orderOf(n), visits: n % 17, score: n / 7 }));
const profileKey = pure("profile-key", { version: 1 }, (n: number) => (ran(), `customer/${n}`));
const counts = pure("counts", { version: 1 }, ({ keys }: { keys: string[] }) => (ran(), keys.map((key, at) => [key, at] as [string, number])));
const add = pure("add", { version: 1 }, (cell: number | null, delta: number) => (ran(), (cell ?? 0) + delta));

/** Host work under a deadline, and an event that has not come. */
const order = flow("order", { input: { order: any<Order>() }, output: { done: any<unknown>() }, deadlineMs: 600_000 }, (b, { order }) => {
  const short = b.pure(summary, order);
  const paid = b.host(charge, order, { deadlineMs: 120_000 });
  const shipped = b.wait("shipped", null, { after: [short] });
  return { done: b.race(b.pure(both, paid, shipped), b.sleep(300_000)) };
});
const both = pure("both", { version: 1 }, (a: unknown, b: unknown) => (ran(), [a, b]));
/** A large value in a row of its own, behind an approval. */
const report = flow("report", { input: { n: any<number>() }, output: { text: any<unknown>() }, deadlineMs: "never" }, (b, { n }) => {
  const text = b.pure(writeReport, n);
  return { text: b.pure(both, text, b.wait("approved", null, { after: [text] })) };
});
const summed = flow("summed", { input: { order: any<Order>() }, output: { summary: any<unknown>() }, deadlineMs: 60_000 },
  (b, { order }) => ({ summary: b.pure(summary, order) }));
const profile = flow("profile", { input: { n: any<number>() }, output: { key: any<string>() }, deadlineMs: 60_000 }, (b, { n }) => {
  const key = b.pure(profileKey, n);
  b.update("profiles", key, profileOf, n);
  return { key };
});
const keyList = flow("key-list", { input: { keys: any<string[]>() }, output: { keys: any<string[]>() }, deadlineMs: 60_000 }, (_b, { keys }) => ({ keys }));
const count = flow("count", { input: { lists: any<string[][]>() }, output: { n: any<number>() }, deadlineMs: 60_000 },
  (b, { lists }) => ({ n: b.map(lists, keyList, { into: b.cells("counters", counts, add) }) }));
const tells = PEERS.map((name) => flow(`tell-${name}`, { input: { order: any<Order>() }, output: { order: any<Order>() }, deadlineMs: 600_000 }, (b, { order }) => {
  b.send(summed, b.peer(name), { order });
  return { order };
}));
const asks = PEERS.map((name) => flow(`ask-${name}`, { input: { order: any<Order>() }, output: { answer: any<unknown>() }, deadlineMs: 600_000 },
  (b, { order }) => ({ answer: b.call(summed, b.peer(name), { order }).summary })));
const flows = [order, report, summed, profile, keyList, count, ...tells, ...asks] as unknown as AnyFlow[];
const definitions = compileFlows(flows);

function total({ lines }: Order): number {
  return lines.reduce((sum, { count, price }) => sum + count * price, 0);
}

function orderOf(n: number): Order {
  const lines = Array.from({ length: 2 + (n % 5) }, (_, at) => ({
    sku: `sku-${(n * 31 + at * 7) % 9973}`, title: `${["Blue", "Große", "Plain", "Small"][n % 4]} article number ${at}, in a box`, count: 1 + (at % 3), price: 995 + ((n * at) % 400),
  }));
  const customer = { name: `Customer ${n} of the shop`, address: [`${n % 200} Long Street`, `${10_000 + n} Townsville`, "Elsewhere"] };
  return { id: `order-${n}`, customer, lines, placedAt: 1_700_000_000_000 + n };
}

export interface StoredState {
  readonly rows: readonly Encoded[];
  readonly bytes: number;
  /** A fresh engine, and the rows restored into it, so that it could be polled. */
  restore(): Engine;
}

export function makeStoredState(): StoredState {
  const world = new TestWorld(["ann", ...PEERS], flows, {}, { softEveryNs: 1 });
  const ann = world.node("ann");
  const invoke = (name: string, input: unknown, id: string): void => {
    ann.invoke(name, input as never, id);
    if (ann.driver.engine.hasWork && Number(id.split("/").at(-1)) % 50 === 0) world.settle();
  };
  world.settle();
  for (let n = 0; n < PROFILES; n++) invoke("profile", { n }, `profile/${n}`);
  const keys = Array.from({ length: COUNTERS }, (_, n) => `visits/2026-11/page-${n}`);
  for (let from = 0; from < COUNTERS; from += COUNTERS_AT_ONCE) invoke("count", { lists: [keys.slice(from, from + COUNTERS_AT_ONCE)] }, `count/${from}`);
  for (let n = 0; n < FINISHED; n++) invoke("summed", { order: orderOf(n) }, `summed/${n}`);
  world.run(1000);
  for (const { id } of flowsOfSetUp(ann)) ann.state.finished.remove(id, ann.state.journal); // whose inputs are lists of keys
  ann.holdHost = true;
  for (const name of PEERS) world.node(name).paused = true; // they take what is sent and say nothing
  for (let n = 0; n < TOLD; n++) for (const name of PEERS) invoke(n % 2 === 0 ? `tell-${name}` : `ask-${name}`, { order: orderOf(n) }, `${name}/${n}`);
  for (let n = 0; n < ORDERS; n++) invoke("order", { order: orderOf(n) }, `order/${n}`);
  for (let n = 0; n < REPORTS; n++) invoke("report", { n }, `report/${n}`);
  world.settle();
  const rows = [...ann.rows].sort(([a], [b]) => (a < b ? -1 : 1));
  const bytes = rows.reduce((sum, [key, value]) => sum + key.length + value.length, 0);
  const { identity, groups } = ann.state;
  const incarnation = identity.incarnation + 1;
  const [now, wallMs] = [world.now, Math.floor(world.now / NS_PER_MS)];
  return {
    rows, bytes,
    restore() {
      const engine = new Engine({
        identity: { ...identity, incarnation }, definitions, options: engineOptions(), policy: { block: [], allow: null }, groups, seed: "again",
      });
      engine.restore(rows, now, wallMs);
      return engine;
    },
  };
}

function flowsOfSetUp(node: TestNode) {
  return [...node.state.finished.values()].filter(({ flow }) => flow === "count");
}
