import { crc32 } from "node:zlib";
import type { Commit, Encoded } from "@holdfast/core";

/** What a disk writes at once, whole or not at all. A record begins with a sector, so that tearing it harms no other. */
export const SECTOR_BYTES = 512;

/** One record as the file holds it. */
export interface StoredRecord extends Commit {
  readonly fence: number;
}

//     u32 magic, u32 checksum of all that follows, u32 bytes in all, u32 puts, u32 deletes, u32 fence, f64 position
//     (u32 length, key, u32 length, bytes) for each put, (u32 length, key) for each delete, zeroes up to the end of the sector
const MAGIC = 0x48464c47;
const CHECKED_FROM = 8;
const HEADER_BYTES = 32;

export function encodeRecord({ fence, position, puts, deletes }: StoredRecord): Uint8Array {
  let bytes = HEADER_BYTES;
  for (const [key, value] of puts) bytes += 8 + Buffer.byteLength(key) + value.length;
  for (const key of deletes) bytes += 4 + Buffer.byteLength(key);
  const file = Buffer.alloc(Math.ceil(bytes / SECTOR_BYTES) * SECTOR_BYTES);
  [MAGIC, 0, file.length, puts.length, deletes.length, fence].forEach((word, at) => file.writeUInt32LE(word, 4 * at));
  file.writeDoubleLE(position, 24);
  let at = HEADER_BYTES;
  const writeKey = (key: string): void => {
    at = file.writeUInt32LE(Buffer.byteLength(key), at);
    at += file.write(key, at);
  };
  for (const [key, value] of puts) {
    writeKey(key);
    at = file.writeUInt32LE(value.length, at);
    file.set(value, at);
    at += value.length;
  }
  for (const key of deletes) writeKey(key);
  file.writeUInt32LE(crc32(file.subarray(CHECKED_FROM)), 4);
  return file;
}

/** The record that begins there, and where it ends; undefined if it is not there as it was written, from end to end. */
export function decodeRecord(bytes: Uint8Array, at: number): { record: StoredRecord; end: number } | undefined {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset + at, bytes.length - at);
  if (file.length < HEADER_BYTES || file.readUInt32LE(0) !== MAGIC) return undefined;
  const length = file.readUInt32LE(8);
  if (length < HEADER_BYTES || length > file.length) return undefined;
  if (crc32(file.subarray(CHECKED_FROM, length)) !== file.readUInt32LE(4)) return undefined;
  return decodeUnchecked(bytes, at);
}

/** What can be made out of a record that may not be as it was written: for stores at fault. */
export function decodeUnchecked(bytes: Uint8Array, at: number): { record: StoredRecord; end: number } | undefined {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset + at, bytes.length - at);
  if (file.length < HEADER_BYTES) return undefined;
  const [length, puts, deletes, fence] = [8, 12, 16, 20].map((offset) => file.readUInt32LE(offset)) as [number, number, number, number];
  const reader = new Reader(file, HEADER_BYTES);
  const record = { fence, position: file.readDoubleLE(24), puts: [] as Encoded[], deletes: [] as string[] };
  while (record.puts.length < puts) {
    const key = reader.next();
    const value = key === undefined || key.length === 0 ? undefined : reader.next();
    if (key === undefined || value === undefined) return { record, end: at + length };
    record.puts.push([key.toString(), Uint8Array.from(value)]);
  }
  for (let key = reader.next(); key !== undefined && record.deletes.length < deletes; key = reader.next()) record.deletes.push(key.toString());
  return { record, end: at + length };
}

/** Reads pieces with their length in front, as long as there are whole ones. */
class Reader {
  readonly #file: Buffer;
  #at: number;

  constructor(file: Buffer, at: number) {
    this.#file = file;
    this.#at = at;
  }

  next(): Buffer | undefined {
    if (this.#at + 4 > this.#file.length) return undefined;
    const from = this.#at + 4;
    const end = from + this.#file.readUInt32LE(this.#at);
    if (end > this.#file.length) return undefined;
    this.#at = end;
    return this.#file.subarray(from, end);
  }
}
