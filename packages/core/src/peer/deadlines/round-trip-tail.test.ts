import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Random } from "../../base/random.ts";
import { NS_MAX, NS_PER_MS } from "../../base/time.ts";
import { RoundTripTail } from "./round-trip-tail.ts";

const MS = NS_PER_MS;

function fed(samplesNs: Iterable<number>): RoundTripTail {
  const tail = new RoundTripTail();
  for (const ns of samplesNs) tail.observe(ns);
  return tail;
}

/** Exponential round trips: their 99.9th percentile is 6.9 means. */
function* exponential(count: number, meanNs: number, seed: string): Iterable<number> {
  const random = Random.fromSeed(seed);
  for (let n = 0; n < count; n++) yield Math.floor(-meanNs * Math.log(1 - random.nextFraction()));
}

test("tail: lies somewhat above the 99.9th percentile, and few samples exceed it", () => {
  let exceeded = 0;
  const count = 20_000;
  for (const seed of ["a", "b", "c"]) {
    const tail = new RoundTripTail();
    let n = 0;
    for (const ns of exponential(count, 100 * MS, seed)) {
      if (n++ >= 2000 && ns > tail.valueNs()) exceeded++;
      tail.observe(ns);
    }
    const ratio = tail.valueNs() / (691 * MS);
    assert.ok(ratio > 0.75 && ratio < 2, `${seed}: ${ratio}`);
  }
  assert.ok(exceeded / (3 * (count - 2000)) < 0.001, `${exceeded}`);
});

test("tail: a rare slow answer stays known, which mean and deviation forget", () => {
  const tail = fed(Array.from({ length: 5000 }, (_, n) => (n % 200 === 0 ? 900 : 10) * MS));
  assert.ok(tail.valueNs() >= 900 * MS && tail.valueNs() < 1200 * MS);
});

test("tail: with few samples it is drawn beyond the largest, by an octave at most", () => {
  const tail = fed([20 * MS, 25 * MS, 30 * MS, 60 * MS]);
  assert.ok(tail.valueNs() > 90 * MS && tail.valueNs() <= 2.4 * 60 * MS, String(tail.valueNs()));
  assert.equal(new RoundTripTail().valueNs(), 0);
});

test("tail: what became plainly shorter is seen after eight samples, a quick one now and then is none", () => {
  const tail = fed(Array(3000).fill(200 * MS));
  const answers = Array.from({ length: 8 }, () => tail.observe(20 * MS));
  assert.deepEqual(answers, [false, false, false, false, false, false, false, true]);
  assert.ok(tail.valueNs() < 60 * MS);
  const mixed = new RoundTripTail();
  for (let n = 0; n < 5000; n++) assert.equal(mixed.observe((n % 2 === 0 ? 20 : 200) * MS), false);
});

test("tail: the share and the mean above a time", () => {
  const tail = fed(Array.from({ length: 1000 }, (_, n) => (n % 4 === 0 ? 400 : 40) * MS));
  assert.ok(Math.abs(tail.shareAbove(100 * MS) - 0.25) < 0.01);
  assert.ok(Math.abs(tail.meanAboveNs(100 * MS) / (400 * MS) - 1) < 0.15);
  assert.equal(tail.meanAboveNs(50_000 * MS), 50_000 * MS, "nothing is known of what lies beyond");
});

test("tail: Q1, Q2: any history gives whole times, keeps both marks, and is captured and restored alike", () => {
  const sample = fc.oneof(fc.nat(), fc.nat({ max: 300_000 }).map((ms) => ms * MS), fc.constantFrom(0, 20 * MS, 200 * MS, NS_MAX));
  fc.assert(
    fc.property(fc.array(fc.tuple(sample, fc.nat(200))), (steps) => {
      const tail = new RoundTripTail();
      for (const [ns, times] of steps) {
        for (let n = 0; n <= times; n++) tail.observe(ns);
        assert.ok(Number.isInteger(tail.valueNs()) && tail.valueNs() > 0);
        assert.ok(tail.size >= 1 && tail.size < 2048);
        // With both marks in their places a tail that is counted anew says the same.
        const copy = RoundTripTail.restore(tail.state());
        assert.deepEqual(copy.state(), tail.state());
        assert.equal(copy.valueNs(), tail.valueNs());
      }
      for (let n = 0; n < 12; n++) tail.halve();
      assert.ok(tail.size <= 1, "halving ends");
    }),
    { examples: [[[[2 * MS, 6], [0, 6]]]] }, // as many below as above
  );
});

test("tail: damaged state is refused", () => {
  for (const pairs of [[1], [64, 1], [1, 0.5], [1, -1], [1, 2048], [1, 1500, 2, 1500], null as never]) {
    assert.throws(() => RoundTripTail.restore(pairs), { code: "SNAPSHOT_INVALID" });
  }
});
