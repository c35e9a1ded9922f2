import assert from "node:assert/strict";
import { fork, spawnSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { openSqliteStore, readSqliteStore } from "./sqlite-store.ts";
import { storeConformance } from "./testing/store-conformance.ts";

const root = mkdtempSync(join(tmpdir(), "holdfast-store-"));
after(() => rmSync(root, { recursive: true, force: true }));
let next = 0;
const fresh = () => join(root, String(next++));
const child = join(import.meta.dirname, "testing", "committing-child.ts");

storeConformance("sqlite store", async () => {
  const directory = fresh();
  return { open: () => openSqliteStore(directory), remove: async () => rmSync(directory, { recursive: true, force: true }) };
});

test("sqlite store: its files are nobody else's", async () => {
  const directory = join(fresh(), "nested");
  const store = await openSqliteStore(directory);
  after(() => store.close());
  await store.claim("ann");
  await store.commit({ position: 1, puts: [["a", Buffer.from("1")]], deletes: [] });
  assert.equal(statSync(directory).mode & 0o777, 0o700);
  const names = readdirSync(directory);
  assert.deepEqual(names.toSorted(), ["owner.lock", "state.db", "state.db-wal"]);
  for (const name of names) assert.equal(statSync(join(directory, name)).mode & 0o777, 0o600, name);
  await store.close();
});

test("sqlite store: T1, kill -9 in the middle of commits loses nothing acknowledged, and frees the store at once", { timeout: 30_000 }, async () => {
  const directory = fresh();
  let committed = 0;
  for (let round = 0; round < 4; round++) {
    const process_ = fork(child, [directory], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    const enough = 40 + round * 37;
    let acknowledged = 0;
    await new Promise<void>((resolve) => {
      process_.on("message", (position: number) => {
        acknowledged = position;
        if (position - committed >= enough) process_.kill("SIGKILL");
      });
      process_.once("close", () => resolve());
    });
    const { position, rows } = readSqliteStore(directory);
    assert.ok(position >= acknowledged && acknowledged > committed, `round ${round}: ${position} of ${acknowledged}`);
    // Each commit writes its position into all of its rows: one that were applied in part would show here.
    assert.deepEqual(new Set(rows.map(([, bytes]) => Buffer.from(bytes).readDoubleBE(0))), new Set([position]));
    assert.equal(rows.length, 11);
    committed = position;
  }
});

test("sqlite store: another process's store is busy, without waiting, also for a reader", { timeout: 10_000 }, async () => {
  const directory = fresh();
  const process_ = fork(child, [directory], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  await new Promise((resolve) => process_.once("message", resolve));
  const store = await openSqliteStore(directory);
  const before = performance.now();
  await assert.rejects(store.claim("ann"), { code: "STORE_BUSY" });
  assert.throws(() => readSqliteStore(directory), { code: "STORE_BUSY" });
  assert.ok(performance.now() - before < 1000);
  process_.kill("SIGKILL");
  await new Promise((resolve) => process_.once("close", resolve));
  assert.equal((await store.claim("ann")).fence, 2);
  await store.close();
});

test("sqlite store: a full disk fails the commit and all that follow; what was acknowledged stays", { timeout: 20_000 }, () => {
  const directory = fresh();
  // A limit on the size of files stands in for the full disk: writes beyond it fail, here with EFBIG.
  const { stdout, stderr } = spawnSync("bash", ["-c", `trap "" XFSZ; ulimit -f 2048; exec "$@"`, "-", process.execPath, ...process.execArgv, child, directory, "until-failure"], { encoding: "utf8" });
  const { acknowledged, codes } = JSON.parse(stdout || `"${stderr}"`) as { acknowledged: number; codes: string[] };
  assert.deepEqual(codes, ["STORE_FAILED", "STORE_FAILED"]);
  assert.ok(acknowledged > 0);
  const { position, rows } = readSqliteStore(directory);
  assert.ok(position >= acknowledged);
  assert.deepEqual(new Set(rows.map(([, bytes]) => Buffer.from(bytes).readDoubleBE(0))), new Set([position]));
});

test("sqlite store: a directory that cannot be written is an error that says so", { timeout: 10_000 }, () => {
  const directory = fresh();
  mkdirSync(directory, { mode: 0o500 });
  // The superuser may write anywhere, so as such the child becomes somebody else first.
  const nobody = process.getuid?.() === 0 ? 65534 : undefined;
  if (nobody !== undefined) {
    chownSync(directory, nobody, nobody);
    chmodSync(root, 0o711);
  }
  const { stdout, stderr } = spawnSync(process.execPath, [...process.execArgv, child, directory, "until-failure", String(nobody ?? "")], { encoding: "utf8" });
  assert.deepEqual(JSON.parse(stdout || `"${stderr}"`), { acknowledged: 0, codes: ["STORE_FAILED"] });
});

test("sqlite store: a directory that others may write in is refused", async () => {
  const directory = fresh();
  mkdirSync(directory);
  chmodSync(directory, 0o777);
  const store = await openSqliteStore(directory);
  await assert.rejects(store.claim("ann"), { code: "STORE_FAILED", message: /written by others/ });
  await store.close();
});

test("sqlite store: reading a stopped node's store raises no fence and creates nothing", async () => {
  const directory = fresh();
  assert.throws(() => readSqliteStore(directory), { code: "NOT_FOUND" });
  assert.equal(statSync(directory, { throwIfNoEntry: false }), undefined);
  const store = await openSqliteStore(directory);
  await store.claim("ann");
  await store.commit({ position: 3, puts: [["a", Buffer.from("1")]], deletes: [] });
  await store.close();
  for (let time = 0; time < 2; time++) {
    const { owner, fence, position, rows } = readSqliteStore(directory);
    assert.deepEqual({ owner, fence, position, keys: rows.map(([key]) => key) }, { owner: "ann", fence: 1, position: 3, keys: ["a"] });
  }
});
