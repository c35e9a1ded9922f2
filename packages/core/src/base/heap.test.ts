import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Heap } from "./heap.ts";

test("heap: H1: whatever the order of pushes and pops, the least comes out", () => {
  const steps = fc.array(fc.option(fc.integer({ min: 0, max: 20 }), { nil: "pop" as const }), { maxLength: 200 });
  fc.assert(
    fc.property(steps, (given) => {
      const heap = new Heap<number>((a, b) => a - b);
      const model: number[] = [];
      for (const step of given) {
        if (step === "pop") {
          assert.equal(heap.pop(), model.shift());
        } else {
          heap.push(step);
          model.push(step);
          model.sort((a, b) => a - b);
        }
        assert.equal(heap.peek(), model[0]);
        assert.equal(heap.size, model.length);
      }
    }),
    { numRuns: 500 },
  );
});

test("heap: an empty heap has nothing", () => {
  const heap = new Heap<number>((a, b) => a - b);
  assert.equal(heap.peek(), undefined);
  assert.equal(heap.pop(), undefined);
  assert.equal(heap.size, 0);
});
