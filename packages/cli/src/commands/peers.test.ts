import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
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

test("peers --state: a name is text, whatever it would do to a terminal", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "holdfast-peers-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, "peers.db");
  const known = openPeers({ state: file });
  await known.run("red\u001b[31m\n└ another row", () => 1, { site: "up\u001b[A" });
  known.block("red\u001b[31m\n└ another row", { reason: "title\u001b]0;x\u0007" });
  known.close();
  const shown = inspectState(file);
  // oxlint-disable-next-line no-control-regex
  for (const text of [stateTables(shown), statePeerText(shown[0]!)]) assert.doesNotMatch(text.replaceAll("\n", ""), /[\u0000-\u001f]/);
  assert.match(stateTables(shown), /red\\u\{1b\}\[31m\\u\{a\}└ another row/);
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

  await statePeers(state, { state, block: "https://api.example.com/", for: 600_000, reason: "a bill" });
  assert.match(statePeerText(inspectState(state)[0]!), /^https:\/\/api\.example\.com\nblocked: /);
  await clock.advance(1001);
  assert.equal(running.explain("https://api.example.com").state, "blocked");
  await statePeers(state, { state, explain: "https://api." });
  await statePeers(state, { state, block: "https://api.example" });
  assert.deepEqual(inspectState(state).map(({ peer }) => peer), ["https://api.example", "https://api.example.com"], "what begins so is another peer");

  await statePeers(state, { state, unblock: "https://api.example.com/v1/items" });
  await clock.advance(1001);
  assert.equal(running.explain("https://api.example.com").state, "open");
  await assert.rejects(statePeers(state, { state, unblock: "https://api.example.com" }), { code: "NOT_FOUND" });
  await assert.rejects(statePeers(state, { state, explain: "https://other.example" }), { code: "PEER_UNKNOWN" });
});

test("peers --state --block: says so if nothing could be written", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "holdfast-peers-"));
  t.after(() => rmSync(directory, { recursive: true }));
  t.mock.method(console, "log", () => {});
  const state = join(directory, "peers.json");
  const known = openPeers({ state });
  await known.run("a", () => 1);
  known.block("b");
  known.close();
  writeFileSync(`${state}.lock`, "");
  for (const change of [{ block: "a" }, { block: "c" }, { unblock: "b" }]) await assert.rejects(statePeers(state, { state, ...change }), { code: "STORE_BUSY" });
  rmSync(`${state}.lock`);
  await statePeers(state, { state, block: "a" });
});

test("peers --state --block: a file that holds no peers is left as it is", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "holdfast-peers-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const state = join(directory, "notes.json");
  writeFileSync(state, '{"my": "notes"}');
  await assert.rejects(statePeers(state, { state, block: "https://api.example.com" }), { code: "SNAPSHOT_INVALID" });
  assert.equal(readFileSync(state, "utf8"), '{"my": "notes"}');
  const others = join(directory, "others.db");
  const database = new DatabaseSync(others);
  database.exec("CREATE TABLE peers (key TEXT, text TEXT)");
  database.close();
  const newer = join(directory, "newer.json");
  writeFileSync(newer, '{"holdfast":"peers","version":2,"peers":{}}');
  for (const file of [others, newer]) {
    const before = readFileSync(file);
    await assert.rejects(statePeers(file, { state: file, block: "https://api.example.com" }), { code: "SNAPSHOT_INVALID" });
    assert.deepEqual(readFileSync(file), before);
  }
});

test("peers --state --block: takes nothing out of a file of a program that holds more than others", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "holdfast-peers-"));
  t.after(() => rmSync(directory, { recursive: true }));
  t.mock.method(console, "log", () => {});
  const state = join(directory, "peers.db");
  const clock = new VirtualClock({ wallMs: Date.now() });
  const large = openPeers({ state, clock, peersMax: 20_000, sitesMax: 100, cooldownBaseMs: 600_000, cooldownMaxMs: 600_000 });
  for (let site = 0; site < 90; site++) await large.run("a", () => 1, { site: `site ${site}` });
  for (let peer = 0; peer < 10_100; peer++) large.acquire(`peer ${peer}`).success(1);
  for (let failure = 0; failure < 5; failure++) large.acquire("a").failure();
  large.close();
  await statePeers(state, { state, block: "a" });
  await statePeers(state, { state, unblock: "a" });
  const known = inspectState(state);
  assert.equal(known.length, 10_101);
  const one = known.find(({ peer }) => peer === "a");
  assert.ok((one?.cooldownMs ?? 0) > 200_000, `${one?.cooldownMs}`);
  assert.equal(one?.sites.length, 90);
});
