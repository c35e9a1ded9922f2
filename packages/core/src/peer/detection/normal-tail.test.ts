import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RuntimeError } from "../../base/errors.ts";
import { NS_PER_MS, NS_PER_S } from "../../base/time.ts";
import { normalPhi, NormalTail } from "./normal-tail.ts";

const MS = NS_PER_MS;
const S = NS_PER_S;

// −log10 of tabulated upper tails of the normal distribution.
const tails = [[0, 0.5], [1, 0.158655254], [2, 0.022750132], [3, 1.349898e-3], [4, 3.16712e-5], [6, 9.86588e-10], [8, 6.22096e-16], [-1, 0.841344746]] as const;

test("normal φ: as the tables have it", () => {
  for (const [deviations, tail] of tails) assert.ok(Math.abs(normalPhi(deviations) + Math.log10(tail)) < 1e-6, `at ${deviations}`);
});

test("normal φ: finite, and grows, from far below to 300", () => {
  let last = 0;
  for (let deviations = -12; deviations <= 40; deviations += 0.01) {
    const phi = normalPhi(deviations);
    assert.ok(phi >= last - 1e-12 && phi <= 300, `at ${deviations}: ${phi} after ${last}`);
    last = phi;
  }
  assert.equal(last, 300);
});

function fed(excessesNs: readonly number[]): NormalTail {
  const tail = new NormalTail(1000);
  for (const excess of excessesNs) tail.record(excess, S);
  return tail;
}

test("normal tail: lost beats and late ones are told apart", () => {
  const lossy = fed(Array.from({ length: 1000 }, (_, at) => (at % 10 === 9 ? S : 0)));
  assert.ok(Math.abs(lossy.phi(0.7 * S, S) - 1) < 0.1, "one in ten is lost");
  assert.ok(Math.abs(lossy.phi(1.7 * S, S) - 2) < 0.2, "two in a hundred are lost together");
  assert.ok(fed(Array(1000).fill(0)).phi(0.9 * S, S) > 2.7);
});

test("normal tail: never more impatient than the least deviation and the acceptable pause allow", () => {
  const strict = fed(Array(500).fill(0));
  const patient = new NormalTail(1000, { deviationMinNs: 100 * MS, acceptablePauseNs: 3 * S });
  for (let beat = 0; beat < 500; beat++) patient.record(0, S);
  assert.ok(strict.excessAt(1, S) > 100 * MS);
  assert.ok(patient.excessAt(1, S) > 3 * S);
});

test("normal tail: φ grows with the stay and is inverted; captured and restored it answers alike", () => {
  const stay = fc.nat(30 * S);
  fc.assert(fc.property(fc.array(stay, { maxLength: 30 }), fc.array(stay, { minLength: 2, maxLength: 10 }), fc.double({ min: 0.5, max: 100, noNaN: true }), (samples, asked, phi) => {
    const tail = fed(samples);
    let last = 0;
    for (const excess of asked.sort((a, b) => a - b)) {
      const at = tail.phi(excess, S);
      assert.ok(at >= last - 1e-12 && at <= 300);
      last = at;
    }
    assert.ok(tail.phi(tail.excessAt(phi, S), S) >= phi - 1e-6);
    const copy = new NormalTail(1000);
    copy.restore(JSON.parse(JSON.stringify(tail.capture())));
    assert.equal(copy.phi(S, S), tail.phi(S, S));
  }));
  for (const moments of [[1, 2, 3], [1, 2, 3, -1], [1, 2, 3, "4"], {}]) {
    assert.throws(() => fed([]).restore({ moments: moments as number[] }), (error: RuntimeError) => error.code === "SNAPSHOT_INVALID");
  }
});
