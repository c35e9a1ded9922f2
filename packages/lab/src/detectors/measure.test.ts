import assert from "node:assert/strict";
import { test } from "node:test";
import { figuresOf, measure, measureAll, percentile, total } from "./measure.ts";
import { FixedTimeout } from "./rules/fixed-timeout.ts";
import type { Pause, PeerTrace } from "./traces/trace.ts";

const S = 1e9;

/** Beats at these seconds, Infinity = lost. */
function peer(arrivals: readonly number[], { diedAt, pauses = [] }: { diedAt: number; pauses?: readonly (readonly [number, number])[] }): PeerTrace {
  return {
    arrivals: Float64Array.from(arrivals, (at) => at * S), sentAt: Float64Array.from(arrivals, (_, at) => at * S), neighbours: new Uint8Array(arrivals.length), wallJumps: [],
    answers: () => Infinity, others: [],
    beginsAt: 0, diedAt: diedAt * S, pauses: pauses.map(([from, to]): Pause => ({ from: from * S, to: to * S })),
  };
}

// The rule is the fixed timeout of 5 s.
const cases = [
  { name: "a death is detected 5 s after the last beat", arrivals: [1, 2], diedAt: 2.5, mistakes: 0, mistaken: 0, detection: 4.5 },
  { name: "a silence of 5 s is none yet", arrivals: [1, 6], diedAt: 7, mistakes: 0, mistaken: 0, detection: 4 },
  { name: "a longer one is a mistake until the next beat", arrivals: [1, Infinity, 9], diedAt: 10, mistakes: 1, mistaken: 3, detection: 4 },
  { name: "a mistake that lasts until the death ends there", arrivals: [1], diedAt: 8, mistakes: 1, mistaken: 2, detection: 0 },
  { name: "a late beat of the dead moves the detection", arrivals: [1, 20], diedAt: 2, mistakes: 0, mistaken: 0, detection: 23 },
  { name: "a late beat ends a mistake that had outlived the peer", arrivals: [1, 20], diedAt: 8, mistakes: 1, mistaken: 2, detection: 17 },
  { name: "in a pause nobody judges; after it the check comes before the beats", arrivals: [1, 20, 20], diedAt: 21, pauses: [[2, 20]] as const, mistakes: 1, mistaken: 0, detection: 4 },
  { name: "the same, read first", arrivals: [1, 20, 20], diedAt: 21, pauses: [[2, 20]] as const, drainsFirst: true, mistakes: 0, mistaken: 0, detection: 4 },
  { name: "read first, but nothing came", arrivals: [1, 21], diedAt: 22, pauses: [[2, 20]] as const, drainsFirst: true, mistakes: 1, mistaken: 1, detection: 4 },
  { name: "a suspicion from before a pause goes on in it", arrivals: [1, 20], diedAt: 21, pauses: [[10, 20]] as const, mistakes: 1, mistaken: 14, detection: 4 },
  { name: "a pause after the death delays the detection", arrivals: [1], diedAt: 2, pauses: [[3, 63]] as const, mistakes: 0, mistaken: 0, detection: 61 },
];

for (const { name, arrivals, diedAt, pauses, drainsFirst = false, mistakes, mistaken, detection } of cases) {
  test(`measure: ${name}`, () => {
    const measured = measure(peer(arrivals, { diedAt, pauses: pauses ?? [] }), new FixedTimeout(), { drainsFirst });
    assert.deepEqual(measured, { aliveNs: diedAt * S, mistakes, mistakenNs: mistaken * S, detectionsNs: [detection * S] });
  });
}

test("measure: a rule that never suspects never detects", () => {
  const never = { beat() {}, suspectsAt: () => Infinity };
  assert.deepEqual(measure(peer([1], { diedAt: 2 }), never, { drainsFirst: false }).detectionsNs, [Infinity]);
});

test("measure: a rule hears of each pause once, in order, with its length", () => {
  const heard: unknown[] = [];
  const rule = { beat: (now: number) => void heard.push(now / S), pause: (now: number, ns: number) => void heard.push([now / S, ns / S]), suspectsAt: () => Infinity };
  measure(peer([1, 4, 4, 9], { diedAt: 10, pauses: [[2, 4], [5, 6], [11, 13]] }), rule, { drainsFirst: true });
  assert.deepEqual(heard, [1, [4, 2], 4, 4, [6, 1], 9, [13, 2]]);
});

test("measure: figures of a sum", () => {
  const day = 86_400 * S;
  const part = (mistakes: number, detection: number) => ({ aliveNs: day, mistakes, mistakenNs: mistakes * 2 * S, detectionsNs: [detection * S] });
  const figures = figuresOf(total([part(3, 9), part(0, 4), part(1, 5), part(0, 6)]));
  assert.deepEqual(figures, { peerDays: 4, detectionP50: 5, detectionP99: 9, detectionMax: 9, mistakes: 4, mistakesPerDay: 1, meanMistake: 2, queryAccuracy: 1 - 8 / 345_600 });
});

test("measure: a percentile is the nearest rank", () => {
  const hundred = Array.from({ length: 100 }, (_, index) => index + 1);
  assert.deepEqual([0.5, 0.99, 1].map((share) => percentile(hundred, share)), [50, 99, 100]);
  assert.equal(percentile([7], 0.01), 7);
});

test("measure: a restart forgets what the rule does not store, and a suspicion with it", () => {
  const trace = { ...peer([1, 30], { diedAt: 34 }), restarts: [{ from: 10 * S, to: 12 * S }, { from: 50 * S, to: 51 * S }] };
  const begin = () => new FixedTimeout();
  const forgot = measure(trace, begin(), { drainsFirst: false, begin });
  assert.deepEqual(forgot, { aliveNs: 34 * S, mistakes: 1, mistakenNs: 6 * S, detectionsNs: [Infinity] });
  const told: number[][] = [];
  const storing = Object.assign(begin(), { restart: (...of: number[]) => void told.push(of) });
  const stored = measure(trace, storing, { drainsFirst: false, begin });
  assert.deepEqual([stored.mistakenNs, stored.detectionsNs, told], [24 * S, [S], [[12 * S, 2 * S], [51 * S, S]]]);
});

test("measure: two verdicts of one rule are measured in one run", () => {
  const rule = { ...new FixedTimeout(), last: Infinity, beat(now: number) { this.last = now; }, suspectsAt(_until: number, verdict?: string) { return this.last + (verdict === "down" ? 9 : 3) * S; } };
  const begun: [number, string | undefined][] = [];
  const both = measureAll(peer([1, 6], { diedAt: 7 }), rule, { drainsFirst: false, verdicts: ["suspect", "down"], onMistake: (at, verdict) => void begun.push([at / S, verdict]) });
  assert.deepEqual(both.map(({ mistakes, detectionsNs }) => [mistakes, ...detectionsNs.map((ns) => ns / S)]), [[1, 2], [0, 8]]);
  assert.deepEqual(begun, [[4, "suspect"]]);
});
