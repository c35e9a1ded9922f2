import assert from "node:assert/strict";
import { test } from "node:test";
import { runAdvice } from "./advice.ts";
import { runLayers } from "./layers.ts";
import { runStorm, STORMS } from "./model.ts";
import { POLICIES } from "./policies.ts";

const policy = (name: string) => POLICIES.find((one) => one.name === name)!;

test("storms: the same seed gives the same figures; without retries the load is what was offered", () => {
  const storm = STORMS[0]!;
  const figures = runStorm(storm, policy("no retry"), "test");
  assert.deepEqual(runStorm(storm, policy("no retry"), "test"), figures);
  assert.equal(figures.loadInStorm, 1);
});

test("storms: ours adds at most a tenth to what is offered while everything fails, and recovers", () => {
  for (const storm of STORMS) {
    const { loadInStorm, recoveryS } = runStorm(storm, policy("ours"), "test");
    assert.ok(loadInStorm <= 1.1 && recoveryS < 60, `${storm.name}: ${loadInStorm}, ${recoveryS} s`);
  }
});

test("storms: advice that all get at once: ours come back evenly, and nobody is kept away beyond the total", () => {
  const ours = runAdvice("test").find(({ isOurs }) => isOurs)!;
  assert.ok(ours.peakOverMean <= 1.5 && ours.hostileS <= 90 && ours.repeatedS <= 300);
});

test("storms: through three layers ours adds at most a tenth, and retries without a budget multiply", () => {
  const rows = runLayers("test");
  assert.ok(rows.find(({ isOurs }) => isOurs)!.load <= 1.1);
  assert.equal(rows.find((row) => row.policy === "full jitter")!.load, 64);
});
