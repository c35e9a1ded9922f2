import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RuntimeError } from "../../base/errors.ts";
import { NS_PER_MS, NS_PER_S } from "../../base/time.ts";
import { LearnedTail } from "./learned-tail.ts";

const MS = NS_PER_MS;
const S = NS_PER_S;

function fed(excessesNs: Iterable<number>, memory = 16384): LearnedTail {
  const tail = new LearnedTail(memory, S / 2);
  for (const excess of excessesNs) tail.record(excess);
  return tail;
}

test("learned tail: without a sample it is exponential, with the mean it was given", () => {
  const tail = fed([]);
  assert.equal(tail.phi(0), 0);
  assert.ok(Math.abs(tail.phi(S) - 2 / Math.LN10) < 1e-9);
});

test("learned tail: what n samples never showed has at least the probability 1/n", () => {
  const tail = fed(Array(999).fill(0));
  assert.ok(Math.abs(tail.phi(0) - 3) < 0.05, `φ ${tail.phi(0)}`);
  assert.ok(tail.phi(2 * S) < 5);
});

test("learned tail: calibrated: of exponential stays 10^−φ exceed a stay, within a factor of two while samples show it", () => {
  const random = seeded(7);
  const stays = Array.from({ length: 16000 }, () => Math.floor(-Math.log(1 - random()) * 200 * MS));
  const tail = fed(stays);
  for (const excess of [100 * MS, 300 * MS, 600 * MS, S]) {
    const share = stays.filter((stay) => stay > excess).length / stays.length;
    const predicted = 10 ** -tail.phi(excess);
    assert.ok(predicted >= share / 2 && predicted < 3 * share + 1 / 8000, `${excess / MS} ms: ${predicted} beside ${share}`);
  }
});

test("learned tail: rare bursts lengthen the tail and leave the short stays alone", () => {
  const calm = Array.from({ length: 5000 }, (_, at) => (at % 10) * 10 * MS);
  const bursts = calm.map((stay, at) => (at % 1000 === 999 ? 6 * S : stay));
  const [quick, patient] = [fed(calm), fed(bursts)];
  assert.ok(quick.excessAt(5) < 2 * S);
  assert.ok(patient.excessAt(5) > 10 * S);
  assert.ok(Math.abs(patient.phi(50 * MS) - quick.phi(50 * MS)) < 0.5);
});

test("learned tail: forgets: a memory after the bursts ended they hardly count", () => {
  const tail = fed(Array(50).fill(6 * S), 100);
  const before = tail.excessAt(3);
  for (let at = 0; at < 1000; at++) tail.record(10 * MS);
  assert.ok(tail.excessAt(3) < before / 10);
  assert.ok(tail.samples <= 101);
});

const stay = fc.oneof(fc.nat(300 * S), fc.constantFrom(0, 1, 4 * MS, 185 * S, 1e18));

test("learned tail: L1, L2: φ is finite, grows with the stay up to 300, and is inverted", () => {
  fc.assert(fc.property(fc.array(stay, { maxLength: 50 }), fc.array(stay, { minLength: 2, maxLength: 20 }), fc.double({ min: 0, max: 300, noNaN: true }), (samples, asked, phi) => {
    const tail = fed(samples);
    let last = 0;
    for (const excess of asked.sort((a, b) => a - b)) {
      const at = tail.phi(excess);
      assert.ok(at >= last && at <= 300);
      last = at;
    }
    assert.ok(tail.phi(tail.excessAt(phi)) >= phi - 1e-6);
  }));
});

test("learned tail: captured and restored it answers alike, and damaged counts are refused", () => {
  fc.assert(fc.property(fc.array(stay, { maxLength: 50 }), stay, (samples, excess) => {
    const tail = fed(samples, 64);
    const copy = new LearnedTail(64, S / 2);
    copy.restore(JSON.parse(JSON.stringify(tail.capture())));
    assert.ok(Math.abs(copy.phi(excess) - tail.phi(excess)) <= 1e-9 * (1 + tail.phi(excess)));
  }));
  const { counts } = fed([0]).capture();
  for (const bad of [null, {}, counts.slice(1), counts.with(0, -1), counts.with(0, NaN), counts.with(3, 1e9)]) {
    assert.throws(() => fed([]).restore({ counts: bad as number[] }), (error: RuntimeError) => error.code === "SNAPSHOT_INVALID");
  }
});

/** Draws from [0, 1): enough for a test that wants the same numbers again (Park and Miller, 1988). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}
