import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { any, type AnyFlow, type BusEvent, flow, pure } from "@holdfast/core";
import { openIdentity } from "./identity/identity.ts";
import { openLog } from "./log.ts";
import { createNode } from "./node.ts";
import type { NodeOptions } from "./node-api.ts";
import { MemoryDisk, memoryStore } from "./stores/memory-store.ts";

const root = mkdtempSync(join(tmpdir(), "holdfast-overtaken-"));
after(() => rmSync(root, { recursive: true, force: true }));

const countUp = pure("count-up", { version: 1 }, (cell: number | null) => (cell ?? 0) + 1);
const counted = flow("counted", { input: { key: any<string>() }, output: { n: any<number>() }, deadlineMs: 5000 }, (b, { key }) => ({ n: b.update("counts", key, countUp) }));
const ask = flow("ask", { input: { key: any<string>() }, output: { n: any<number>() }, deadlineMs: 30_000 }, (b, { key }) => ({ n: b.call(counted, b.peer("bob"), { key }).n }));
const flows = [counted, ask] as unknown as AnyFlow[];

test("overtaken: a node whose store another process has claimed ends once the peer knows the other, and the peer reaches that one", { timeout: 30_000 }, async () => {
  const directory = (name: string): string => join(root, name);
  const given = (name: string): NodeOptions => ({ name, dataDir: directory(name), flows, log: openLog({ level: "silent", name }) });
  const disk = new MemoryDisk();
  const annId = openIdentity(directory("ann")).peerId;

  const old = await createNode(given("bob"), { store: memoryStore(disk) });
  await using ann = await createNode({ ...given("ann"), peers: { bob: { id: old.id, addresses: old.status().addresses } } }, { store: memoryStore() });
  const events: BusEvent[] = [];
  ann.onEvent((event) => void events.push(event));
  assert.deepEqual(await ann.run("ask", { key: "k" }), { n: 1 });

  disk.release(); // as a store does whose lock is no lock of the process
  const ended = old.failed.then(() => "no error", (error: { code?: string }) => error.code);
  await using bob = await createNode({ ...given("bob"), peers: { ann: { id: annId, addresses: ann.status().addresses } } }, { store: memoryStore(disk) });
  assert.equal(bob.id, old.id);
  assert.equal(await ended, "STORE_FENCED", "though it had nothing to commit");
  assert.deepEqual(await ann.run("ask", { key: "k" }), { n: 2 });
  assert.deepEqual(events.filter(({ event }) => event === "history-lost" || event === "lineage-changed"), []);
});
