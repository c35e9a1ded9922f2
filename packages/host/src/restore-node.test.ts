import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { any, decodeSnapshot, flow, type Lineage, parsePeerId, type PeerId, snapshotOrigin } from "@holdfast/core";
import { createNode } from "./node.ts";
import type { Node } from "./node-api.ts";
import { readSnapshot, restoreNode } from "./restore-node.ts";
import { readSqliteStore } from "./stores/sqlite-store.ts";

const root = mkdtempSync(join(tmpdir(), "holdfast-restore-"));
after(() => rmSync(root, { recursive: true, force: true }));
let next = 0;
const fresh = (): string => join(root, String(next++));

const patient = flow("patient", { input: { text: any<string>() }, output: { text: any<string>(), end: any<string>() }, deadlineMs: "never" },
  (b, { text }) => ({ text, end: b.wait("end", any<string>()) }));

const start = (dataDir: string): Promise<Node> => createNode({ name: "ann", flows: [patient], dataDir });

/** Runs a node while `use` does something with it. */
async function running<T>(directory: string, use: (node: Node) => Promise<T>): Promise<T> {
  const node = await start(directory);
  try {
    return await use(node);
  } finally {
    await node.close();
  }
}

const begin = (id: string) => async (node: Node): Promise<void> => {
  await node.start(patient, { text: "x".repeat(100_000) }, { id });
  await node.durable();
};

const finish = (id: string) => async (node: Node): Promise<unknown> => {
  await node.signal(id, "end", "done");
  return (await node.result(id))["end"];
};

const backups = (directory: string): string[] => readdirSync(directory).filter((name) => name.startsWith("store.backup-"));
const lineageOf = (directory: string): string => snapshotOrigin(readSnapshot(directory)).lineage;

test("restore: a stopped node's snapshot restores it in an empty directory with its key, and it goes on", async () => {
  const directory = fresh();
  await running(directory, begin("one"));
  const snapshot = readSnapshot(directory);
  rmSync(join(directory, "store"), { recursive: true });
  const restored = await restoreNode(directory, { snapshot, newLineage: false });
  assert.equal(restored.backup, null);
  assert.deepEqual(decodeSnapshot(readSnapshot(directory)), decodeSnapshot(snapshot));
  assert.equal(await running(directory, finish("one")), "done");
});

test("restore: the snapshot that the store holds may be restored; the old files are kept, nothing else is left behind", async () => {
  const directory = fresh();
  await running(directory, begin("one"));
  const { position } = readSqliteStore(join(directory, "store"));
  const restored = await restoreNode(directory, { snapshot: readSnapshot(directory), newLineage: false });
  assert.deepEqual(backups(directory), [restored.backup?.slice(directory.length + 1)]);
  assert.equal(readSqliteStore(restored.backup as string).position, position);
  assert.equal(readdirSync(directory).some((name) => name.startsWith("store.draft")), false);
  assert.ok(readSqliteStore(join(directory, "store")).position >= position);
  assert.equal(await running(directory, finish("one")), "done");
});

test("restore: an older snapshot is refused, and taken only with a new lineage", async () => {
  const directory = fresh();
  await running(directory, begin("one"));
  const old = readSnapshot(directory);
  const before = lineageOf(directory);
  await running(directory, begin("two"));
  await assert.rejects(restoreNode(directory, { snapshot: old, newLineage: false }), { code: "OPTION_INVALID", message: /older/ });
  assert.deepEqual(backups(directory), []);
  await restoreNode(directory, { snapshot: old, newLineage: true });
  assert.notEqual(lineageOf(directory), before);
  assert.equal(await running(directory, finish("one")), "done");
  await running(directory, async (node) => assert.rejects(node.result("two"), { code: "NOT_FOUND" }));
  await assert.rejects(restoreNode(directory, { snapshot: old, newLineage: false }), { code: "OPTION_INVALID", message: /another lineage/ });
});

test("restore: a running node, another node's snapshot, a lost key and a damaged snapshot change nothing", async () => {
  const directory = fresh();
  const other = fresh();
  await running(other, begin("one"));
  const foreign = readSnapshot(other);
  await running(directory, async () => {
    await assert.rejects(restoreNode(directory, { snapshot: foreign, newLineage: true }), { code: "STORE_BUSY" });
    await assert.rejects(restoreNode(directory, { newLineage: true }), { code: "STORE_BUSY" });
    assert.throws(() => readSnapshot(directory), { code: "STORE_BUSY" });
  });
  const files = readdirSync(directory);
  await assert.rejects(restoreNode(directory, { snapshot: foreign, newLineage: true }), { code: "STORE_FOREIGN" });
  await assert.rejects(restoreNode(directory, { snapshot: foreign.slice(0, -1), newLineage: true }), { code: "SNAPSHOT_INVALID" });
  await assert.rejects(restoreNode(directory, { newLineage: false }), { code: "OPTION_INVALID" });
  rmSync(join(other, "identity.key.pem"));
  await assert.rejects(restoreNode(other, { snapshot: foreign, newLineage: true }), { code: "IDENTITY_INVALID" });
  assert.deepEqual(readdirSync(directory), files);
});

test("restore: a new lineage alone keeps what the store holds", async () => {
  const directory = fresh();
  await running(directory, begin("one"));
  const before = snapshotOrigin(readSnapshot(directory));
  const restored = await restoreNode(directory, { newLineage: true });
  const origin = snapshotOrigin(readSnapshot(directory));
  assert.equal(origin.peer, before.peer);
  assert.notEqual(origin.lineage, before.lineage);
  assert.equal(restored.lineage, origin.lineage as Lineage);
  assert.equal(restored.peer, parsePeerId(before.peer) as PeerId);
  assert.equal(await running(directory, finish("one")), "done");
});

test("restore: a store that cannot be read is given up by a new lineage only; its files are kept", async () => {
  const directory = fresh();
  await running(directory, begin("one"));
  const snapshot = readSnapshot(directory);
  const file = join(directory, "store", "state.db");
  const damage = (): void => {
    const bytes = readFileSync(file);
    writeFileSync(file, bytes.fill(0x55, bytes.length / 2));
  };
  damage();
  await assert.rejects(start(directory), { code: "STORE_DAMAGED" });
  await assert.rejects(restoreNode(directory, { snapshot, newLineage: false }), { code: "STORE_DAMAGED" });
  const bytes = readFileSync(file);
  const empty = await restoreNode(directory, { newLineage: true });
  assert.equal(empty.rows, 0);
  assert.deepEqual(readFileSync(join(empty.backup as string, "state.db")), bytes);
  await running(directory, async (node) => assert.rejects(node.result("one"), { code: "NOT_FOUND" }));

  damage();
  await restoreNode(directory, { snapshot, newLineage: true });
  assert.equal(await running(directory, finish("one")), "done");
  assert.equal(backups(directory).length, 2);
});
