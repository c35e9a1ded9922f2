import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { reduce, reduceNumber } from "./reduce.ts";

test("reduce: what is left fails, and would not without any one of it", () => {
  fc.assert(fc.property(fc.uniqueArray(fc.nat(50)), fc.array(fc.nat(50), { maxLength: 4 }), (items, wanted) => {
    const needed = wanted.filter((item) => items.includes(item));
    const fails = (kept: readonly number[]): boolean => needed.every((item) => kept.includes(item));
    const left = reduce(items, fails);
    assert.deepEqual(new Set(left), new Set(needed));
  }));
});

test("reduce: the smallest number that still fails", () => {
  fc.assert(fc.property(fc.nat(1e9), fc.nat(1e9), (a, b) => {
    const [least, value] = [Math.min(a, b), Math.max(a, b)];
    assert.equal(reduceNumber(value, (smaller) => smaller >= least), least);
  }));
});
