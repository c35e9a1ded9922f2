import assert from "node:assert/strict";
import { test } from "node:test";
import { dice, figure, shuffled, table } from "./harness.ts";

test("shuffle: every item once, in an order that the seed decides", () => {
  const items = Array.from({ length: 20 }, (_, at) => at);
  const order = shuffled(items, dice(1));
  assert.notDeepEqual(order, items);
  assert.deepEqual(order.toSorted((a, b) => a - b), items);
  assert.deepEqual(order, shuffled(items, dice(1)));
  assert.notDeepEqual(order, shuffled(items, dice(2)));
});

test("table: what several figures are compared with stands once, below them; without a target there is no verdict", () => {
  const line = (name: string, comparison: string, target: string, met: boolean) => figure({ figure: name, value: 3, unit: "ms", comparison, other: 0, target, met });
  const text = table([line("first", "a", "≤ 1 ms", false), line("second", "a", "none", true), line("third", "b", "≤ 4 ms", true)]);
  const rows = text.split("\n").slice(2);
  assert.deepEqual(rows.map((row) => row.trim().split(/\s{2,}/)), [
    ["first", "3 ms", "0 ms", "≤ 1 ms", "MISSED"], ["second", "3 ms", "0 ms", "none"], ["compared with a"],
    ["third", "3 ms", "0 ms", "≤ 4 ms", "met"], ["compared with b"],
  ]);
});
