import { assert } from "../base/assert.ts";
import { RuntimeError } from "../base/errors.ts";
import { decodeUtf8, utf8Length, writeUtf8 } from "../base/utf8.ts";

/**
 * The part of protobuf's wire format that `messages.proto` needs, as a reader and a writer that mirror each other.
 * Written by hand because allocation dominates a codec: with sizes known beforehand a message is written straight into
 * its frame, 4 to 10 times as fast as through a library (measured: libraries.md §3).
 *
 * Writers leave out what equals the default (0, false, "", no bytes), as proto3 does.
 */

const TWO_28 = 2 ** 28;
const TWO_32 = 2 ** 32;
const TWO_64 = 2 ** 64;
/** A text of so few UTF-16 units takes at most 127 bytes, whose length is one byte that can be filled in afterwards. */
const SHORT_TEXT_UNITS_MAX = 42;
/** Tags are varints of at most 32 bits. Source: protobuf's field numbers end at 2^29 − 1. */
const TAG_MAX = TWO_32 - 1;

// Sizes. All our field numbers are below 16, so a tag takes 1 byte.

export function varintSize(value: number): number {
  if (value < 0x80) return 1;
  let size = 2;
  for (let bound = 0x4000; value >= bound && size < 10; bound *= 0x80) size++;
  return size;
}

export function numberSize(value: number): number {
  return value === 0 ? 0 : 1 + varintSize(value);
}

export function switchSize(value: boolean): number {
  return value ? 2 : 0;
}

/** Of a text or bytes of this length; of a message, also when empty, `1 + lengthSize`. */
export function bytesSize(length: number): number {
  return length === 0 ? 0 : messageSize(length);
}

export function messageSize(length: number): number {
  return 1 + varintSize(length) + length;
}

