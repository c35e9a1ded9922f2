import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openPeers } from "@holdfast/fetch";
import { inspectState } from "@holdfast/fetch/inspect";
import { VirtualClock } from "@holdfast/fetch/testing";
import { peers } from "./peers.ts";
import { statePeers, statePeerText, stateTables } from "./state-peers.ts";

test("peers --state: shows each peer of the file, and what stands in its way", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "holdfast-peers-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, "peers.db");
  const known = openPeers({ state: file });
  await known.run("https://api.example.com", () => 1, { site: "GET /v1/items" });
  known.block("https://bad.example");
  known.close();
  const text = stateTables(inspectState(file));
  assert.match(text, /https:\/\/bad\.example\s+│ blocked/);
  assert.match(text, /https:\/\/api\.example\.com\s+│ GET \/v1\/items/);
});

test("peers: a node or a state file, and nothing beside a state file", async () => {
  await assert.rejects(peers(undefined, {}), { code: "OPTION_INVALID" });
  await assert.rejects(peers("node", { state: "f" }), { code: "OPTION_INVALID" });
  await assert.rejects(peers(undefined, { state: "f", policy: true }), { code: "OPTION_INVALID" });
  await assert.rejects(peers(undefined, { state: "f", allowAll: true }), { code: "OPTION_INVALID" });
  await assert.rejects(peers(undefined, { state: "/nowhere/peers.db" }), { code: "NOT_FOUND" });
});

test("peers --state --block: reaches a process that uses the file, and is taken back", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "holdfast-peers-"));
  t.after(() => rmSync(directory, { recursive: true }));
  t.mock.method(console, "log", () => {});
  const state = join(directory, "peers.db");
  const clock = new VirtualClock({ wallMs: Date.now() });
  const running = openPeers({ state, clock });
  t.after(() => running.close());
  await running.run("https://api.example.com", () => 1);
  await clock.advance(1000);

  await statePeers(state, { state, block: "https://api.", for: 600_000, reason: "a bill" });
  assert.match(statePeerText(inspectState(state)[0]!), /^https:\/\/api\.example\.com\nblocked: /);
  await clock.advance(1001);
  assert.equal(running.explain("https://api.example.com").state, "blocked");

  await statePeers(state, { state, unblock: "https://api.example.com/v1/items" });
  await clock.advance(1001);
  assert.equal(running.explain("https://api.example.com").state, "open");
  await assert.rejects(statePeers(state, { state, unblock: "https://api.example.com" }), { code: "NOT_FOUND" });
  await assert.rejects(statePeers(state, { state, explain: "https://other.example" }), { code: "PEER_UNKNOWN" });
});

test("peers --state --block: a file that holds no peers is left as it is", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "holdfast-peers-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const state = join(directory, "notes.json");
  writeFileSync(state, '{"my": "notes"}');
  await assert.rejects(statePeers(state, { state, block: "https://api.example.com" }), { code: "SNAPSHOT_INVALID" });
  assert.equal(readFileSync(state, "utf8"), '{"my": "notes"}');
});
