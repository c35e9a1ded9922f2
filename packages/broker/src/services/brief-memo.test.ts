import assert from "node:assert/strict";
import { test } from "node:test";
import { BriefMemo } from "./brief-memo.ts";

test("brief memo: a burst asks once, a cleared one again, and refusals are not remembered", () => {
  const memo = new BriefMemo<number>();
  let asked = 0;
  const find = () => ++asked;
  assert.deepEqual([memo.get("a", find), memo.get("a", find), memo.get("b", find)], [1, 1, 2]);
  memo.clear();
  assert.equal(memo.get("a", find), 3);
  assert.throws(() => memo.get("c", () => { throw new Error("no"); }), /no/);
  assert.equal(memo.get("c", find), 4);
});

test("brief memo: an answer is for a moment", async () => {
  const memo = new BriefMemo<number>();
  let asked = 0;
  for (const deadline = performance.now() + 5_000; asked < 2 && performance.now() < deadline; ) {
    memo.get("a", () => ++asked);
    await new Promise((done) => setImmediate(done));
  }
  assert.equal(asked, 2);
});

test("brief memo: it is bounded", () => {
  const memo = new BriefMemo<number>();
  let asked = 0;
  for (let n = 0; n < 10_000; n++) memo.get(String(n), () => ++asked);
  memo.get("0", () => ++asked); // Long gone.
  assert.equal(asked, 10_001);
});
