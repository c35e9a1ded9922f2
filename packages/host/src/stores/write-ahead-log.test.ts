import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { StateDatabase } from "./state-database.ts";
import type { Row } from "./store.ts";
import { checkWriteAheadLog } from "./write-ahead-log.ts";

const root = mkdtempSync(join(tmpdir(), "holdfast-log-"));
after(() => rmSync(root, { recursive: true, force: true }));
const FRAME_BYTES = 24 + 4096;
const frameAt = (index: number) => 32 + index * FRAME_BYTES;

/** What a killed process leaves: 8 transactions in the log, none of them moved to the database. */
const killed = (() => {
  const live = join(root, "live");
  const database = new StateDatabase(live, { create: true });
  database.claim("ann");
  for (let position = 1; position <= 8; position++) {
    database.commit(1, position, Array.from({ length: 12 }, (_, index): Row => [`row/${index}`, Buffer.alloc(1500, position)]), []);
  }
  const directory = join(root, "killed");
  mkdirSync(directory, { mode: 0o700 });
  for (const name of ["state.db", "state.db-wal"]) copyFileSync(join(live, name), join(directory, name));
  database.close();
  return directory;
})();
const log = readFileSync(join(killed, "state.db-wal"));
const frames = (log.length - 32) / FRAME_BYTES;
/** Index of the commit frame of each transaction. */
const commits = Array.from({ length: frames }, (_, index) => index).filter((index) => log.readUInt32BE(frameAt(index) + 4) !== 0);
const lastStart = commits.at(-2)! + 1;

let next = 0;
/** Opens the killed store with another log; gives the position found and whether all rows are of it. */
function positionWith(changed: Buffer): number {
  const directory = join(root, `copy${next++}`);
  mkdirSync(directory, { mode: 0o700 });
  copyFileSync(join(killed, "state.db"), join(directory, "state.db"));
  writeFileSync(join(directory, "state.db-wal"), changed);
  const database = new StateDatabase(directory, { create: true });
  try {
    const { position } = database.meta!;
    for (const [, bytes] of database.rows()) assert.equal(bytes[0], position);
    return position;
  } finally {
    database.close();
  }
}

function flipped(at: number): Buffer {
  const changed = Buffer.from(log);
  changed[at]! ^= 0x10;
  return changed;
}

test("write-ahead log: our checksum is SQLite's", () => {
  assert.ok(commits.length >= 8 && frames > 50);
  assert.deepEqual(checkWriteAheadLog(join(killed, "state.db-wal")), { frames });
  assert.equal(positionWith(log), 8);
});

test("write-ahead log: none, an empty one and one whose header never arrived are fine", () => {
  const path = join(root, "x-wal");
  assert.deepEqual(checkWriteAheadLog(path), { frames: 0 });
  for (const bytes of [0, 20, 32, 5000]) {
    writeFileSync(path, Buffer.alloc(bytes));
    assert.deepEqual(checkWriteAheadLog(path), { frames: 0 });
  }
});

test("write-ahead log: a bit that flipped in any transaction but the last is damage", () => {
  for (let index = 0; index < lastStart; index++) {
    for (const within of [4, 9, 17, 24, 24 + 2000, 24 + 4095]) { // commit mark, salts, checksum, page
      assert.throws(() => positionWith(flipped(frameAt(index) + within)), { code: "STORE_DAMAGED", message: /write-ahead log/ }, `frame ${index}, byte ${within}`);
    }
  }
});

test("write-ahead log: a flipped bit in its header is damage", () => {
  for (let at = 0; at < 32; at++) assert.throws(() => positionWith(flipped(at)), { code: "STORE_DAMAGED" }, `byte ${at}`);
});

test("write-ahead log: a lost page amid the log is damage", () => {
  const changed = Buffer.from(log);
  changed.fill(0, frameAt(3), frameAt(4));
  assert.throws(() => positionWith(changed), { code: "STORE_DAMAGED", message: /frame: 3, / });
});

test("write-ahead log: a last transaction that is torn, in any order of its pages, is as if it had not begun", () => {
  for (let index = lastStart; index < frames; index++) {
    const cut = log.subarray(0, frameAt(index) + (index % 2) * 1000);
    assert.equal(positionWith(Buffer.from(cut)), 7, `cut in frame ${index}`);
    const hole = Buffer.from(log);
    hole.fill(0, frameAt(index), frameAt(index + 1));
    assert.equal(positionWith(hole), 7, `frame ${index} did not reach the disk`);
  }
});

test("write-ahead log: a frame torn between an older round's commit mark and its own salts does not end its transaction", () => {
  const torn = 41; // (32 + 41 × 4120 + 8) is a multiple of 512
  assert.equal((frameAt(torn) + 8) % 512, 0);
  const last = commits.findIndex((index) => index > torn);
  assert.ok(commits[last - 1]! < torn, "amid a transaction");
  const changed = Buffer.from(log.subarray(0, frameAt(commits[last]! + 1)));
  changed.writeUInt32BE(1, frameAt(torn)); // page 1 …
  changed.writeUInt32BE(9, frameAt(torn) + 4); // … was the last of an older transaction
  assert.equal(positionWith(changed), last - 1); // the first one is the claim's
});

test("write-ahead log: frames of an older round behind the end are no damage", () => {
  const older = Buffer.from(log.subarray(frameAt(0), frameAt(20)));
  for (let index = 0; index < 20; index++) older.fill(0x5a, index * FRAME_BYTES + 8, index * FRAME_BYTES + 16); // their salts
  assert.equal(positionWith(Buffer.concat([log, older])), 8);
});

test("write-ahead log: the other byte order", () => {
  // The same log as a big-endian machine would have written it: other magic, other checksums, same pages.
  const foreign = Buffer.from(log);
  foreign.writeUInt32BE(log.readUInt32BE(0) ^ 1, 0);
  const sum = { first: 0, second: 0 };
  const bigEndian = (log.readUInt32BE(0) ^ 1) === 0x377f0683;
  const add = (bytes: Buffer) => {
    for (let at = 0; at < bytes.length; at += 8) {
      sum.first = (sum.first + (bigEndian ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at)) + sum.second) >>> 0;
      sum.second = (sum.second + (bigEndian ? bytes.readUInt32BE(at + 4) : bytes.readUInt32LE(at + 4)) + sum.first) >>> 0;
    }
  };
  const put = (at: number) => void foreign.writeUInt32BE(sum.second, foreign.writeUInt32BE(sum.first, at));
  add(foreign.subarray(0, 24));
  put(24);
  for (let index = 0; index < frames; index++) {
    add(foreign.subarray(frameAt(index), frameAt(index) + 8));
    add(foreign.subarray(frameAt(index) + 24, frameAt(index + 1)));
    put(frameAt(index) + 16);
  }
  assert.equal(positionWith(foreign), 8); // SQLite agrees
  foreign[frameAt(5) + 100]! ^= 1;
  assert.throws(() => positionWith(foreign), { code: "STORE_DAMAGED" });
});
