import assert from "node:assert/strict";
import { test } from "node:test";
import { RuntimeError } from "@holdfast/core/peer";
import fc from "fast-check";
import { HelloLimiter } from "./hello-limiter.ts";
import type { HelloLimiterOptions } from "./hello-limiter.ts";

/** Four at once, then one every 100 ms. A bucket fills in 400 ms. */
const small = { hellosPerSecond: 10, burst: 4 };

function admitted(limiter: HelloLimiter, pid: number, nowUs: number, times: number): number {
  return Array.from({ length: times }, () => limiter.admit(pid, nowUs)).filter((each) => each.admitted).length;
}

test("hello limiter: by default 256 at once, and 256 a second", () => {
  const limiter = new HelloLimiter();
  assert.equal(admitted(limiter, 1, 5_000_000, 300), 256);
  assert.equal(admitted(limiter, 1, 5_500_000, 300), 128);
  assert.equal(admitted(limiter, 1, 9_000_000, 300), 256);
});

test("hello limiter: a refusal says when the next token comes", () => {
  const limiter = new HelloLimiter(small);
  admitted(limiter, 1, 0, 4);
  assert.deepEqual(limiter.admit(1, 0), { admitted: false, retryAfterMs: 100 });
  assert.deepEqual(limiter.admit(1, 99_999), { admitted: false, retryAfterMs: 1 });
  assert.deepEqual(limiter.admit(1, 100_000), { admitted: true });
});

test("hello limiter: processes do not use each other's tokens", () => {
  const limiter = new HelloLimiter(small);
  assert.equal(admitted(limiter, 1, 0, 9), 4);
  assert.equal(admitted(limiter, 2, 0, 9), 4);
});

test("hello limiter: L2: at the bound those go that were heard longest ago, and start anew", () => {
  const limiter = new HelloLimiter({ ...small, maxEntries: 4 });
  for (const pid of [1, 2, 1, 3, 1, 4, 5]) assert.equal(admitted(limiter, pid, 0, 9), pid === 1 && limiter.size > 1 ? 0 : 4);
  assert.ok(limiter.size <= 4);
  assert.equal(admitted(limiter, 5, 0, 9), 0);
  assert.equal(admitted(limiter, 2, 0, 9), 4);
});

test("hello limiter: L3: time that steps back refills nothing, and does not stop refills for long", () => {
  const limiter = new HelloLimiter(small);
  assert.equal(admitted(limiter, 1, 1_000_000, 9), 4);
  for (const nowUs of [0, -5, 1_000_000, 0, 1_000_000]) assert.equal(admitted(limiter, 1, nowUs, 9), 0);
  assert.equal(admitted(limiter, 1, 1_200_000, 9), 2);
});

test("hello limiter: a process that goes on is kept once", () => {
  const limiter = new HelloLimiter(small);
  for (const nowUs of [0, 400_000, 500_000, 800_000]) {
    limiter.admit(1, nowUs);
    assert.equal(limiter.size, 1);
  }
});

test("hello limiter: a long pause leaves nothing to keep", () => {
  const limiter = new HelloLimiter(small);
  for (let pid = 0; pid < 1000; pid++) limiter.admit(pid, 0);
  limiter.admit(1, 399_999);
  assert.equal(limiter.size, 1000);
  limiter.admit(2, 800_000);
  assert.equal(limiter.size, 1);
});

test("hello limiter: options out of their range are refused", () => {
  for (const bad of [{ hellosPerSecond: 0 }, { burst: NaN }, { burst: 1.5 }, { maxEntries: 1 }, { hellosPerSecond: 1e7 }]) {
    assert.throws(() => new HelloLimiter(bad), (error: RuntimeError) => error.code === "OPTION_INVALID");
  }
});

interface Ask {
  readonly pid: number;
  readonly nowUs: number;
}

const options = fc.record({ hellosPerSecond: fc.integer({ min: 1, max: 1000 }), burst: fc.integer({ min: 1, max: 8 }) });
/** Steps of up to a few refills, back as well as on, and now and then a pause. */
const steps = fc.array(fc.record({
  pid: fc.integer({ min: 0, max: 5 }),
  stepUs: fc.oneof(fc.integer({ min: -20_000, max: 20_000 }), fc.constant(0), fc.integer({ min: 0, max: 20_000_000 })),
}), { maxLength: 200 });

