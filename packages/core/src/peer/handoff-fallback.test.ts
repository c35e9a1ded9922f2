import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { RuntimeError } from "../base/errors.ts";
import { HandoffFallbackPolicy } from "./handoff-fallback.ts";

const willing = { clientSupportsHandoff: true, servicePolicyEnabled: true, fdPressureDisabled: false, backendAdoptedExisting: false };
const options = { maxFailedAttemptsPerWindow: 2, failedAttemptWindowNs: 100 };

/** Each case keeps all later reasons true as well: the order decides. */
const order = [
  ["client-unsupported", { clientSupportsHandoff: false, servicePolicyEnabled: false, fdPressureDisabled: true, backendAdoptedExisting: true }],
  ["service-policy-disabled", { servicePolicyEnabled: false, fdPressureDisabled: true, backendAdoptedExisting: true }],
  ["fd-pressure-disabled", { fdPressureDisabled: true, backendAdoptedExisting: true }],
  ["adopted-backend", { backendAdoptedExisting: true }],
] as const;

for (const [reason, inputs] of order) {
  test(`handoff: H1: ${reason} comes before all that follows, and leaves the window`, () => {
    const policy = new HandoffFallbackPolicy(options);
    for (const now of [1, 2]) policy.recordFailedAttempt("echo", "permission-denied", now);
    const decision = policy.shouldAttempt("echo", { ...willing, ...inputs }, 500);
    assert.deepEqual(decision, { attempt: false, reason, retryAfterNs: null });
    assert.deepEqual(policy.window("echo"), { startedAt: 1, count: 2 });
  });
}

test("handoff: H2: the limit ends attempts until the window is over", () => {
  const policy = new HandoffFallbackPolicy(options);
  for (const now of [1, 2, 3]) policy.recordFailedAttempt("echo", "backend-ack-timeout", now);
  const refused = { attempt: false, reason: "failed-attempt-rate-limited", retryAfterNs: 1 };
  assert.deepEqual(policy.shouldAttempt("echo", willing, 100), refused);
  assert.equal(policy.failedAttemptCount("echo", 100), 2);
  assert.deepEqual(policy.shouldAttempt("echo", willing, 101), { attempt: true });
});

test("handoff: H3: at the bound the oldest windows go", () => {
  const policy = new HandoffFallbackPolicy({ ...options, maxEntries: 2 });
  for (const [at, backend] of ["b", "a", "c"].entries()) policy.recordFailedAttempt(backend, "permission-denied", at);
  assert.deepEqual([...policy].map(([backend]) => backend), ["a", "c"]);
});

test("handoff: windows survive capture and restore; damaged ones are refused", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.string(), fc.nat())), (failures) => {
      const policy = new HandoffFallbackPolicy(options);
      for (const [backend, now] of failures) policy.recordFailedAttempt(backend, "integrity-mismatch", now);
      const copy = new HandoffFallbackPolicy(options);
      for (const [backend, window] of policy) copy.restoreWindow(backend, window);
      assert.deepEqual([...copy], [...policy]);
    }),
  );
  for (const bad of [{ startedAt: NaN, count: 1 }, { startedAt: 1, count: -1 }, null]) {
    const restore = () => new HandoffFallbackPolicy().restoreWindow("echo", bad as never);
    assert.throws(restore, (error: RuntimeError) => error.code === "SNAPSHOT_INVALID");
  }
});
