import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NS_PER_MS, toMs, toNs } from "./clock.ts";
import { HedgeDelay } from "./hedge-delay.ts";
import { VirtualClock } from "./virtual-clock.ts";

const shapes: Record<string, (u: number, v: number) => number> = {
  // In ms. The second uniform number makes a normal one.
  "all within a tenth of each other": (u) => 95 + 10 * u,
  "exponential": (u) => -20 * Math.log(1 - u),
  "lognormal": (u, v) => 20 * Math.exp(Math.sqrt(-2 * Math.log(1 - u)) * Math.cos(2 * Math.PI * v)),
  "one in thirty is slow": (u, v) => (v < 1 / 30 ? 1000 : 10 + u),
};

for (const [shape, draw] of Object.entries(shapes)) {
  test(`hedge delay: about one in twenty exceeds it, ${shape}, also where hedges hide how long those take`, () => {
    fc.assert(fc.property(fc.integer(), (seed) => {
      const { random } = new VirtualClock({ seed });
      const clock = new VirtualClock({ seed });
      const next = (): number => toNs(draw(random.call(clock), random.call(clock)));
      for (const isHedged of [false, true]) {
        const delay = new HedgeDelay();
        for (let answer = 0; answer < 500; answer++) delay.learn(next(), true);
        let exceeded = 0;
        for (let answer = 0; answer < 4000; answer++) {
          const tookNs = next();
          const limitNs = delay.ns;
          if (tookNs > limitNs) exceeded++;
          // A hedge answers soon: the first attempt is given up.
          if (isHedged && tookNs > limitNs) delay.learn(limitNs + NS_PER_MS, false);
          else delay.learn(tookNs, true);
        }
        assert.ok(exceeded > 150 && exceeded < 250, `${exceeded} of 4000`);
      }
    }), { numRuns: 20 });
  });
}

test("hedge delay: nothing is known before ten answers, and it is never below what a timer can tell", () => {
  const delay = new HedgeDelay();
  for (let answer = 0; answer < 9; answer++) delay.learn(100, true);
  delay.learn(toNs(3), false);
  assert.equal(delay.ns, Infinity);
  delay.learn(50, true);
  assert.equal(toMs(delay.ns), 3);
  for (let answer = 0; answer < 1000; answer++) delay.learn(50, true);
  assert.equal(toMs(delay.ns), 1);
  for (let answer = 0; answer < 1000; answer++) delay.learn(1, false);
  assert.equal(toMs(delay.ns), 1, "who gave up before it tells nothing");
});

test("hedge delay: one for each site", () => {
  const site = { name: "a", id: "a" };
  assert.equal(HedgeDelay.of(site), HedgeDelay.of(site));
  assert.notEqual(HedgeDelay.of(site), HedgeDelay.of({ name: "a", id: "a" }));
});
