import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { RuntimeError } from "../../base/errors.ts";
import { Random } from "../../base/random.ts";
import { NS_MAX } from "../../base/time.ts";
import { BackoffTable, REFERENCE_BACKOFF } from "./backoff-table.ts";
import type { BackoffOptions } from "./backoff-table.ts";

const PEER = "ann";
const options = { baseNs: 10, maxDelayNs: 100 };

type Call = (table: BackoffTable<string>) => void;
const fail = (now: number): Call => (table) => table.recordFailure(PEER, now);
const advise = (now: number, ns: number): Call => (table) => table.recordRemoteAdvisory(PEER, now, ns);
const succeed = (now?: number): Call => (table) => table.recordSuccess(PEER, now);
const attempt = (now: number): Call => (table) => void table.recordAttempt(PEER, now);
const live: Call = (table) => table.endFailureBackoff(PEER);

const rules: { name: string; given?: Partial<BackoffOptions<string>>; calls: Call[]; retryAt: number }[] = [
  { name: "an unknown peer may be tried", calls: [], retryAt: 0 },
  { name: "the first failure waits exactly the base", calls: [fail(5)], retryAt: 15 },
  { name: "each further failure doubles the delay", calls: [fail(5), fail(6), fail(7)], retryAt: 47 },
  { name: "B1: the delay ends at the cap", calls: [1, 2, 3, 4, 5, 6, 7].map(fail), retryAt: 107 },
  { name: "B3: fourteen failures of one instant are one step", calls: Array(14).fill(fail(5)), retryAt: 15 },
  { name: "the reference counts each of them", given: REFERENCE_BACKOFF, calls: [fail(5), fail(5)], retryAt: 5 + 20 * 1e6 },
  { name: "an advisory is taken as told", calls: [advise(5, 33)], retryAt: 38 },
  { name: "B1: an advisory ends at the cap", calls: [advise(5, NS_MAX)], retryAt: 105 },
  { name: "an advisory that is no number is none", calls: [advise(5, NaN)], retryAt: 5 },
  { name: "B2: an advisory shortens no cooldown", calls: [fail(5), advise(6, 0)], retryAt: 15 },
  { name: "B2: nor an earlier advisory", calls: [advise(5, 50), advise(6, 1)], retryAt: 55 },
  { name: "the reference lets it", given: { ...REFERENCE_BACKOFF, ...options }, calls: [fail(5), advise(6, 0)], retryAt: 6 },
  { name: "an advisory is no failure", calls: [advise(5, 1), fail(10)], retryAt: 20 },
  { name: "in the reference the schedule goes on after one", given: { ...REFERENCE_BACKOFF, ...options }, calls: [advise(5, 1), fail(10)], retryAt: 30 },
  { name: "B5: advice upon advice ends at the total", given: { adviceTotalMaxNs: 120 }, calls: [advise(5, 100), advise(60, 100), advise(110, 100)], retryAt: 125 },
  { name: "B5: and goes on ending there while nothing is tried", given: { adviceTotalMaxNs: 120 }, calls: [advise(5, 100), advise(60, 100), advise(125, 100)], retryAt: 125 },
  { name: "an attempt begins the total anew", given: { adviceTotalMaxNs: 120 }, calls: [advise(5, 100), advise(60, 100), attempt(125), advise(126, 100)], retryAt: 226 },
  { name: "an attempt while we were to stay away does not", given: { adviceTotalMaxNs: 120 }, calls: [advise(5, 100), attempt(50), advise(60, 100)], retryAt: 125 },
  { name: "B5: a success before its end is no new beginning", given: { adviceTotalMaxNs: 120 }, calls: [advise(5, 100), succeed(60), advise(90, 100)], retryAt: 125 },
  { name: "the total begins anew with a success after it", given: { adviceTotalMaxNs: 120 }, calls: [advise(5, 100), succeed(105), advise(106, 100)], retryAt: 206 },
  { name: "decorrelated: the first is at most three bases", given: { jitter: "decorrelated", random: () => 0.9999 }, calls: [fail(5)], retryAt: 35 },
  { name: "decorrelated: the next, three times the last", given: { jitter: "decorrelated", random: () => 0.9999 }, calls: [fail(5), fail(6)], retryAt: 96 },
  { name: "decorrelated: never below the base", given: { jitter: "decorrelated", random: () => 0 }, calls: [fail(5), fail(6)], retryAt: 16 },
  { name: "B1: decorrelated ends at the cap", given: { jitter: "decorrelated", random: () => 0.9999 }, calls: [fail(5), fail(6), fail(7)], retryAt: 107 },
  { name: "B1: jitter goes beyond the cap, or all came at once", given: { jitter: "equal", random: () => 0.5 }, calls: [advise(5, NS_MAX)], retryAt: 130 },
  { name: "a success forgets failures", calls: [fail(5), succeed(6)], retryAt: 0 },
  { name: "a success starts the schedule over", calls: [fail(5), fail(6), succeed(7), fail(8)], retryAt: 18 },
  { name: "a success does not clear an advisory", calls: [advise(5, 50), succeed(6)], retryAt: 55 },
  { name: "a success forgets an advisory that ran its time", calls: [advise(5, 50), succeed(55)], retryAt: 0 },
  { name: "life ends a back-off that failures caused", calls: [fail(5), fail(6), live], retryAt: 0 },
  { name: "life does not end one that was advised", calls: [fail(5), advise(6, 50), live], retryAt: 56 },
  { name: "life keeps the step of the schedule", calls: [fail(5), fail(6), live, fail(7)], retryAt: 47 },
  { name: "B3: life between failures of one instant adds no step", calls: [fail(5), live, fail(5)], retryAt: 15 },
  { name: "full jitter draws from the whole delay", given: { jitter: "full", random: () => 0.5 }, calls: [fail(5)], retryAt: 11 },
  { name: "equal jitter keeps half", given: { jitter: "equal", random: () => 0 }, calls: [fail(5)], retryAt: 11 },
  { name: "jitter only lengthens an advisory", given: { jitter: "full", random: () => 0.8 }, calls: [advise(5, 50)], retryAt: 75 },
];

