import assert from "node:assert/strict";
import { test } from "node:test";
import { addReports, type BatchReport, runBatch } from "./batch.ts";

test("batch: what was stopped goes on where it left off, and comes to the same", async () => {
  const whole = await runBatch({ from: 1, to: 31, twiceEvery: 100 });
  const stop = new AbortController();
  const seen: number[] = [];
  const progress = ({ to }: BatchReport): void => {
    seen.push(to);
    if (to > 11) stop.abort();
  };
  const begun = await runBatch({ from: 1, to: 31, twiceEvery: 100, jobs: 2, signal: stop.signal, progress });
  assert.ok(begun.to > 11 && begun.to < 31, `it stopped at ${begun.to}`);
  assert.deepEqual(seen, seen.toSorted((a, b) => a - b));
  const rest = await runBatch({ from: begun.to, to: 31, twiceEvery: 100 });
  assert.deepEqual(addReports(begun, rest), whole);
});

test("batch: no seeds are no work", async () => {
  assert.deepEqual(await runBatch({ from: 5, to: 5 }), { from: 5, to: 5, events: 0, virtualNs: 0, labels: [], failures: [] });
});
