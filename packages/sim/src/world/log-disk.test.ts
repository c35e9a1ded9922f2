import assert from "node:assert/strict";
import { test } from "node:test";
import { type Commit, RuntimeError } from "@holdfast/core";
import { ChoiceLog, type StoredChoices } from "../choice/choice-log.ts";
import { Dice } from "../choice/dice.ts";
import { LogDisk, type Owner } from "./log-disk.ts";
import { encodeRecord, SECTOR_BYTES } from "./log-record.ts";

const hasCode = (code: string) => (error: unknown): boolean => error instanceof RuntimeError && error.code === code;

/** A disk that chooses what is given, and the tamest of all else. */
function diskThatChooses(choices: StoredChoices): LogDisk {
  return new LogDisk(new Dice({ seed: "", given: ChoiceLog.from(choices) }, "disk"), {}, { durable: () => {} });
}

/** One key of its own, one that every commit changes, and one that the next commit deletes; of three sectors. */
function commitOf(position: number): Commit {
  const bytes = (length: number): Uint8Array => new Uint8Array(length).fill(position);
  return { position, puts: [[`own/${position}`, bytes(900)], ["shared", bytes(3)], [`gone/${position}`, bytes(8)]], deletes: [`gone/${position - 1}`] };
}

function keysAfter(commits: number): string[] {
  return [...Array.from({ length: commits }, (_, at) => `own/${at + 1}`), ...(commits > 0 ? [`gone/${commits}`, "shared"] : [])].sort();
}

function write(disk: LogDisk, owner: Owner, position: number): ReturnType<LogDisk["beginWrite"]> {
  const record = disk.beginWrite(commitOf(position), owner);
  disk.endWrite(record);
  return record;
}

const RECORD_BYTES = encodeRecord({ ...commitOf(1), fence: 1 }).length;

test("log-disk: a power cut at any byte keeps what was durable, and of the rest the records that are whole", () => {
  for (let lost = 0; lost <= 2 * RECORD_BYTES; lost++) {
    const disk = diskThatChooses({ "disk/bytes lost": { 0: lost } });
    const owner = disk.claim();
    disk.sync(write(disk, owner, 1));
    write(disk, owner, 2);
    write(disk, owner, 3);
    disk.tear();
    disk.claim();
    const whole = 1 + Math.floor((2 * RECORD_BYTES - lost) / RECORD_BYTES);
    assert.deepEqual(disk.load().rows.map(([key]) => key), keysAfter(whole), `${lost} bytes lost`);
    assert.equal(disk.load().position, whole);
  }
});

test("log-disk: a record that lacks a sector, and whatever follows it, is dropped", () => {
  const sectors = RECORD_BYTES / SECTOR_BYTES;
  for (let sector = 0; sector < 2 * sectors; sector++) {
    const disk = diskThatChooses({ "disk/sectors lost": { 0: 1 }, "disk/first sector lost": { 0: sector } });
    const owner = disk.claim();
    write(disk, owner, 1);
    write(disk, owner, 2);
    disk.tear();
    disk.claim();
    assert.equal(disk.load().position, Math.floor(sector / sectors), `sector ${sector}`);
  }
});

test("log-disk: kill −9 keeps what was written, and drops what was half written", () => {
  const disk = diskThatChooses({ "disk/bytes written": { 0: RECORD_BYTES } });
  const owner = disk.claim();
  write(disk, owner, 1);
  disk.beginWrite(commitOf(2), owner);
  disk.claim();
  assert.equal(disk.load().position, 1);
});

test("log-disk: a bit that flips in what is durable is detected, wherever it is", () => {
  for (let byte = 0; byte < SECTOR_BYTES + 2 * RECORD_BYTES; byte++) {
    const disk = diskThatChooses({ "disk/bit": { 0: byte }, "disk/bit of the byte": { 0: byte % 8 } });
    const owner = disk.claim();
    disk.sync(write(disk, owner, 1));
    disk.sync(write(disk, owner, 2));
    assert.ok(disk.flipBit());
    assert.throws(() => disk.load(), hasCode("STORE_DAMAGED"), `byte ${byte}`);
    assert.throws(() => disk.claim(), hasCode("STORE_DAMAGED"), `byte ${byte}`);
    disk.repair();
    disk.claim();
    assert.deepEqual(disk.load().rows.map(([key]) => key), keysAfter(2));
  }
});

test("log-disk: with no room, writes and claims fail, and go on once there is room", () => {
  const disk = diskThatChooses({});
  const owner = disk.claim();
  const written = write(disk, owner, 1);
  disk.full = true;
  disk.sync(written);
  assert.throws(() => disk.beginWrite(commitOf(2), owner), hasCode("STORE_FAILED"));
  assert.throws(() => disk.claim(), hasCode("STORE_FAILED"));
  disk.full = false;
  disk.claim();
  assert.equal(disk.load().position, 1);
  assert.throws(() => disk.beginWrite(commitOf(2), owner), hasCode("STORE_FENCED"));
});
