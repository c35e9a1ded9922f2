import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NS_MAX } from "../../base/time.ts";
import { parseHttpDate, parsePushbackMs, parseRetryAfter } from "./advice.ts";

const WALL = Date.UTC(2026, 0, 1);
const wait = (ns: number) => ({ kind: "wait", ns });
const cases = [
  { text: "120", expected: wait(120e9) },
  { text: " 0 ", expected: wait(0) },
  { text: "1.5", expected: wait(1.5e9) },
  { text: "-1", expected: { kind: "never" } },
  { text: "9999999999", expected: wait(9_999_999_999e9) },
  { text: "9".repeat(60), expected: wait(NS_MAX) },
  { text: "Thu, 01 Jan 2026 00:01:00 GMT", expected: wait(60e9) },
  { text: "Thursday, 01-Jan-26 00:01:00 GMT", expected: wait(60e9) },
  { text: "Thu Jan  1 00:01:00 2026", expected: wait(60e9) },
  { text: "Sun, 06 Nov 1994 08:49:37 GMT", expected: wait(0) },
  { text: "Thu, 01 Foo 2026 00:01:00 GMT", expected: undefined },
  { text: "Thu, 01 Jan 2026 25:01:00 GMT", expected: undefined },
  { text: "soon", expected: undefined },
  { text: "", expected: undefined },
  { text: "1e9", expected: undefined },
  { text: "NaN", expected: undefined },
] as const;

for (const { text, expected } of cases) {
  test(`advice: Retry-After ${JSON.stringify(text.slice(0, 40))}`, () => assert.deepEqual(parseRetryAfter(text, WALL), expected));
}

test("advice: a push-back is in ms, and negative means never", () => {
  assert.deepEqual(["250", "-1", "x"].map(parsePushbackMs), [wait(250e6), { kind: "never" }, undefined]);
});

test("advice: any HTTP date is read as the calendar has it", () => {
  fc.assert(fc.property(fc.integer({ min: -62e9, max: 250e9 }), (seconds) => {
    const text = new Date(seconds * 1000).toUTCString();
    assert.equal(parseHttpDate(text, WALL), seconds * 1000);
  }));
});

test("advice: whatever is sent, a wait is a quantity", () => {
  fc.assert(fc.property(fc.string(), fc.oneof(fc.nat().map(String), fc.double().map(String), fc.string()), (a, b) => {
    for (const text of [a, b, a + b]) {
      for (const advice of [parseRetryAfter(text, WALL), parsePushbackMs(text)]) {
        if (advice?.kind === "wait") assert.ok(Number.isInteger(advice.ns) && advice.ns >= 0 && advice.ns <= NS_MAX);
      }
    }
  }));
});