/** Writes fields into a buffer of the very size. */
export class ProtobufWriter {
  readonly bytes: Uint8Array;
  #at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.bytes = bytes;
    this.#at = at;
  }

  number(field: number, value: number): void {
    if (value === 0) return;
    this.bytes[this.#at++] = field << 3;
    this.#varint(value);
  }

  switch(field: number, value: boolean): void {
    if (!value) return;
    this.bytes[this.#at++] = field << 3;
    this.bytes[this.#at++] = 1;
  }

  text(field: number, value: string): void {
    if (value === "") return;
    if (value.length > SHORT_TEXT_UNITS_MAX) this.message(field, utf8Length(value));
    else this.message(field, 0);
    const start = this.#at;
    this.#at = writeUtf8(value, this.bytes, start);
    if (value.length <= SHORT_TEXT_UNITS_MAX) this.bytes[start - 1] = this.#at - start;
  }

  payload(field: number, value: Uint8Array): void {
    if (value.length === 0) return;
    this.message(field, value.length);
    this.verbatim(value);
  }

  /** Begins a message of `length` bytes, which the next calls write. */
  message(field: number, length: number): void {
    this.bytes[this.#at++] = (field << 3) | 2;
    this.#varint(length);
  }

  verbatim(value: Uint8Array): void {
    this.bytes.set(value, this.#at);
    this.#at += value.length;
  }

  /** Returns the buffer, full. */
  finish(): Uint8Array {
    assert(this.#at === this.bytes.length, "the sizes agree with what is written");
    return this.bytes;
  }

  #varint(value: number): void {
    const { bytes } = this;
    let at = this.#at;
    let low = value;
    if (value >= TWO_28) {
      // Beyond the reach of 32-bit arithmetic: 4 bytes of 7 bits at a time. 2^64 is what 2^64 − 1 rounds to.
      let high = value < TWO_64 ? Math.floor(value / TWO_28) : 2 ** 36 - 1;
      low = value < TWO_64 ? value - high * TWO_28 : TWO_28 - 1;
      for (let i = 0; i < 4; i++) {
        bytes[at++] = (low & 0x7f) | 0x80;
        low >>>= 7;
      }
      for (; high >= TWO_28; high = Math.floor(high / 0x80)) bytes[at++] = high % 0x80 | 0x80;
      low = high;
    }
    while (low >= 0x80) {
      bytes[at++] = (low & 0x7f) | 0x80;
      low >>>= 7;
    }
    bytes[at++] = low;
    this.#at = at;
  }
}

/**
 * Reads the fields of one message out of foreign bytes, in place.
 *
 * Every method throws ENVELOPE_MALFORMED, and none looks or allocates beyond the end of the message that is open.
 */
export class ProtobufReader {
  readonly #bytes: Uint8Array;
  #at: number;
  #end: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = bytes.length;
  }

  /** The next field's tag (its number × 8 + its wire type), or 0 at the end of the message. */
  nextTag(): number {
    if (this.#at === this.#end) return 0;
    const tag = this.#varint();
    if (tag < 8 || tag > TAG_MAX) throw malformed("a field number out of range");
    return tag;
  }

  /** A number of at most `max`. */
  number(max: number = Number.MAX_SAFE_INTEGER): number {
    const value = this.#varint();
    if (value > max) throw malformed(`a number above ${max}`);
    return value;
  }

  /** Whole ns; beyond 2^53 the nearest double. */
  duration(): number {
    return this.#varint();
  }

  switch(): boolean {
    return this.#varint() !== 0;
  }

  text(bytesMax: number): string {
    const end = this.#lengthDelimited(bytesMax);
    const text = decodeUtf8(this.#bytes, this.#at, end);
    if (text === undefined) throw malformed("a text that is not UTF-8");
    this.#at = end;
    return text;
  }

  /** A view, not a copy. */
  payload(bytesMax: number): Uint8Array {
    const end = this.#lengthDelimited(bytesMax);
    const view = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return view;
  }

  /** Goes into a message; its fields are next. Give the result to `leave` after its last. */
  enter(): number {
    const outerEnd = this.#end;
    this.#end = this.#lengthDelimited(outerEnd);
    return outerEnd;
  }

  leave(outerEnd: number): void {
    this.#end = outerEnd;
  }

  /** Skips a field that this version does not know; one it knows has the wrong wire type if it comes here. */
  skip(tag: number, fieldsKnown: number): void {
    if (Math.floor(tag / 8) <= fieldsKnown) throw malformed("a known field of another wire type");
    switch (tag % 8) {
      case 0:
        this.#varint();
        return;
      case 1:
        return this.#skipBytes(8);
      case 2:
        this.#at = this.#lengthDelimited(this.#end);
        return;
      case 5:
        return this.#skipBytes(4);
      default:
        throw malformed("a group or an unknown wire type");
    }
  }

  #skipBytes(count: number): void {
    if (this.#end - this.#at < count) throw malformed("a field that is cut off");
    this.#at += count;
  }

  /** Reads a length and returns where what it measures ends. */
  #lengthDelimited(bytesMax: number): number {
    const length = this.#varint();
    if (length > this.#end - this.#at) throw malformed("a field that is cut off");
    if (length > bytesMax) throw malformed(`a field of ${length} bytes, above ${bytesMax}`);
    return this.#at + length;
  }

  #varint(): number {
    const at = this.#at;
    if (at < this.#end) {
      const byte = this.#bytes[at]!;
      if (byte < 0x80) {
        this.#at = at + 1;
        return byte;
      }
    }
    return this.#longVarint();
  }

  /** In three parts, of 28 and 28 and 8 bits, whose sum rounds only once. */
  #longVarint(): number {
    let low = 0;
    let middle = 0;
    let high = 0;
    for (let i = 0; i < 10; i++) {
      if (this.#at === this.#end) throw malformed("a number that is cut off");
      const byte = this.#bytes[this.#at++]!;
      const bits = byte & 0x7f;
      if (i < 4) low |= bits << (7 * i);
      else if (i < 8) middle |= bits << (7 * i - 28);
      else high |= bits << (7 * i - 56);
      if (byte >= 0x80) continue;
      if (high > 0xff) break;
      return (high * TWO_28 + middle) * TWO_28 + low;
    }
    throw malformed("a number beyond 64 bits");
  }
}

export function malformed(reason: string): RuntimeError {
  return new RuntimeError("ENVELOPE_MALFORMED", { reason });
}
