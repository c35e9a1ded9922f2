import type { Row } from "./store.ts";

/**
 * Rows on their way between threads: one buffer that is transferred, not cloned. A clone of each value would cost more
 * than the copy, and a value may be a view on a large buffer that a clone would take along whole.
 */
export interface PackedRows {
  readonly keys: readonly string[];
  readonly lengths: readonly number[];
  readonly bytes: ArrayBuffer;
}

export function packRows(rows: readonly Row[]): PackedRows {
  let total = 0;
  for (const [, bytes] of rows) total += bytes.length;
  const packed = new Uint8Array(total);
  const keys: string[] = [];
  const lengths: number[] = [];
  let at = 0;
  for (const [key, bytes] of rows) {
    keys.push(key);
    lengths.push(bytes.length);
    packed.set(bytes, at);
    at += bytes.length;
  }
  return { keys, lengths, bytes: packed.buffer };
}

/** The rows as views on the packed buffer. */
export function* packedRows(packed: PackedRows): Generator<Row> {
  let at = 0;
  for (const [index, key] of packed.keys.entries()) {
    const length = packed.lengths[index]!;
    yield [key, new Uint8Array(packed.bytes, at, length)];
    at += length;
  }
}
