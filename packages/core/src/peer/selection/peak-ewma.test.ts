import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NS_PER_MS, NS_PER_S } from "../../base/time.ts";
import { decay } from "../decay.ts";
import { PeakEwma } from "./peak-ewma.ts";

const MS = NS_PER_MS;
const S = NS_PER_S;
/** A typical member of the group. */
const PRIOR = 20 * MS;

/** Answered once, after so long, at 1 s. */
function answered(latencyNs: number): PeakEwma {
  const ewma = new PeakEwma();
  ewma.began(S - latencyNs);
  ewma.answered(latencyNs, S);
  return ewma;
}

function near(actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) <= 1e-9 * expected, `${actual} is not ${expected}`);
}

test("decay: e to the minus elapsed over the time constant, between 1 and 0", () => {
  for (const constants of [0.001, 0.5, 0.6931471805599453, 1, 3, 17, 39.9]) near(decay(constants * 1e9, 1e9), Math.exp(-constants));
  assert.deepEqual([decay(0, S), decay(-5, S), decay(40 * S, S), decay(Infinity, S)], [1, 1, 0, 0]);
});

test("peak-EWMA: a slower sample counts at once, a quicker one draws it down with time", () => {
  const ewma = answered(100 * MS);
  ewma.began(S);
  ewma.answered(900 * MS, S);
  assert.equal(ewma.latencyNs(S, PRIOR), 900 * MS);
  ewma.began(11 * S);
  ewma.answered(100 * MS, 11 * S);
  near(ewma.latencyNs(11 * S, PRIOR), 100 * MS + 800 * MS * Math.exp(-1));
});

test("peak-EWMA: without samples it fades towards the prior, and does not go below", () => {
  const ewma = answered(2 * S);
  near(ewma.latencyNs(11 * S, PRIOR), PRIOR + (2 * S - PRIOR) * Math.exp(-1));
  near(ewma.latencyNs(1000 * S, PRIOR), PRIOR);
  near(answered(MS).latencyNs(1000 * S, PRIOR), PRIOR);
});

test("peak-EWMA: a site without samples needs what its group needs", () => {
  assert.equal(new PeakEwma().costNs(5 * S, PRIOR), PRIOR);
});

test("peak-EWMA: the cost counts the requests in flight and one", () => {
  const ewma = answered(10 * MS);
  for (let n = 0; n < 3; n++) ewma.began(S);
  assert.equal(ewma.costNs(S, PRIOR), 40 * MS);
});

test("peak-EWMA: who does not answer counts at least as long as the silence", () => {
  const ewma = answered(10 * MS);
  ewma.began(2 * S);
  assert.ok(ewma.latencyNs(2 * S + 5 * MS, PRIOR) < PRIOR);
  assert.equal(ewma.latencyNs(7 * S, PRIOR), 5 * S);
});

test("peak-EWMA: one request that hangs while others are answered is no silence", () => {
  const ewma = answered(10 * MS);
  ewma.began(2 * S);
  for (let at = 2 * S; at < 60 * S; at += 100 * MS) {
    ewma.began(at);
    ewma.answered(10 * MS, at + 10 * MS);
  }
  assert.ok(ewma.latencyNs(60 * S, PRIOR) < 100 * MS);
});

test("peak-EWMA: requests that are given up one after the other add up to silence; an answer ends it", () => {
  const ewma = answered(10 * MS);
  for (let n = 0; n < 20; n++) {
    ewma.began(2 * S + n * 50 * MS);
    ewma.gaveUp(50 * MS, PRIOR, 2 * S + (n + 1) * 50 * MS);
  }
  assert.equal(ewma.latencyNs(3 * S, PRIOR), S);
  ewma.began(3 * S);
  ewma.answered(10 * MS, 3 * S + 10 * MS);
  ewma.began(4 * S);
  assert.ok(ewma.latencyNs(4 * S, PRIOR) < S);
});

test("peak-EWMA: a quick error or refusal makes nobody quick, a slow one is slow", () => {
  const ewma = new PeakEwma();
  ewma.began(S);
  ewma.turnedDown(MS, PRIOR, S + MS);
  assert.equal(ewma.latencyNs(2 * S, PRIOR), PRIOR);
  ewma.began(2 * S);
  ewma.turnedDown(3 * S, PRIOR, 5 * S);
  assert.equal(ewma.latencyNs(5 * S, PRIOR), 3 * S);
});

test("peak-EWMA: W1, what ends has begun", () => {
  assert.throws(() => new PeakEwma().answered(5, S), /W1/);
});

test("peak-EWMA: W2, an estimate lies among its samples, its prior and its silence", () => {
  const steps = fc.array(fc.record({ waitNs: fc.integer({ min: 0, max: 60 * S }), latencyNs: fc.integer({ min: 1, max: 60 * S }), how: fc.constantFrom("answered", "turnedDown", "gaveUp") }));
  fc.assert(fc.property(steps, (given) => {
    const ewma = new PeakEwma();
    let now = 1;
    let [least, most] = [PRIOR, PRIOR];
    for (const { waitNs, latencyNs, how } of given) {
      ewma.began((now += waitNs));
      const from = now;
      now += latencyNs;
      assert.ok(ewma.latencyNs(now, PRIOR) >= now - from, "silence counts");
      if (how === "answered") ewma.answered(latencyNs, now);
      else if (how === "gaveUp") ewma.gaveUp(latencyNs, PRIOR, now);
      else ewma.turnedDown(latencyNs, PRIOR, now);
      [least, most] = [Math.min(least, latencyNs), Math.max(most, how === "gaveUp" ? now : latencyNs)];
      const latency = ewma.latencyNs(now, PRIOR);
      assert.ok(latency >= least * (1 - 1e-12) && latency <= most * (1 + 1e-12), `${latency} in ${least} … ${most}`);
      assert.equal(ewma.inFlight, 0);
    }
  }));
});
