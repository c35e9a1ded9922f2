import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { RuntimeError } from "./errors.ts";
import { Random } from "./random.ts";

test("random: equal seeds draw alike, different ones do not, and a restored one goes on", () => {
  fc.assert(
    fc.property(fc.string(), fc.nat(50), (seed, draws) => {
      const [random, twin] = [Random.fromSeed(seed), Random.fromSeed(seed)];
      for (let draw = 0; draw < draws; draw++) assert.equal(random.nextUint32(), twin.nextUint32());
      const restored = Random.restore(JSON.parse(JSON.stringify(random.state())));
      assert.equal(restored.nextFraction(), random.nextFraction());
      assert.notDeepEqual(Random.fromSeed(`${seed}.`).state(), twin.state());
    }),
  );
});

test("random: the first numbers of a seed are fixed for good", () => {
  const random = Random.fromSeed(1);
  const first = [random.nextUint32(), random.nextUint32(), random.nextUint32()];
  assert.deepEqual(first, [2335719877, 3777884756, 1069924447]);
});

test("random: fractions lie in [0, 1), and their mean near its middle", () => {
  const random = Random.fromSeed("mean");
  let sum = 0;
  for (let draw = 0; draw < 20_000; draw++) {
    const fraction = random.nextFraction();
    assert.ok(fraction >= 0 && fraction < 1);
    sum += fraction;
  }
  assert.ok(Math.abs(sum / 20_000 - 0.5) < 0.01);
});

test("random: below(n) reaches every number under n about equally often", () => {
  const random = Random.fromSeed("below");
  const counts = [0, 0, 0, 0, 0, 0, 0];
  for (let draw = 0; draw < 14_000; draw++) {
    const drawn = random.below(7);
    counts[drawn] = (counts[drawn] ?? 0) + 1;
  }
  assert.equal(counts.length, 7);
  for (const count of counts) assert.ok(Math.abs(count - 2000) < 200);
  assert.equal(random.below(1), 0);
  assert.ok(random.below(2 ** 32) >= 0);
});

test("random: a damaged state is refused", () => {
  for (const bad of [[1, 2, 3], [1, 2, 3, NaN], [1, 2, 3, -1], [1, 2, 3, 0.5], null]) {
    assert.throws(() => Random.restore(bad as never), (error: RuntimeError) => error.code === "SNAPSHOT_INVALID");
  }
});
