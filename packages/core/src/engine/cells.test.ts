import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Value } from "../base/value.ts";
import { Cells } from "./cells.ts";
import { Journal } from "./journal.ts";

/** Takes a record and folds it into the rows of a store. */
function commit(journal: Journal, rows: Map<string, Uint8Array>): number {
  const { puts, deletes } = journal.take();
  for (const [key, bytes] of puts) rows.set(key, bytes);
  for (const key of deletes) rows.delete(key);
  return puts.length;
}

function restored(rows: Iterable<readonly [string, Uint8Array]>): Cells {
  const cells = new Cells();
  cells.restore([...rows]);
  return cells;
}

const contents = (cells: Cells, name: string): [string, Value][] => [...cells.table(name).entries()].sort(([a], [b]) => (a < b ? -1 : 1));

test("cells: what was committed is restored, after any writes and restarts; a capture restores to the same", () => {
  const write = fc.tuple(fc.constantFrom("sums", "odd/name %"), fc.stringMatching(/^[a-f]{0,2}$/), fc.integer());
  fc.assert(fc.property(fc.array(fc.array(write, { maxLength: 30 }), { maxLength: 20 }), fc.nat(20), (records, restartAt) => {
    const rows = new Map<string, Uint8Array>();
    let cells = new Cells();
    let journal = new Journal();
    for (const [at, record] of records.entries()) {
      for (const [name, key, value] of record) cells.table(name).set(key, value, journal);
      commit(journal, rows);
      if (at === restartAt) [cells, journal] = [restored(rows), new Journal()];
    }
    for (const copy of [restored(rows), restored(cells.capture())]) {
      for (const name of ["sums", "odd/name %"]) assert.deepEqual(contents(copy, name), contents(cells, name));
    }
    assert.deepEqual([...restored(cells.capture()).capture()], [...cells.capture()]);
  }));
});

test("cells: a capture changes nothing: the next record still has what changed", () => {
  const [cells, journal, rows] = [new Cells(), new Journal(), new Map<string, Uint8Array>()];
  cells.table("sums").set("a", 1, journal);
  assert.equal([...cells.capture()].length, 1);
  assert.equal(commit(journal, rows), 1);
  assert.equal(restored(rows).table("sums").get("a"), 1);
});

test("cells: a log is compacted when it has grown to three times what lives", () => {
  const [cells, journal, rows] = [new Cells(), new Journal(), new Map<string, Uint8Array>()];
  let most = 0;
  for (let n = 0; n < 1000; n++) {
    cells.table("sums").set("one", n, journal);
    assert.equal(commit(journal, rows), 1, "one segment a record");
    most = Math.max(most, rows.size);
  }
  assert.ok(most > 32 && most <= 64, `${most} segments at most`);
  assert.equal(restored(rows).table("sums").get("one"), 999);
});

test("cells: compaction goes on after a restart, and its segments never take an older one's number", () => {
  const rows = new Map<string, Uint8Array>();
  for (let life = 0; life < 20; life++) {
    const [cells, journal] = [restored(rows), new Journal()];
    for (let n = 0; n < 20; n++) {
      cells.table("sums").set("one", life * 20 + n, journal);
      commit(journal, rows);
    }
    assert.ok(rows.size <= 64);
    assert.equal(restored(rows).table("sums").get("one"), life * 20 + 19);
  }
});

test("cells: a range is in ascending order of keys, starts behind its start and stops at its limit", () => {
  const [cells, journal] = [new Cells(), new Journal()];
  const table = cells.table("sums");
  for (const key of ["b", "a", "ä", "c", "aa", ""]) table.set(key, key.length, journal);
  assert.deepEqual(table.range(null, 10).map(([key]) => key), ["", "a", "aa", "b", "c", "ä"]);
  assert.deepEqual(table.range("a", 2).map(([key]) => key), ["aa", "b"]);
  assert.deepEqual(table.range("ab", 1), [["b", 1]]);
  table.set("ab", 9, journal);
  assert.deepEqual(table.range("aa", 2), [["ab", 9], ["b", 1]]);
  assert.deepEqual(table.range("zzz", 2).map(([key]) => key), ["ä"]);
  assert.deepEqual(table.range("ä", 2), []);
});

const damaged: readonly [string, string, Uint8Array][] = [
  ["a key without a partition", "cells/sums/0", Uint8Array.of(0x80)],
  ["a partition that does not exist", "cells/sums/64/0", Uint8Array.of(0x80)],
  ["a segment without a number", "cells/sums/1/x", Uint8Array.of(0x80)],
  ["a key without its value", "cells/sums/1/0", Uint8Array.of(0x81, 0x61, 0x61)],
  ["a key that is no text", "cells/sums/1/0", Uint8Array.of(0x82, 0x01, 0x01)],
  ["bytes that are no value", "cells/sums/1/0", Uint8Array.of(0x9f)],
];
for (const [name, key, bytes] of damaged) {
  test(`cells: refused: ${name}`, () => assert.throws(() => restored([[key, bytes]]), { code: "SNAPSHOT_INVALID" }));
}
