import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { StateDatabase } from "./state-database.ts";
import type { Row } from "./store.ts";

const root = mkdtempSync(join(tmpdir(), "holdfast-database-"));
after(() => rmSync(root, { recursive: true, force: true }));
let next = 0;
const fresh = () => join(root, String(next++));
const open = (directory: string) => new StateDatabase(directory, { create: true });
const bytes = (text: string): Uint8Array => Buffer.from(text);

/** A closed store with 500 small rows and a large one. */
function filled(): string {
  const directory = fresh();
  const database = open(directory);
  database.claim("ann");
  const rows = Array.from({ length: 500 }, (_, index): Row => [`row/${String(index).padStart(3, "0")}`, Buffer.alloc(200, index)]);
  database.commit(1, 1, [...rows, ["large", Buffer.alloc(100_000, "L")]], []);
  database.close();
  return directory;
}

function edit(directory: string, sql: string): void {
  const database = new DatabaseSync(join(directory, "state.db"));
  database.exec(sql);
  database.close();
}

function load(directory: string): Row[] {
  const database = open(directory);
  try {
    return [...database.rows()];
  } finally {
    database.close();
  }
}

test("state database: what was filled loads", () => {
  assert.equal(load(filled()).length, 501);
});

// Each case changes what SQLite itself considers sound: only our own checks can find it.
const damages = [
  { name: "a changed value", sql: "UPDATE state SET bytes = zeroblob(200) WHERE key = 'row/007'", names: /key: row\/007/ },
  { name: "a changed key", sql: "UPDATE state SET key = 'row/00x' WHERE key = 'row/007'", names: /key: row\/00x/ },
  { name: "a changed checksum", sql: "UPDATE state SET checksum = checksum + 1 WHERE key = 'row/007'", names: /key: row\/007/ },
  { name: "a value without bytes", sql: "UPDATE state SET bytes = NULL WHERE key = 'row/007'", names: /key: row\/007/ },
  { name: "a lost row", sql: "DELETE FROM state WHERE key = 'row/007'", names: /found: 500, expected: 501/ },
  { name: "two swapped values", sql: "UPDATE state SET (bytes, checksum) = (SELECT bytes, checksum FROM state WHERE key = 'row/008') WHERE key = 'row/007'", names: /key: row\/007/ },
  { name: "a changed large value", sql: "UPDATE blobs SET bytes = zeroblob(100000)", names: /key: large, part: blob/ },
  { name: "a lost large value", sql: "DELETE FROM blobs", names: /key: large, part: blob, reason: missing/ },
  { name: "a position that went back", sql: "UPDATE meta SET position = 0", names: /part: meta/ },
  { name: "another application's database", sql: "PRAGMA application_id = 1", names: /not a Holdfast store/ },
  { name: "a layout of the future", sql: "PRAGMA user_version = 2", names: /not a Holdfast store/ },
];
for (const { name, sql, names } of damages) {
  test(`state database: T3, ${name} is damage and named`, () => {
    const directory = filled();
    edit(directory, sql);
    assert.throws(() => load(directory), { code: "STORE_DAMAGED", message: names });
    assert.throws(() => load(directory), { code: "STORE_DAMAGED" }, "and stays so");
  });
}

test("state database: T3, a row that went back in time is damage although it is sound", () => {
  const directory = fresh();
  const database = open(directory);
  database.claim("ann");
  database.commit(1, 1, [["a", bytes("old")], ["b", bytes("old")]], []);
  database.close();
  const old = new DatabaseSync(join(directory, "state.db"));
  const rows = old.prepare("SELECT key, bytes, checksum FROM state").all() as { key: string; bytes: Uint8Array; checksum: number }[];
  old.close();
  const later = open(directory);
  later.claim("ann");
  // The same change to both: a tally of xors would not notice if both went back.
  later.commit(2, 2, [["a", bytes("new")], ["b", bytes("new")]], []);
  later.close();
  const tampered = new DatabaseSync(join(directory, "state.db"));
  for (const row of rows) tampered.prepare("UPDATE state SET bytes = ?, checksum = ? WHERE key = ?").run(row.bytes, row.checksum, row.key);
  tampered.close();
  assert.throws(() => load(directory), { code: "STORE_DAMAGED", message: /out of date/ });
});

