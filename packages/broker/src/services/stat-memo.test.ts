import assert from "node:assert/strict";
import { test } from "node:test";
import { readStamped, StatMemo, type Stamp } from "./stat-memo.ts";

const stamp: Stamp = { mtimeNs: 5n, size: 3n, ino: 7n };

test("memo: a value holds while every stamp is as it was", () => {
  const memo = new StatMemo<string>(4);
  memo.set("a", "one", stamp, null);
  assert.equal(memo.get("a", { ...stamp }, null), "one");
  assert.equal(memo.get("b", stamp, null), undefined);
  for (const changed of [{ mtimeNs: 6n }, { size: 4n }, { ino: 8n }]) {
    assert.equal(memo.get("a", { ...stamp, ...changed }, null), undefined, Object.keys(changed).join(""));
  }
  assert.equal(memo.get("a", stamp, stamp), undefined, "what was not there is there now");
  memo.set("a", "two", stamp, stamp);
  assert.equal(memo.get("a", stamp, null), undefined, "what was there is gone");
});

test("memo: it is bounded, and the oldest goes first", () => {
  const memo = new StatMemo<number>(2);
  for (const [at, path] of ["a", "b", "a", "c"].entries()) memo.set(path, at, stamp);
  assert.equal(memo.size, 2);
  assert.deepEqual(["a", "b", "c"].map((path) => memo.get(path, stamp)), [2, undefined, 3]);
  memo.set("c", 4, stamp);
  assert.deepEqual(["a", "c"].map((path) => memo.get(path, stamp)), [2, 4], "what is remembered anew needs no room");
  memo.delete("c");
  assert.equal(memo.get("c", stamp), undefined);
});

test("memo: a file is checked before it is read", () => {
  const { stat, bytes } = readStamped(import.meta.filename, ({ size }) => assert.ok(size > 0n));
  assert.equal(BigInt(bytes.length), stat.size);
  assert.throws(() => readStamped(import.meta.filename, () => {
    throw new Error("too large");
  }), /too large/);
});
