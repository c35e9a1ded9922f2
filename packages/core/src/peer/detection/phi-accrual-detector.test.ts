import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { RuntimeError } from "../../base/errors.ts";
import { NS_MAX, NS_PER_S } from "../../base/time.ts";
import { PhiAccrualDetector, REFERENCE_DETECTOR } from "./phi-accrual-detector.ts";

const S = NS_PER_S;

function beating(intervals: number[], options = {}): { detector: PhiAccrualDetector; last: number } {
  const detector = new PhiAccrualDetector(options);
  let last = 1;
  for (const interval of intervals) detector.recordHeartbeat(last + interval, last), (last += interval);
  return { detector, last };
}

test("detector: φ is the silence in means, over ln 10", () => {
  const { detector, last } = beating([2 * S, 4 * S]);
  assert.equal(detector.phi(last + 6 * S, last), 2 / 2.302585092994046);
  assert.equal(detector.phi(last, last), 0);
  assert.equal(detector.phi(last - 5, last), 0);
});

test("detector: the product's window is 256, the reference's 1000", () => {
  assert.equal(beating(Array(1100).fill(S)).detector.size, 256);
  assert.equal(beating(Array(1100).fill(S), REFERENCE_DETECTOR).detector.size, 1000);
});

test("detector: a site seen exactly once becomes suspect, and then down", () => {
  const detector = new PhiAccrualDetector();
  assert.equal(detector.isSuspect(1 + 18 * S, 1), false);
  assert.equal(detector.isSuspect(1 + 19 * S, 1), true);
  assert.equal(detector.isDown(1 + 37 * S, 1), true);
  assert.equal(new PhiAccrualDetector(REFERENCE_DETECTOR).phi(1 + 37 * S, 1), 0);
});

test("detector: arrivals that bunch up teach no impatience", () => {
  const { detector, last } = beating(Array(100).fill(5e6));
  assert.equal(detector.isSuspect(last + S, last), false);
});

test("detector: one outage delays the next detection by seconds, in the reference by minutes", () => {
  const detectionNs = (options: object) => {
    const { detector, last } = beating([...Array(20).fill(S), 300 * S], options);
    return (detector.crossing(8, last) ?? Infinity) - last;
  };
  assert.ok(detectionNs({}) < 22 * S);
  assert.ok(detectionNs(REFERENCE_DETECTOR) > 270 * S);
});

test("detector: a lossy link is learned all the same", () => {
  const { detector } = beating(Array(256).fill(40 * S));
  assert.ok(detector.meanNs > 30 * S);
});

test("detector: D1: a huge interval that has passed through leaves no trace in the sum", () => {
  const detector = PhiAccrualDetector.restore([NS_MAX, 3, 5, 9], { ...REFERENCE_DETECTOR, historyCapacity: 3 });
  assert.equal(detector.meanNs, 17 / 3);
});

const intervals = fc.array(fc.oneof(fc.integer({ min: 0, max: 10 }), fc.integer({ min: 0, max: 1e12 }), fc.maxSafeInteger().map(Math.abs)), {
  maxLength: 30,
});

test("detector: D1: the mean is the exact sum of what is in the window", () => {
  fc.assert(
    fc.property(fc.array(fc.maxSafeInteger().map(Math.abs), { minLength: 1, maxLength: 30 }), (given) => {
      const detector = PhiAccrualDetector.restore(given, { ...REFERENCE_DETECTOR, historyCapacity: 4 });
      const sum = detector.history().reduce((total, interval) => total + BigInt(interval), 0n);
      assert.equal(detector.meanNs, Number(sum) / detector.size);
    }),
  );
});

test("detector: D2: φ is finite and grows with the silence, and a crossing is where it passes the threshold", () => {
  const silences = fc.tuple(fc.maxSafeInteger().map(Math.abs), fc.maxSafeInteger().map(Math.abs));
  fc.assert(
    fc.property(intervals, silences, fc.boolean(), (given, [a, b], reference) => {
      const full = PhiAccrualDetector.restore(given, { ...(reference && REFERENCE_DETECTOR), historyCapacity: 8 });
      const [earlier, later] = [full.phi(Math.min(a, b), 1), full.phi(Math.max(a, b), 1)];
      assert.ok(earlier >= 0 && earlier <= later && later < Infinity);
      const at = full.crossing(8, 1);
      if (at === undefined) return;
      assert.ok(full.isSuspect(at, 1));
      if (at < 2 ** 53) assert.equal(full.isSuspect(at - 1000, 1), false);
    }),
  );
});

test("detector: a history survives capture and restore; a damaged one is refused", () => {
  fc.assert(
    fc.property(intervals, (given) => {
      const { detector } = beating(given, { historyCapacity: 8 });
      const copy = PhiAccrualDetector.restore(detector.history(), { historyCapacity: 8 });
      assert.deepEqual(copy.history(), detector.history());
      assert.equal(copy.meanNs, detector.meanNs);
    }),
  );
  for (const bad of [[NaN], [-1], [0.5], ["1"], null]) {
    const restore = () => PhiAccrualDetector.restore(bad as number[]);
    assert.throws(restore, (error: RuntimeError) => error.code === "SNAPSHOT_INVALID");
  }
});
