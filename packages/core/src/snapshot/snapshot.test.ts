import assert from "node:assert/strict";
import { test } from "node:test";
import { sha256 } from "../base/sha256.ts";
import { encodeValue } from "../base/value-codec.ts";
import { captureRows } from "../engine/capture.ts";
import { EngineState } from "../engine/engine-state.ts";
import { restoreRows } from "../engine/restore.ts";
import type { Encoded } from "../engine/rows.ts";
import { busyWorld } from "../engine/testing/busy-world.ts";
import type { TestNode } from "../engine/testing/pair.ts";
import type { Lineage } from "../base/ids.ts";
import { describeSnapshot } from "./describe-snapshot.ts";
import { withNewLineage } from "./new-lineage.ts";
import { decodeSnapshot, encodeSnapshot, snapshotOrigin } from "./snapshot.ts";
import { readSnapshot, SNAPSHOT_BYTES_MAX, writeSnapshot } from "./snapshot-file.ts";
import { SNAPSHOT_PARTS, type SnapshotEntry, type SnapshotPart } from "./snapshot-parts.ts";

const world = busyWorld();
const ann = world.node("ann");

function restored(node: TestNode, rows: readonly Encoded[]): EngineState {
  const { identity, definitions, options, configuredPolicy: policy, groups } = node.driver.engine.state;
  const state = new EngineState({ identity, definitions, options, policy, groups, seed: "" });
  restoreRows(state, rows);
  return state;
}

function refuses(part: string | RegExp, bytes: Uint8Array, bytesMax = SNAPSHOT_BYTES_MAX): void {
  assert.throws(() => decodeSnapshot(bytes, { bytesMax }), (error: { code?: string; details?: { part?: string } }) => {
    assert.equal(error.code, "SNAPSHOT_INVALID");
    if (typeof part === "string") assert.equal(error.details?.part, part);
    else assert.match(error.details?.part ?? "", part);
    return true;
  });
}

/** The snapshot with the entries of one part replaced, and every hash right. */
function changed(bytes: Uint8Array, part: SnapshotPart, change: (entries: readonly SnapshotEntry[]) => readonly SnapshotEntry[]): Uint8Array {
  const parts = new Map(readSnapshot(bytes, SNAPSHOT_BYTES_MAX));
  parts.set(part, change(parts.get(part) ?? []));
  return writeSnapshot(parts, SNAPSHOT_BYTES_MAX);
}

const entry = (fields: readonly (string | number)[], body = new Uint8Array(0)): SnapshotEntry => ({ fields: encodeValue(fields), body });

test("snapshot: the world it is taken from leaves something in every part that can hold something", () => {
  const parts = readSnapshot(encodeSnapshot(captureRows(ann.driver.engine.state)), SNAPSHOT_BYTES_MAX);
  for (const part of SNAPSHOT_PARTS) {
    assert.equal((parts.get(part)?.length ?? 0) > 0, part !== "ingress" && part !== "lifecycle", part);
  }
});

test("snapshot: N1, decoding restores to the same state, from a capture and from a store's rows", () => {
  for (const node of world.nodes.values()) {
    const live = captureRows(node.driver.engine.state);
    assert.deepEqual(decodeSnapshot(encodeSnapshot(live)), live);
    const stored = [...node.rows];
    const back = decodeSnapshot(encodeSnapshot(stored));
    assert.deepEqual(captureRows(restored(node, back)), captureRows(restored(node, stored)));
  }
});

test("snapshot: it tells whose it is, and of which point in that history", () => {
  const { state } = ann.driver.engine;
  const origin = snapshotOrigin(encodeSnapshot(captureRows(state), { fence: 3, position: 77 }));
  assert.deepEqual(origin, { ...state.identity, now: state.now, fence: 3, position: 77 });
});

const good = encodeSnapshot(captureRows(ann.driver.engine.state));
/** Enough places to fall into every part, few enough to be quick. */
const STRIDE = Math.ceil(good.length / 150);
const VERSION_AT = "holdfast snapshot".length + 3;

test("snapshot: another spec version is refused before anything else, whatever else is wrong", () => {
  const other = good.slice(0, good.length - 9);
  other[VERSION_AT] = 2;
  refuses("spec version", other);
  refuses("spec version", good.slice(0, VERSION_AT));
  refuses("head", new TextEncoder().encode("something else"));
  refuses("head", new Uint8Array(0));
});

test("snapshot: N2, cut off anywhere it names a part; so does every flipped byte", () => {
  for (let length = 0; length < good.length; length += STRIDE) refuses(/./, good.slice(0, length));
  refuses("clock", good.slice(0, good.length - 1));
  refuses("end", Uint8Array.from([...good, 0]));
  for (let at = 0; at < good.length; at += STRIDE) {
    const flipped = good.slice();
    flipped[at] = (flipped[at] as number) ^ 0x10;
    refuses(/./, flipped);
  }
});

test("snapshot: an oversized one names the part, when it is written and when it is read", () => {
  assert.throws(() => encodeSnapshot(captureRows(ann.driver.engine.state), undefined, { bytesMax: 1000 }), { code: "SNAPSHOT_INVALID" });
  refuses(/^[a-z ]+$/, good, good.length - 1);
  refuses("clock", good, good.length - 1);
});

