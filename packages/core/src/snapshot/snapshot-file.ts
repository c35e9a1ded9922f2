/**
 * The bytes of a snapshot: a head that says what follows, then the parts.
 *
 *     "holdfast snapshot" · spec version u32 · head length u32 · head · SHA-256 of all before · part · part …
 *     head  = CBOR [[[name, bytes, SHA-256], …]], one line a part
 *     part  = entries: u32 length · fields (CBOR) · u32 length · body
 *
 * Each part has a hash of its own, so that damage names its part; a state may be larger than one value can be, so the
 * parts are no single value. Numbers are big-endian.
 */
import { sha256 } from "../base/sha256.ts";
import { RuntimeError } from "../base/errors.ts";
import { encodeValue } from "../base/value-codec.ts";
import { RowReader } from "../engine/row-reader.ts";
import { SPEC_VERSION } from "../engine/rows.ts";
import { SNAPSHOT_PARTS, type SnapshotEntries, type SnapshotEntry, type SnapshotPart } from "./snapshot-parts.ts";

/** Larger snapshots are refused. Decision: far beyond what a node holds in memory, and below an ArrayBuffer's bound. */
export const SNAPSHOT_BYTES_MAX = 1024 * 1024 * 1024;

const MAGIC = Uint8Array.from("holdfast snapshot", (character) => character.charCodeAt(0));
/** Magic, spec version, length of the head. */
const PREFIX_BYTES = MAGIC.length + 8;
const HASH_BYTES = 32;
/** The head's length is checked before anything is read at it: nineteen lines of 60 bytes. */
const HEAD_BYTES_MAX = 4096;

export function writeSnapshot(entries: SnapshotEntries, bytesMax: number): Uint8Array {
  const bodies = SNAPSHOT_PARTS.map((part) => writePart(part, entries.get(part) ?? [], bytesMax));
  const lines = SNAPSHOT_PARTS.map((part, at) => {
    const body = bodies[at] as Uint8Array;
    return [part, body.length, sha256(body)];
  });
  const head = encodeValue([lines]);
  const prefix = new Uint8Array(PREFIX_BYTES + head.length);
  const view = new DataView(prefix.buffer);
  prefix.set(MAGIC);
  view.setUint32(MAGIC.length, SPEC_VERSION);
  view.setUint32(MAGIC.length + 4, head.length);
  prefix.set(head, PREFIX_BYTES);

  const total = prefix.length + HASH_BYTES + bodies.reduce((sum, body) => sum + body.length, 0);
  const largest = bodies.reduce((most, body, at) => (body.length > (bodies[most] as Uint8Array).length ? at : most), 0);
  if (total > bytesMax) throw refuse(SNAPSHOT_PARTS[largest] as string, `the snapshot has ${total} bytes, at most ${bytesMax} are allowed`);
  const snapshot = new Uint8Array(total);
  snapshot.set(prefix);
  snapshot.set(sha256(prefix), prefix.length);
  let at = prefix.length + HASH_BYTES;
  for (const body of bodies) {
    snapshot.set(body, at);
    at += body.length;
  }
  return snapshot;
}

/** Refuses any spec version but our own before it looks at anything else. The entries are views on `bytes`. */
export function readSnapshot(bytes: Uint8Array, bytesMax: number): SnapshotEntries {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!MAGIC.every((byte, at) => bytes[at] === byte)) throw refuse("head", "this is no snapshot");
  if (bytes.length < MAGIC.length + 4) throw refuse("spec version", "missing");
  const version = view.getUint32(MAGIC.length);
  if (version !== SPEC_VERSION) throw refuse("spec version", `found ${version}, supported is ${SPEC_VERSION}`);
  if (bytes.length < PREFIX_BYTES) throw refuse("head", "truncated");
  const headEnd = PREFIX_BYTES + view.getUint32(MAGIC.length + 4);
  if (headEnd - PREFIX_BYTES > HEAD_BYTES_MAX) throw refuse("head", "oversized");
  if (bytes.length < headEnd + HASH_BYTES) throw refuse("head", "truncated");
  checkHash("head", bytes.subarray(0, headEnd), bytes.subarray(headEnd, headEnd + HASH_BYTES));

  const entries = new Map<SnapshotPart, readonly SnapshotEntry[]>();
  let at = headEnd + HASH_BYTES;
  for (const { name, length, hash } of readHead(bytes.subarray(PREFIX_BYTES, headEnd))) {
    const end = at + length;
    if (end > bytesMax) throw refuse(name, `oversized: it ends at byte ${end}, at most ${bytesMax} are allowed`);
    if (end > bytes.length) throw refuse(name, "truncated");
    const body = bytes.subarray(at, end);
    checkHash(name, body, hash);
    entries.set(name, readPart(name, body));
    at = end;
  }
  if (at !== bytes.length) throw refuse("end", `${bytes.length - at} bytes are left over`);
  return entries;
}

/** Every part once, in order: a part that is missing or unknown is an error, never a guess. */
function readHead(head: Uint8Array): { name: SnapshotPart; length: number; hash: Uint8Array }[] {
  const listed = RowReader.of("head", head);
  const found = listed.lists().map((line) => {
    const part = { name: line.text(), length: line.whole(), hash: line.bytes() };
    line.end();
    return part;
  });
  listed.end();
  for (const name of SNAPSHOT_PARTS) if (!found.some((part) => part.name === name)) throw refuse(name, "missing");
  for (const [at, { name }] of found.entries()) {
    if (name !== SNAPSHOT_PARTS[at]) throw refuse(name, "unknown, repeated or out of its order");
  }
  return found as { name: SnapshotPart; length: number; hash: Uint8Array }[];
}

function writePart(part: SnapshotPart, entries: readonly SnapshotEntry[], bytesMax: number): Uint8Array {
  const length = entries.reduce((sum, { fields, body }) => sum + 8 + fields.length + body.length, 0);
  if (length > bytesMax) throw refuse(part, `it has ${length} bytes, at most ${bytesMax} are allowed`);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const { fields, body } of entries) {
    for (const piece of [fields, body]) {
      view.setUint32(at, piece.length);
      bytes.set(piece, at + 4);
      at += 4 + piece.length;
    }
  }
  return bytes;
}

function readPart(part: SnapshotPart, bytes: Uint8Array): SnapshotEntry[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries: SnapshotEntry[] = [];
  let at = 0;
  const piece = (): Uint8Array => {
    const start = at + 4;
    if (start > bytes.length) throw refuse(part, "an entry is cut off");
    at = start + view.getUint32(at);
    if (at > bytes.length) throw refuse(part, "an entry is cut off");
    return bytes.subarray(start, at);
  };
  while (at < bytes.length) entries.push({ fields: piece(), body: piece() });
  return entries;
}

function checkHash(part: string, bytes: Uint8Array, expected: Uint8Array): void {
  const found = sha256(bytes);
  if (expected.length !== HASH_BYTES || !found.every((byte, at) => byte === expected[at])) throw refuse(part, "damaged: its checksum differs");
}

function refuse(part: string, reason: string): RuntimeError {
  return new RuntimeError("SNAPSHOT_INVALID", { part, reason });
}
