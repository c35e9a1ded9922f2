import assert from "node:assert/strict";
import { test } from "node:test";
import { AdaptiveTimeout } from "./adaptive-timeout.ts";
import { Linux } from "./linux.ts";
import { QuicPto } from "./quic.ts";
import { Rfc6298 } from "./rfc6298.ts";
import type { Answer, Rule } from "./rule.ts";
import { Holdfast } from "./holdfast.ts";

const MS = 1e6;

let now = 0;

/** Answers, one a second. */
function feed(rule: Rule, tripsMs: readonly number[], given: Partial<Answer> = {}): Rule {
  tripsMs.forEach((ms) => rule.answered({ now: (now += 1000 * MS), site: 0, tripNs: ms * MS, isRetried: false, isLate: false, givenUpNs: [], ...given }));
  return rule;
}

const deadlineMs = (rule: Rule, site = 0): number => Math.round(rule.deadlineNs(site, 0, 0, 0) / MS);

test("RFC 6298: 1 s at first and at least, mean + 4 × deviation, doubled until a clean sample", () => {
  const rule: Rule = new Rfc6298();
  assert.equal(deadlineMs(rule), 1000);
  assert.equal(deadlineMs(feed(rule, [100])), 1000);
  assert.equal(deadlineMs(feed(new Rfc6298(), [800])), 800 + 4 * 400);
  assert.equal(deadlineMs(feed(new Rfc6298(), [800, 1600])), 900 + 4 * 500);
  rule.timedOut(0, now, 0);
  feed(rule, [100], { isRetried: true });
  assert.equal(deadlineMs(rule), 2000, "Karn");
  assert.equal(deadlineMs(feed(rule, [100])), 1000);
  assert.equal(deadlineMs(rule, 1), 1000, "another site");
});

test("Linux: 200 ms above the mean at least; the deviation rises at once and falls slowly", () => {
  assert.equal(deadlineMs(feed(new Linux(), [20])), 220);
  const rule = feed(new Linux(), [...Array(50).fill(20), 500]);
  const risen = deadlineMs(rule);
  assert.ok(risen > 500);
  assert.ok(deadlineMs(feed(rule, [20])) > 0.7 * risen);
  assert.ok(deadlineMs(feed(rule, Array(60).fill(20))) < 225);
  rule.timedOut(0, now, 0);
  assert.ok(deadlineMs(rule) > 430);
});

test("QUIC: 333 ms at first makes 1024; then mean + 4 × variance + 25 ms, doubled until anything is acknowledged", () => {
  const rule: Rule = new QuicPto();
  assert.equal(deadlineMs(rule), 333 + 666 + 25);
  assert.equal(deadlineMs(feed(rule, [40])), 40 + 80 + 25);
  rule.timedOut(0, now, 0);
  rule.timedOut(0, now, 0);
  assert.equal(deadlineMs(rule), 4 * 145);
  feed(rule, [40], { isRetried: true });
  assert.equal(deadlineMs(rule), 40 + 60 + 25);
});

test("js-libp2p: 5 s at least, 60 s at most, one average for all, failures count twice", () => {
  const rule: Rule = new AdaptiveTimeout();
  assert.equal(deadlineMs(feed(rule, [100])), 5000);
  for (let n = 0; n < 40; n++) rule.timedOut(0, (now += 5000 * MS), now - 5000 * MS);
  assert.equal(deadlineMs(rule, 1), 12_000);
});

test("ours: what a restart keeps", () => {
  const rule = feed(new Holdfast(), Array(300).fill(50));
  const before = rule.deadlineNs(0, now, 0, 0);
  rule.restarted?.(60_000 * MS);
  const after = rule.deadlineNs(0, now, 0, 0);
  assert.ok(after > before && after < 3 * before);
  assert.ok(rule.deadlineNs(0, now, 1, after) >= 2 * after);
});
