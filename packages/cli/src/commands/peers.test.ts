import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openPeers } from "@holdfast/fetch";
import { inspectState } from "@holdfast/fetch/inspect";
import { peers, stateTables } from "./peers.ts";

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
  await assert.rejects(peers(undefined, { state: "f", block: "x" }), { code: "OPTION_INVALID" });
  await assert.rejects(peers(undefined, { state: "/nowhere/peers.db" }), { code: "NOT_FOUND" });
});
