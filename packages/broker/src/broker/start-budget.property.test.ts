import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { StartBudget } from "./start-budget.ts";

const WINDOW_US = 30_000_000;
const EXITS_MAX = 3;

/** One wish to start a backend: so long after the last, and how it ends. */
const wish = fc.record({
  key: fc.constantFrom("a", "b"),
  afterUs: fc.oneof(fc.nat(1_000), fc.nat(5_000_000), fc.constantFrom(0, WINDOW_US - 1, WINDOW_US, WINDOW_US + 1)),
  /** How long it runs before it ends or is ready. */
  livesUs: fc.oneof(fc.nat(1_000), fc.nat(20_000_000)),
  isReady: fc.boolean(),
});

test("start budget: in any 30 s a key has at most 3 exits before it is ready, and none is held back that keeps to that", () => {
  fc.assert(fc.property(fc.array(wish, { maxLength: 60 }), (wishes) => {
    const budget = new StartBudget();
    /** Exits of each key since it was ready last. */
    const exits = new Map<string, number[]>([["a", []], ["b", []]]);
    let now = 0;
    for (const { key, afterUs, livesUs, isReady } of wishes) {
      now += afterUs;
      const known = exits.get(key)!;
      const recent = known.filter((at) => now - at < WINDOW_US);
      const retryAfterMs = budget.retryAfterMs(key, now);
      assert.equal(retryAfterMs > 0, recent.length >= EXITS_MAX);
      if (retryAfterMs > 0) {
        assert.equal(budget.retryAfterMs(key, now + retryAfterMs * 1000), 0, "coming again as told helps");
        assert.ok(budget.retryAfterMs(key, now + retryAfterMs * 1000 - 1001) > 0, "and coming sooner does not");
        continue;
      }
      now += livesUs;
      if (isReady) {
        budget.recordReady(key); // S2
        known.length = 0;
        continue;
      }
      budget.recordExit(key, now);
      known.push(now);
      assert.ok(known.filter((at) => now - at < WINDOW_US).length <= EXITS_MAX, "S1");
    }
  }), { numRuns: 500 });
});

test("start budget: what it remembers is bounded, and the oldest key goes first", () => {
  const budget = new StartBudget();
  const fail = (key: string, times: number) => {
    for (let time = 0; time < times; time++) budget.recordExit(key, 0);
  };
  fail("first", EXITS_MAX);
  fail("second", EXITS_MAX);
  for (let index = 0; index < 4095; index++) fail(`other ${index}`, 1);
  assert.equal(budget.retryAfterMs("first", 0), 0);
  assert.equal(budget.retryAfterMs("second", 0), 30_000);
});