for (const { name, given, calls, retryAt } of rules) {
  test(`backoff: ${name}`, () => {
    const table = new BackoffTable<string>(given === REFERENCE_BACKOFF ? given : { ...options, ...given });
    for (const call of calls) call(table);
    assert.equal(table.retryAt(PEER), retryAt);
    assert.equal(table.shouldRetry(PEER, retryAt), true);
    if (retryAt > 0) assert.equal(table.shouldRetry(PEER, retryAt - 1), false);
  });
}

test("backoff: B4: at the bound the peer goes that may be tried soonest", () => {
  const evicted: string[] = [];
  const table = new BackoffTable<string>({ ...options, maxEntries: 3, onEvict: (peer) => evicted.push(peer) });
  table.recordFailure("late", 90);
  table.recordFailure("early", 10);
  table.recordRemoteAdvisory("advised", 5, 100);
  table.recordFailure("new", 95);
  assert.deepEqual(evicted, ["early"]);
  assert.equal(table.size, 3);
});

test("backoff: options out of range are refused", () => {
  for (const bad of [{ baseNs: NaN }, { maxDelayNs: -1 }, { baseNs: 0.5 }, { jitter: "some" as "none" }, { adviceSpread: 0 }, { adviceTotalMaxNs: -1 }]) {
    assert.throws(() => new BackoffTable(bad), (error: RuntimeError) => error.code === "OPTION_INVALID");
  }
});

const instants = fc.oneof(fc.integer({ min: 1, max: 1000 }), fc.double({ min: 1, max: NS_MAX, noNaN: true }).map(Math.floor));
const calls = fc.array(
  fc.record({ kind: fc.constantFrom("fail", "advise", "succeed", "live"), now: instants, ns: fc.oneof(instants, fc.double()) }),
);

test("backoff: B1, B2, and every state is whole, captured and restored alike", () => {
  const jitters = fc.constantFrom("none", "full", "equal", "decorrelated");
  fc.assert(
    fc.property(calls, jitters, fc.double({ min: 0, max: 0.999, noNaN: true }), (given, jitter, fraction) => {
      const make = () => new BackoffTable<string>({ jitter, random: () => fraction });
      const table = make();
      for (const { kind, now, ns } of given) {
        const before = table.retryAt(PEER);
        if (kind === "fail") table.recordFailure(PEER, now);
        else if (kind === "advise") table.recordRemoteAdvisory(PEER, now, ns);
        else if (kind === "succeed") table.recordSuccess(PEER, now);
        else table.endFailureBackoff(PEER);
        const retryAt = table.retryAt(PEER);
        if (kind === "fail" && retryAt !== before) assert.ok(retryAt <= Math.max(before, Math.min(now + 60e9, NS_MAX)));
        if (kind === "advise") assert.ok(retryAt >= before);
        for (const value of Object.values(table.state(PEER) ?? {})) assert.ok(Number.isInteger(value) && value >= 0 && value <= NS_MAX);
      }
      const copy = make();
      for (const [peer, state] of table) copy.restoreState(peer, JSON.parse(JSON.stringify(state)));
      assert.deepEqual([...copy], [...table]);
    }),
  );
});

test("backoff: a damaged state is refused and changes nothing", () => {
  const good = { attempts: 1, lastAttempt: 1, nextRetry: 2, failedAt: 1, advisedUntil: 0, advisedSince: 0, delayNs: 1 };
  for (const field of Object.keys(good)) {
    for (const bad of [NaN, -1, 0.5, Infinity, "1", null, undefined]) {
      const table = new BackoffTable<string>();
      const damaged = { ...good, [field]: bad } as typeof good;
      assert.throws(() => table.restoreState(PEER, damaged), (error: RuntimeError) => error.code === "SNAPSHOT_INVALID");
      assert.equal(table.size, 0);
    }
  }
});

test("backoff: 10 000 clients given the same advice arrive evenly, and none early", () => {
  const random = Random.fromSeed("advice");
  const buckets = new Array<number>(50).fill(0);
  for (let client = 0; client < 10_000; client++) {
    const table = new BackoffTable<string>({ jitter: "equal", random: () => random.nextFraction() });
    table.recordRemoteAdvisory(PEER, 1, 9_999_999_999e9); // hostile: clamped to 60 s, spread over the 30 s after them
    const late = table.retryAt(PEER) - 1 - 60e9;
    assert.ok(late >= 0 && late < 30e9);
    buckets[Math.floor((late / 30e9) * 50)]!++;
  }
  assert.ok(Math.max(...buckets) / 200 <= 1.5);
});