function asks(given: readonly { pid: number; stepUs: number }[]): Ask[] {
  let nowUs = 1_000_000_000;
  return given.map(({ pid, stepUs }) => ({ pid, nowUs: nowUs += stepUs }));
}

/** One bucket that is never forgotten, in exact fractions. */
class BucketModel {
  readonly #options: Pick<HelloLimiterOptions, "hellosPerSecond" | "burst">;
  #level: bigint;
  #atUs = 0n;

  constructor(given: Pick<HelloLimiterOptions, "hellosPerSecond" | "burst">) {
    this.#options = given;
    this.#level = BigInt(given.burst) * 1_000_000n;
  }

  admits(nowUs: number): boolean {
    const elapsedUs = BigInt(nowUs) - this.#atUs;
    const level = this.#level + elapsedUs * BigInt(this.#options.hellosPerSecond);
    const levelMax = BigInt(this.#options.burst) * 1_000_000n;
    this.#level = level < levelMax ? level : levelMax;
    this.#atUs = BigInt(nowUs);
    if (this.#level < 1_000_000n) return false;
    this.#level -= 1_000_000n;
    return true;
  }
}

test("hello limiter: L1: no interval admits more of a process than burst + rate · t", () => {
  fc.assert(fc.property(options, steps, (given, list) => {
    const limiter = new HelloLimiter(given);
    const timesUs = new Map<number, number[]>();
    let latestUs = 0;
    for (const { pid, nowUs } of asks(list)) {
      latestUs = Math.max(latestUs, nowUs);
      if (limiter.admit(pid, nowUs).admitted) timesUs.set(pid, [...timesUs.get(pid) ?? [], latestUs]);
    }
    for (const times of timesUs.values()) {
      for (const [from, fromUs] of times.entries()) {
        for (const [offset, toUs] of times.slice(from).entries()) {
          const most = given.burst + (given.hellosPerSecond * (toUs - fromUs)) / 1_000_000;
          assert.ok(offset + 1 <= most, `${offset + 1} within ${toUs - fromUs} µs`);
        }
      }
    }
  }));
});

test("hello limiter: what it forgets makes no difference, nor does time that steps back", () => {
  fc.assert(fc.property(options, steps, (given, list) => {
    const limiter = new HelloLimiter(given);
    const models = new Map<number, BucketModel>();
    let latestUs = 0;
    for (const { pid, nowUs } of asks(list)) {
      latestUs = Math.max(latestUs, nowUs);
      const model = models.get(pid) ?? new BucketModel(given);
      models.set(pid, model);
      assert.equal(limiter.admit(pid, nowUs).admitted, model.admits(latestUs));
    }
  }));
});

test("hello limiter: whoever comes back after retryAfterMs is admitted", () => {
  fc.assert(fc.property(options, steps, (given, list) => {
    const limiter = new HelloLimiter(given);
    let latestUs = 0;
    for (const { pid, nowUs } of asks(list)) {
      latestUs = Math.max(latestUs, nowUs);
      const admission = limiter.admit(pid, nowUs);
      if (admission.admitted) continue;
      assert.ok(Number.isInteger(admission.retryAfterMs) && admission.retryAfterMs >= 1);
      latestUs += admission.retryAfterMs * 1000;
      assert.ok(limiter.admit(pid, latestUs).admitted);
    }
  }));
});

test("hello limiter: L2: no sequence makes it keep more than its bound", () => {
  const list = fc.array(fc.tuple(fc.nat(60), fc.integer({ min: -1000, max: 30_000 })), { maxLength: 300 });
  fc.assert(fc.property(fc.integer({ min: 2, max: 20 }), list, (maxEntries, given) => {
    const limiter = new HelloLimiter({ ...small, maxEntries });
    let nowUs = 0;
    for (const [pid, stepUs] of given) {
      limiter.admit(pid, nowUs += stepUs);
      assert.ok(limiter.size <= maxEntries);
    }
  }));
});
