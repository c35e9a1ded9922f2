import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { RuntimeError } from "../../base/errors.ts";
import { RetryBudget } from "./retry-budget.ts";

const S = 1e9;

function takeAll(budget: RetryBudget, now: number): number {
  let taken = 0;
  while (budget.take(now)) taken++;
  return taken;
}

test("retry budget: the reserve is there at the start, comes back one by one, and ends at its bound", () => {
  const budget = new RetryBudget({ reserve: 3, reserveEveryNs: 2 * S });
  assert.equal(takeAll(budget, 1), 3);
  assert.equal(takeAll(budget, 2 * S - 1), 0);
  assert.equal(takeAll(budget, 4 * S), 2);
  assert.equal(takeAll(budget, 1000 * S), 3);
});

test("retry budget: ten successes earn one token, which fades", () => {
  const earned = () => {
    const budget = new RetryBudget({ reserve: 0 });
    for (let n = 0; n < 11; n++) budget.recordSuccess(1);
    return budget;
  };
  assert.equal(takeAll(earned(), 1), 1);
  assert.equal(takeAll(earned(), 20 * S), 0);
});

test("retry budget: what fails earns nothing: at 100 % failure the load grows by at most a tenth, from ten requests a second on", () => {
  for (const rate of [10, 100, 1000]) {
    const budget = new RetryBudget();
    for (let n = 0; n < 30 * rate; n++) budget.recordSuccess(Math.floor((n / rate) * S));
    let retries = 0;
    for (let n = 0; n < 60 * rate; n++) retries += takeAll(budget, Math.floor((30 + n / rate) * S));
    assert.ok(retries <= 0.1 * 60 * rate, `${retries} retries of ${60 * rate}`);
  }
});

test("retry budget: R1, R2: no more is taken than was earned and held in reserve, whatever the times", () => {
  const steps = fc.array(fc.record({ takes: fc.boolean(), after: fc.integer({ min: 0, max: 5 * S }) }), { maxLength: 200 });
  fc.assert(fc.property(steps, (given) => {
    const budget = new RetryBudget();
    let [now, taken, successes] = [1, 0, 0];
    for (const { takes, after } of given) {
      now += after;
      if (!takes) {
        budget.recordSuccess(now);
        successes++;
      } else if (budget.take(now)) taken++;
      assert.ok(budget.balance(now) >= 0);
      assert.ok(taken <= 0.1 * successes + 10 + now / (2 * S) + 1e-6);
    }
  }));
});

test("retry budget: options out of range are refused", () => {
  for (const bad of [{ share: 0 }, { share: 2 }, { fadeNs: -1 }, { reserve: 0.5 }]) {
    assert.throws(() => new RetryBudget(bad), (error: RuntimeError) => error.code === "OPTION_INVALID");
  }
});
