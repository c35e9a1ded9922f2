import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Metadata, status as Status } from "@grpc/grpc-js";
import { OUTCOME_KINDS } from "../testing/outcome-kinds.ts";
import { judgeStatus } from "./status.ts";

function said(code: Status, details: string, fields: Readonly<Record<string, string>> = {}) {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(fields)) metadata.set(name, value);
  return { code, details, metadata };
}

test("statuses that the library makes itself are told by their texts", () => {
  const cases: readonly (readonly [Status, string, string])[] = [
    [Status.UNAVAILABLE, "No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:1. Resolution note: ", "refused"],
    [Status.UNAVAILABLE, "No connection established. Last error: Failed to connect", "refused"],
    [Status.UNAVAILABLE, "No connection established. Last error: Error: unable to verify the first certificate", "tls"],
    [Status.UNAVAILABLE, "No connection established. Last error: Error: connect EMFILE 127.0.0.1:1", "local"],
    [Status.UNAVAILABLE, "Name resolution failed for target dns:nowhere.invalid:1", "dns"],
    [Status.UNAVAILABLE, "Connection dropped", "reset"],
    [Status.UNAVAILABLE, "read ECONNRESET", "reset"],
    [Status.UNAVAILABLE, "Channel closed before call started", "local"],
    [Status.UNAUTHENTICATED, "Getting metadata from plugin failed with error: no token", "local"],
    [Status.CANCELLED, "Cancelled by parent call", "local"],
    [Status.CANCELLED, "Call cancelled", "reset"],
    [Status.DEADLINE_EXCEEDED, "Deadline exceeded after 0.1s", "cancelled"],
    [Status.RESOURCE_EXHAUSTED, "Attempted to send message with a size larger than 10", "works"],
    [Status.RESOURCE_EXHAUSTED, "Received message larger than max (20 vs 10)", "works"],
    [Status.RESOURCE_EXHAUSTED, "Bandwidth exhausted or memory limit exceeded", "overload"],
    [Status.INTERNAL, "Received RST_STREAM with code 2 (Internal server error)", "server-error"],
    [99 as Status, "no such status", "server-error"],
  ];
  for (const [code, details, kind] of cases) assert.equal(judgeStatus(said(code, details)).kind, kind, details);
});

test("a peer that says what the library would say is not excused for it", () => {
  const fields = { "content-type": "application/grpc" };
  assert.equal(judgeStatus(said(Status.UNAVAILABLE, "Channel closed before call started", fields)).kind, "server-error");
  assert.equal(judgeStatus(said(Status.DEADLINE_EXCEEDED, "Deadline exceeded", fields)).kind, "server-error");
});

test("a pushback is read as the proposal has it, and of UNAVAILABLE makes overload", () => {
  const pushedBack = (text: string) => judgeStatus(said(Status.UNAVAILABLE, "", { "grpc-retry-pushback-ms": text }));
  assert.deepEqual(pushedBack("250"), { kind: "overload", status: Status.UNAVAILABLE, retryAfterMs: 250 });
  for (const text of ["-1", "-0.5", "1e3", "soon", "0x10"]) assert.equal(pushedBack(text).retryAfterMs, "never", text);
  assert.equal(judgeStatus(said(Status.NOT_FOUND, "", { "grpc-retry-pushback-ms": "10" })).kind, "works");
});

test("whatever a peer says is judged, and a pushback is a time or never", () => {
  const printable = fc.string({ unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)) });
  fc.assert(fc.property(fc.integer({ min: 1, max: 40 }), fc.string(), fc.option(printable), (code, details, pushback) => {
    const { kind, retryAfterMs } = judgeStatus(said(code, details, pushback === null ? {} : { "grpc-retry-pushback-ms": pushback }));
    assert.ok(OUTCOME_KINDS.includes(kind));
    assert.equal(retryAfterMs === undefined, pushback === null);
    assert.ok(retryAfterMs === undefined || retryAfterMs === "never" || (Number.isFinite(retryAfterMs) && retryAfterMs >= 0));
  }));
});
