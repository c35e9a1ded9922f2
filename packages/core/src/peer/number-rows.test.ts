import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NumberRows } from "./number-rows.ts";

const WIDTH = 3;

test("number rows: R1: rows that are lent do not overlap, stay where they are, and are zero when they are lent", () => {
  const steps = fc.array(fc.oneof({ weight: 3, arbitrary: fc.constant(-1) }, fc.nat(5000)), { minLength: 1, maxLength: 6000 });
  fc.assert(fc.property(steps, (given) => {
    const rows = new NumberRows(WIDTH);
    const lent: { row: number; cells: Float64Array; mark: number }[] = [];
    for (const [mark, step] of [...Array<number>(1500).fill(-1), ...given].entries()) {
      if (step >= 0 && lent.length > 0) {
        const [{ row, cells, mark }] = lent.splice(step % lent.length, 1) as [(typeof lent)[0]];
        assert.equal(rows.cells(row), cells);
        assert.deepEqual([...cells.subarray(rows.at(row), rows.at(row) + WIDTH)], Array(WIDTH).fill(mark));
        rows.giveBack(row);
        continue;
      }
      const row = rows.take();
      const cells = rows.cells(row);
      const part = cells.subarray(rows.at(row), rows.at(row) + WIDTH);
      assert.deepEqual([...part], Array(WIDTH).fill(0));
      part.fill(mark + 1);
      lent.push({ row, cells, mark: mark + 1 });
      assert.equal(rows.taken, lent.length);
    }
    for (const { row, mark } of lent) {
      assert.deepEqual([...rows.cells(row).subarray(rows.at(row), rows.at(row) + WIDTH)], Array(WIDTH).fill(mark));
    }
  }), { numRuns: 20 });
});

test("number rows: a row's words of 16 bits are its own bytes", () => {
  const rows = new NumberRows(WIDTH);
  for (let count = 0; count < 100; count++) rows.take();
  rows.words(77)[4 * rows.at(77) + 4] = 7;
  assert.notEqual(rows.cells(77)[rows.at(77) + 1], 0);
  assert.equal(rows.cells(77)[rows.at(77)], 0);
});