/** The snapshot with another head, rightly summed. */
function withHead(change: (lines: [string, number, Uint8Array][]) => unknown[]): Uint8Array {
  const parts = readSnapshot(good, SNAPSHOT_BYTES_MAX);
  const lines = SNAPSHOT_PARTS.map((part): [string, number, Uint8Array] => {
    const entries = parts.get(part) ?? [];
    const length = entries.reduce((sum, { fields, body }) => sum + 8 + fields.length + body.length, 0);
    return [part, length, new Uint8Array(32)];
  });
  const head = encodeValue([change(lines) as never]);
  const prefix = Uint8Array.from([...good.subarray(0, VERSION_AT + 1), 0, 0, head.length >> 8, head.length & 255, ...head]);
  return Uint8Array.from([...prefix, ...sha256(prefix)]);
}

test("snapshot: N2, a missing or unknown part is named", () => {
  for (const part of SNAPSHOT_PARTS) refuses(part, withHead((lines) => lines.filter(([name]) => name !== part)));
  refuses("telepathy", withHead((lines) => [...lines, ["telepathy", 0, new Uint8Array(32)]]));
  refuses("frontier", withHead((lines) => [lines[0], ...lines]).slice());
});

const contradictions: readonly [part: string, why: string, bytes: () => Uint8Array][] = [
  ["timers", "one too few", () => changed(good, "timers", (entries) => entries.slice(1))],
  ["timers", "one too many", () => changed(good, "timers", (entries) => [...entries, entry([9e18, "command-due", "command/1"])])],
  ["timers", "another due time", () => changed(good, "timers", ([, ...rest]) => [entry([1, "command-due", "command/1"]), ...rest])],
  ["ingress", "an entry nobody knows", () => changed(good, "ingress", () => [entry(["envelope"])])],
  ["lifecycle", "an entry nobody knows", () => changed(good, "lifecycle", () => [entry(["started"])])],
  ["identity", "none", () => changed(good, "identity", () => [])],
  ["clock", "twice", () => changed(good, "clock", (entries) => [...entries, ...entries])],
  ["slots", "one missing", () => changed(good, "slots", (entries) => entries.slice(1))],
  ["slots", "of no execution", () => changed(good, "slots", (entries) => [...entries, entry(["nobody", "0", "never"])])],
  ["slots", "one twice", () => changed(good, "slots", ([first, ...rest]) => [first as SnapshotEntry, first as SnapshotEntry, ...rest])],
  ["cells", "one twice", () => changed(good, "cells", (entries) => [...entries, entries[0] as SnapshotEntry])],
  ["cells", "no value", () => changed(good, "cells", () => [entry(["sums", "a"])])],
  ["policy and health", "of nobody in the book", () => changed(good, "policy and health", (entries) => [...entries, entry(["peer", "nobody", "live", 0])])],
  ["address book", "one twice", () => changed(good, "address book", (entries) => [...entries, entries[0] as SnapshotEntry])],
  ["commands", "no number", () => changed(good, "commands", () => [entry(["x"])])],
  ["round trips", "unknown kind", () => changed(good, "round trips", () => [entry(["x"])])],
];
for (const [part, why, bytes] of contradictions) test(`snapshot: N2, ${part}: ${why}`, () => refuses(part, bytes()));

test("snapshot: described, every part is there by name and long values are only counted", () => {
  const described = describeSnapshot(good) as { readonly [part: string]: unknown };
  assert.deepEqual(Object.keys(described), ["spec version", ...SNAPSHOT_PARTS]);
  const text = JSON.stringify(described);
  assert.match(text, /"operations":\["/);
  assert.match(text, /more characters/);
  assert.equal((described["identity"] as { peer: string }[])[0]?.peer, ann.id);
});

test("new lineage: what peers asked goes, calls that may have run end as unknown, the rest goes on", () => {
  const lineage = "f".repeat(32) as Lineage;
  const fresh = busyWorld();
  for (const name of ["ann", "bob"]) {
    const node = fresh.node(name);
    node.kill();
    const before = [...node.rows];
    const rows = withNewLineage(before, lineage);
    assert.equal(rows.some(([key]) => key.startsWith("session/") || key.startsWith("outbox/")), false);
    node.rows.clear();
    for (const [key, bytes] of rows) node.rows.set(key, bytes);
    node.hostStarts = [];
    node.start();
    for (const execution of node.driver.engine.state.executions.values()) assert.notEqual(execution.origin.kind, "peer");
  }
  fresh.cutOff.clear();
  for (const node of fresh.nodes.values()) node.holdHost = false;
  for (const node of fresh.nodes.values()) for (const effect of node.hostStarts.splice(0)) node.finishHost(effect);
  fresh.run(120_000);
  const outcome = fresh.node("ann").outcomes.get("asked" as never);
  assert.equal(outcome?.ok === false && outcome.failure.code, "OUTCOME_UNKNOWN");
  assert.equal(fresh.node("ann").driver.engine.state.commands.size, 0);
  assert.equal(fresh.node("bob").driver.engine.state.executions.size, 0);
});
