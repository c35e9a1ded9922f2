import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { log10 } from "./logarithm.ts";

test("log10: of powers of ten, and of what lies between", () => {
  for (let power = -300; power <= 300; power++) assert.ok(Math.abs(log10(Number(`1e${power}`)) - power) <= 1e-13 * (1 + Math.abs(power)), `1e${power}`);
  assert.equal(log10(1), 0);
  fc.assert(fc.property(fc.double({ min: 1e-300, max: 1e300, noNaN: true }), (value) => {
    assert.ok(Math.abs(log10(value) - Math.log10(value)) <= 1e-13 * (1 + Math.abs(Math.log10(value))));
  }));
});

test("log10: grows with its argument", () => {
  fc.assert(fc.property(fc.double({ min: 1e-300, max: 1e300, noNaN: true }), (value) => {
    assert.ok(log10(value * (1 + 1e-12)) >= log10(value));
  }));
});
