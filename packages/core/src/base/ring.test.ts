import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Ring } from "./ring.ts";

test("ring: R1, R2: holds the newest values in order and answers what it drops", () => {
  fc.assert(
    fc.property(fc.array(fc.nat()), fc.integer({ min: 1, max: 5 }), (values, capacity) => {
      const ring = new Ring<number>(capacity);
      const model: number[] = [];
      for (const value of values) {
        model.push(value);
        assert.equal(ring.push(value), model.length > capacity ? model.shift() : undefined);
        assert.deepEqual(ring.toArray(), model);
        assert.equal(ring.size, model.length);
      }
    }),
  );
});
