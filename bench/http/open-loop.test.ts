import assert from "node:assert/strict";
import { test } from "node:test";
import { dice } from "../harness.ts";
import { CutOff, evenArrivals, openLoop, percentilesOf, randomArrivals } from "./open-loop.ts";

test("arrivals: so many a second on average, ascending, the same for the same seed", () => {
  const arrivals = randomArrivals(200, 50_000, dice(3));
  assert.ok(Math.abs(arrivals.length - 10_000) < 500, `${arrivals.length} in 50 s`);
  assert.deepEqual(arrivals, arrivals.toSorted((a, b) => a - b));
  assert.ok((arrivals.at(-1) as number) < 50_000);
  assert.deepEqual(arrivals, randomArrivals(200, 50_000, dice(3)));
  assert.deepEqual(evenArrivals(4, 1000), [0, 250, 500, 750]);
});

test("percentiles: of those that were planned in a phase, answered or not", () => {
  const quick = Array.from({ length: 998 }, (_, at) => ({ plannedMs: at, tookMs: 1, ok: true }));
  const taken = [...quick, { plannedMs: 2000, tookMs: 500, ok: false }, { plannedMs: 2001, tookMs: 700, ok: true }];
  assert.deepEqual(percentilesOf(taken, 0, 1000), { p50: 1, p99: 1, p999: 1 });
  assert.deepEqual(percentilesOf(taken, 2000).p50, 600);
  assert.ok(percentilesOf(taken).p999 >= 500);
});

test("open loop: sends everything once and in order, also what became due while the loop was busy", async () => {
  const sent: [number, number][] = [];
  const ends: boolean[] = [];
  const arrivals = [0, 0, 1, 2];
  await openLoop(arrivals, Date.now(), { send: (index, plannedMs) => sent.push([index, plannedMs]), onTick: () => (ends.push(false), false) });
  assert.deepEqual(sent, [[0, 0], [1, 0], [2, 1], [3, 2]]);
  assert.ok(ends.length > 0);
});

test("open loop: its watcher ends it", async () => {
  let sent = 0;
  await openLoop([0, 3_600_000], Date.now(), { send: () => sent++, onTick: () => sent === 1 });
  assert.equal(sent, 1);
});

/** Twenty calls in each slot of 10 ms, of which so many go out. */
function cutOffOf(sentInSlot: (slot: number) => number, slots = 100): number | undefined {
  const cutOff = new CutOff();
  for (let slot = 0; slot < slots; slot++) {
    for (let call = 0; call < 20; call++) cutOff.wanted(slot * 10 + 1);
    for (let call = 0; call < sentInSlot(slot); call++) cutOff.sent(slot * 10 + 1);
  }
  return cutOff.atMs();
}

const cases = [
  { name: "nothing goes out", sent: () => 0, atMs: 0 },
  { name: "all go out", sent: () => 20, atMs: undefined },
  { name: "all go out for 300 ms", sent: (slot: number) => (slot < 30 ? 20 : 0), atMs: 300 },
  { name: "a probe now and then is none", sent: (slot: number) => (slot < 30 ? 20 : slot % 10 === 0 ? 1 : 0), atMs: 300 },
  { name: "it comes back for a while", sent: (slot: number) => (slot < 5 || (slot >= 50 && slot < 60) ? 20 : 0), atMs: 600 },
] as const;

for (const { name, sent, atMs } of cases) test(`cut off: ${name}`, () => assert.equal(cutOffOf(sent), atMs));
