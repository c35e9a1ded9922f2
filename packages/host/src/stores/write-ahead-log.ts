/**
 * Looks through SQLite's write-ahead log before SQLite does. SQLite stops at the first frame whose checksum does not
 * match and forgets, without a word, everything behind it; for a torn tail that is right, for a damaged log it would
 * take the node back in time.
 *
 *     header │ frame … commit frame │ frame … commit frame │ … │ frames of an older round (other salts)
 *
 * The rule (spec/snapshot.md): after the first bad frame, a frame with the log's current salts that lies behind a commit
 * frame proves that the bad one belonged to a transaction that was durable, since SQLite syncs each transaction before it
 * writes the next: damage. If nothing follows the bad transaction's own commit frame, it may be torn: power was lost
 * before its sync returned and the pages reached the disk out of order. Each claim empties the log, so that no remains
 * of an earlier torn tail lie behind newer transactions. A torn frame may be an older round's up to a sector's edge and
 * the current one's from there on: where that edge parts the commit mark from the salts, the mark proves nothing.
 *
 * Format: https://sqlite.org/fileformat2.html#the_write_ahead_log
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { endianness } from "node:os";
import { RuntimeError } from "@holdfast/core";

const HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
const MAGIC_LITTLE = 0x377f0682;
const MAGIC_BIG = 0x377f0683;
const FORMAT_VERSION = 3007000;
/** What a disk writes wholly or not at all; the edges of larger sectors are among these edges. */
const SECTOR_BYTES = 512;

/** What a log that may be opened holds. */
export interface LogSummary {
  /** Frames up to and including the last whole transaction: what SQLite will see. */
  readonly frames: number;
}

/** Throws STORE_DAMAGED. A missing or empty log is fine. */
export function checkWriteAheadLog(path: string): LogSummary {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { frames: 0 };
    throw new RuntimeError("STORE_FAILED", { path, reason: (error as Error).message }, { cause: error });
  }
  try {
    return scan(path, file);
  } finally {
    closeSync(file);
  }
}

function scan(path: string, file: number): LogSummary {
  const bytes = fstatSync(file).size;
  const header = Buffer.alloc(HEADER_BYTES);
  if (bytes < HEADER_BYTES || readSync(file, header, 0, HEADER_BYTES, 0) < HEADER_BYTES) return { frames: 0 };
  // SQLite syncs the header before the first frame: while it is still blank, nothing was ever durable here.
  if (header.every((byte) => byte === 0)) return { frames: 0 };

  const magic = header.readUInt32BE(0);
  const pageBytes = header.readUInt32BE(8);
  const checksum = new LogChecksum(magic === MAGIC_LITTLE ? "LE" : "BE");
  const headerMatches =
    (magic === MAGIC_LITTLE || magic === MAGIC_BIG) &&
    header.readUInt32BE(4) === FORMAT_VERSION &&
    pageBytes >= 512 && pageBytes <= 65_536 && (pageBytes & (pageBytes - 1)) === 0 &&
    checksum.add(header.subarray(0, 24)).matches(header, 24);
  if (!headerMatches) throw new RuntimeError("STORE_DAMAGED", { path, part: "write-ahead log header" });

  const salts = header.subarray(16, 24);
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + pageBytes);
  let whole = 0; // frames of whole transactions
  let bad: number | undefined; // index of the first bad frame
  let badEnded = false; // was the bad frame's transaction seen to end?
  for (let index = 0; ; index++) {
    const offset = HEADER_BYTES + index * frame.length;
    if (offset + frame.length > bytes || readSync(file, frame, 0, frame.length, offset) < frame.length) break;
    // One salt of the two is enough to know a frame of this round whose header is damaged: an older round shares neither.
    const current = frame.compare(salts, 0, 4, 8, 12) === 0 || frame.compare(salts, 4, 8, 12, 16) === 0;
    const commits = frame.readUInt32BE(4) !== 0;
    if (bad === undefined) {
      const good = frame.compare(salts, 0, 8, 8, 16) === 0 && checksum.add(frame.subarray(0, 8)).add(frame.subarray(FRAME_HEADER_BYTES)).matches(frame, 16);
      if (good && commits) whole = index + 1;
      if (!good) bad = index;
    } else if (current && badEnded) {
      throw new RuntimeError("STORE_DAMAGED", { path, part: "write-ahead log", frame: bad, offset: HEADER_BYTES + bad * frame.length });
    }
    // Frames lie at multiples of 8: no edge parts a salt or the mark in itself.
    const isMarkOfRound = (offset + 8) % SECTOR_BYTES !== 0;
    if (bad !== undefined && current && commits && isMarkOfRound) badEnded = true;
  }
  return { frames: whole };
}

/** SQLite's running checksum over pairs of 32-bit words, in the byte order that the log's magic number names. */
class LogChecksum {
  #first = 0;
  #second = 0;
  readonly #swap: boolean;

  constructor(order: "LE" | "BE") {
    this.#swap = order !== endianness();
  }

  /** The length of `bytes` is a multiple of 8. */
  add(bytes: Buffer): this {
    const words = aligned(bytes);
    if (this.#swap) Buffer.from(words.buffer, words.byteOffset, words.byteLength).swap32();
    let first = this.#first;
    let second = this.#second;
    for (let index = 0; index < words.length; index += 2) {
      first = (first + words[index]! + second) >>> 0;
      second = (second + words[index + 1]! + first) >>> 0;
    }
    this.#first = first;
    this.#second = second;
    return this;
  }

  matches(bytes: Buffer, offset: number): boolean {
    return bytes.readUInt32BE(offset) === this.#first && bytes.readUInt32BE(offset + 4) === this.#second;
  }
}

/** The bytes as 32-bit words: always a copy, so that swapping leaves the caller's bytes alone. */
function aligned(bytes: Buffer): Uint32Array {
  const words = new Uint32Array(bytes.length / 4);
  new Uint8Array(words.buffer).set(bytes);
  return words;
}