test("state database: T3, no flipped bit and no zeroed page of the file goes unseen, or changes what is loaded", { timeout: 20_000 }, () => {
  const directory = filled();
  const path = join(directory, "state.db");
  const sound = readFileSync(path);
  const expected = load(directory);
  let refused = 0;
  let rounds = 0;
  const tryWith = (damaged: Buffer, what: string) => {
    writeFileSync(path, damaged);
    rounds++;
    try {
      assert.deepEqual(load(directory), expected, what);
    } catch (error) {
      if ((error as { code?: string }).code !== "STORE_DAMAGED") throw error;
      refused++;
    }
  };
  for (let at = 24; at < sound.length; at += 1013) { // a prime step meets every kind of place
    const damaged = Buffer.from(sound);
    damaged[at]! ^= 1 << (at % 8);
    tryWith(damaged, `bit ${at % 8} of byte ${at}`);
  }
  for (let page = 1; page * 4096 < sound.length; page++) {
    const damaged = Buffer.from(sound);
    damaged.fill(0, page * 4096, (page + 1) * 4096);
    tryWith(damaged, `page ${page + 1}`);
  }
  assert.ok(refused > rounds / 2, `${refused} of ${rounds} refused`);
});

for (const [name, damage] of [
  ["cut short", (path: string) => truncateSync(path, 40_000)],
  ["no database at all", (path: string) => writeFileSync(path, Buffer.alloc(8192, "x"))],
] as const) {
  test(`state database: T3, a file ${name} is damage`, () => {
    const directory = filled();
    damage(join(directory, "state.db"));
    assert.throws(() => load(directory), { code: "STORE_DAMAGED" });
  });
}

test("state database: T3, a log whose database is gone is damage, not a new store", () => {
  const directory = fresh();
  const database = open(directory);
  database.claim("ann");
  database.commit(1, 1, [["a", bytes("1")]], []);
  const crashed = fresh();
  mkdirSync(crashed, { mode: 0o700 });
  copyFileSync(join(directory, "state.db-wal"), join(crashed, "state.db-wal"));
  database.close();
  assert.throws(() => open(crashed), { code: "STORE_DAMAGED", message: /empty beside a log/ });
});

test("state database: T2, a commit under an overtaken fence changes nothing, and is the last", () => {
  const directory = fresh();
  const database = open(directory);
  database.claim("ann");
  database.commit(1, 1, [["a", bytes("1")]], []);
  database.claim("ann"); // nobody else can open it (D1), so the owner that overtakes is played here
  assert.throws(() => database.commit(1, 2, [["a", bytes("2")]], []), { code: "STORE_FENCED" });
  assert.throws(() => database.commit(2, 3, [["a", bytes("3")]], []), { code: "STORE_FENCED" }); // D4
  database.close();
  assert.deepEqual(load(directory).map(([, value]) => Buffer.from(value).toString()), ["1"]);
  edit(directory, "UPDATE meta SET fence = 1");
  assert.throws(() => open(directory), { code: "STORE_DAMAGED", message: /part: meta/ }); // nor can a fence go back
});

test("state database: D1, opening and closing a second one takes no lock away from the first", () => {
  const directory = fresh();
  const database = open(directory);
  for (let time = 0; time < 3; time++) assert.throws(() => open(directory), { code: "STORE_BUSY" });
  database.claim("ann");
  database.commit(1, 1, [["a", bytes("1")]], []);
  database.close();
  assert.equal(load(directory).length, 1);
});

test("state database: a checkpoint empties the log and loses nothing", () => {
  const directory = fresh();
  const database = open(directory);
  database.claim("ann");
  for (let position = 1; position <= 20; position++) database.commit(1, position, [["a", Buffer.alloc(50_000, position)]], []);
  assert.ok(database.logBytes() > 20 * 50_000);
  database.checkpoint();
  assert.equal(database.logBytes(), 0);
  database.commit(1, 21, [["b", bytes("1")]], []);
  database.close();
  assert.deepEqual(load(directory).map(([key, value]) => [key, value[0]]), [["a", 20], ["b", "1".charCodeAt(0)]]);
});
