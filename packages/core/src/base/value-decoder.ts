import { Tokenizer } from "cborg";
import { decodeUtf8, isUtf8 } from "./utf8.ts";
import { floatSize } from "./value-encoder.ts";
import { VALUE_DEPTH_MAX } from "./value.ts";
import type { Value } from "./value.ts";

/** First of the 3 bytes of U+FEFF. */
const BYTE_ORDER_MARK_LEAD = 0xef;
/** Longer texts are left to cborg's native decoder, if it can be trusted with them (measured on Node 24). */
const SHORT_TEXT_BYTES_MAX = 48;
/**
 * By length, where the units of a short ASCII text are gathered. Made in one call it is flat; put together from pieces it
 * would be a rope, and whoever looks it up in a table pays ten times as much to flatten it.
 */
const shortTexts = Array.from({ length: SHORT_TEXT_BYTES_MAX + 1 }, (_, length) => new Array<number>(length).fill(0));
/** Arguments below these fit a shorter head: by the number of bytes that follow the first, 1, 2, 4 or 8. */
const SHORTEST = [24, 0x100, 0x1_0000, 0x1_0000_0000] as const;

/** Keys up to this length are kept, at most so many: the same few come again and again, and need not be made anew. */
const KNOWN_KEY_BYTES_MAX = 64;
const KNOWN_KEYS = 1024;
const knownKeys = new Array<string>(KNOWN_KEYS).fill("");

/** One for all: made anew for each decoder, it would be a third of the objects of a restart. */
const OPTIONS = {};

const floatBytes = new Uint8Array(8);
const floatView = new DataView(floatBytes.buffer);

/**
 * Reads one value, item by item, and refuses whatever `encodeValue` cannot have made: heads longer than need be, deep
 * nesting, keys that are no text, out of order or repeated, invalid UTF-8, tags round anything but bytes, floats longer than
 * need be. Without the tokens of cborg's decoder, which take four times as long; of that only the native text decoder is
 * used, and not for what it would get wrong: it replaces invalid bytes and drops a leading U+FEFF.
 *
 * Throws bare Errors; `decodeValue` turns them into VALUE_MALFORMED.
 */
export class ValueDecoder extends Tokenizer {
  constructor(bytes: Uint8Array, at = 0) {
    super(plain(bytes), OPTIONS);
    this._pos = at;
  }

  /** The next value, inside so many lists and maps. */
  read(depth = 0): Value {
    const head = this.data[this._pos];
    if (head === undefined) throw new Error("a value that is cut off");
    switch (head >>> 5) {
      case 0: return this.#argument();
      case 1: return -1 - this.#argument(Number.MAX_SAFE_INTEGER - 1);
      case 2: return this.#bytes();
      case 3: return this.#text();
      case 4: return this.#list(depth);
      case 5: return this.#map(depth);
      case 6: return this.#bignum();
      default: return this.#simple(head & 31);
    }
  }

  /** The next value, which must be a text: one that comes again and again, such as a kind or the name of a flow. */
  readName(): string {
    if (!this.atText()) throw new Error("a key that is no text");
    return this.#key();
  }

  atText(): boolean {
    return this.data[this._pos]! >>> 5 === 3;
  }

  /** Steps over the next value: `read` will take it. Makes nothing of it, and so takes a third of the time. */
  skip(depth = 0): void {
    const head = this.data[this._pos];
    if (head === undefined) throw new Error("a value that is cut off");
    switch (head >>> 5) {
      case 0: return void this.#argument();
      case 2: return this.#skipBytes();
      case 3: return void this.skipText();
      case 4: {
        const length = this.#openLevel(depth);
        for (let n = 0; n < length; n++) this.skip(depth + 1);
        return;
      }
      case 5: return this.#skipMap(depth);
      default: this.read(depth); // small
    }
  }

  #skipBytes(): void {
    const length = this.#length(); // moves on, too
    this._pos += length;
  }

  /** Steps over a text and returns its length in bytes. */
  skipText(): number {
    if (!this.atText()) throw new Error("a key that is no text");
    const length = this.#length();
    const start = this._pos;
    this._pos = start + length;
    if (!isUtf8(this.data, start, start + length)) throw new Error("a text that is not UTF-8");
    return length;
  }

  /** Enters bytes that are themselves an encoded value, and returns where they end. */
  enterBytes(): number {
    if (this.data[this._pos]! >>> 5 !== 2) throw new Error("not bytes");
    const length = this.#length();
    return this._pos + length;
  }

  /** Enters a list: what follows are so many values. */
  enterList(depth = 0): number {
    if (this.data[this._pos]! >>> 5 !== 4) throw new Error("not a list");
    return this.#openLevel(depth);
  }

  #openLevel(depth: number): number {
    const length = this.#length();
    if (depth === VALUE_DEPTH_MAX) throw new Error(`nesting beyond ${VALUE_DEPTH_MAX} levels`);
    return length;
  }

  #skipMap(depth: number): void {
    const length = this.#openLevel(depth);
    let lastStart = 0;
    let lastEnd = 0;
    for (let n = 0; n < length; n++) {
      const bytes = this.skipText();
      const start = this._pos - bytes;
      if (n > 0 && !precedes(this.data, lastStart, lastEnd, start, this._pos)) throw new Error("keys that are out of order or repeated");
      lastStart = start;
      lastEnd = this._pos;
      this.skip(depth + 1);
    }
  }

  /** The number in a head: a value, a length or a tag. */
  #argument(max: number = Number.MAX_SAFE_INTEGER): number {
    const { data } = this;
    const minor = data[this._pos++]! & 31;
    if (minor < 24) return minor;
    if (minor > 27) throw new Error("an indefinite or reserved length");
    const end = this._pos + (1 << (minor - 24));
    if (end > data.length) throw new Error("a head that is cut off");
    let argument = 0;
    while (this._pos < end) argument = argument * 256 + data[this._pos++]!;
    if (argument < SHORTEST[minor - 24]!) throw new Error("a head in more bytes than necessary");
    if (argument > max) throw new Error("an integer beyond 2^53");
    return argument;
  }

  /** The argument as a length of what follows, each at least one byte long. */
  #length(): number {
    const length = this.#argument();
    if (length > this.data.length - this._pos) throw new Error("a list, map, text or bytes that are cut off");
    return length;
  }

  #bytes(): Uint8Array {
    const length = this.#length();
    return this.data.slice(this._pos, (this._pos += length));
  }

  #text(): string {
    const { data, _pos: head } = this;
    const length = this.#length();
    const start = this._pos;
    const end = (this._pos = start + length);
    if (length > SHORT_TEXT_BYTES_MAX && data[start] !== BYTE_ORDER_MARK_LEAD && isUtf8(data, start, end)) {
      this._pos = head;
      return super.next().value as string;
    }
    const text = shortAscii(data, start, length) ?? decodeUtf8(data, start, end);
    if (text === undefined) throw new Error("a text that is not UTF-8");
    return text;
  }

  #list(depth: number): Value[] {
    const length = this.#openLevel(depth);
    const list: Value[] = [];
    for (let n = 0; n < length; n++) list.push(this.read(depth + 1));
    return list;
  }

  #map(depth: number): { readonly [key: string]: Value } {
    const length = this.#openLevel(depth);
    const map: { [key: string]: Value } = {};
    let lastStart = 0;
    let lastEnd = 0;
    for (let n = 0; n < length; n++) {
      const key = this.readName();
      const end = this._pos;
      const start = end - this.#keyBytes;
      if (n > 0 && !precedes(this.data, lastStart, lastEnd, start, end)) throw new Error("keys that are out of order or repeated");
      lastStart = start;
      lastEnd = end;
      const value = this.read(depth + 1);
      // By assignment it would become the prototype.
      if (key === "__proto__") Object.defineProperty(map, key, { value, configurable: true, enumerable: true, writable: true });
      else map[key] = value;
    }
    return map;
  }

  /** Of the last key's text. */
  #keyBytes = 0;

  #key(): string {
    const { data, _pos: head } = this;
    const length = (this.#keyBytes = this.#length());
    if (length > KNOWN_KEY_BYTES_MAX || length === 0) {
      this._pos = head;
      return this.#text();
    }
    const start = this._pos;
    const slot = (data[start]! * 31 + data[start + length - 1]! * 7 + data[start + (length >> 1)]! + length * 131) % KNOWN_KEYS;
    const known = knownKeys[slot]!;
    if (known.length === length && isText(data, start, known)) {
      this._pos = start + length;
      return known;
    }
    this._pos = head;
    return (knownKeys[slot] = this.#text());
  }

  #bignum(): bigint {
    const tag = this.#argument();
    if ((tag !== 2 && tag !== 3) || this.data[this._pos]! >>> 5 !== 2) throw new Error("a tag round something else than a bignum's bytes");
    const magnitude = bignumFromBytes(this.#bytes());
    return tag === 2 ? magnitude : -1n - magnitude;
  }

  #simple(minor: number): null | boolean | number {
    if (minor === 20 || minor === 21) {
      this._pos++;
      return minor === 21;
    }
    if (minor === 22) {
      this._pos++;
      return null;
    }
    if (minor < 25 || minor > 27) throw new Error("an unknown simple value");
    return this.#float(1 << (minor - 24));
  }

  /** A float is no whole number that an integer could hold, and as short as the encoder makes it. */
  #float(bytes: number): number {
    const start = this._pos + 1;
    const end = start + bytes;
    if (end > this.data.length) throw new Error("a float that is cut off");
    for (let at = start; at < end; at++) floatBytes[at - start] = this.data[at]!;
    this._pos = end;
    const value = bytes === 8 ? floatView.getFloat64(0) : bytes === 4 ? floatView.getFloat32(0) : halfFloat(floatView.getUint16(0));
    if (!Number.isFinite(value)) throw new Error("a float that is no number");
    if (Number.isSafeInteger(value)) throw new Error("a whole number as float");
    const isShortest = floatSize(value) === bytes;
    if (!isShortest) throw new Error("a float in more bytes than necessary");
    return value;
  }
}

/** Source: RFC 8949, appendix D. */
function halfFloat(half: number): number {
  const exponent = (half >>> 10) & 0x1f;
  const mantissa = half & 0x3ff;
  const value = exponent === 0 ? mantissa * 2 ** -24 : exponent === 31 ? NaN : (mantissa + 1024) * 2 ** (exponent - 25);
  return half & 0x8000 ? -value : value;
}

function shortAscii(data: Uint8Array, start: number, length: number): string | undefined {
  if (length > SHORT_TEXT_BYTES_MAX) return undefined;
  const units = shortTexts[length]!;
  let bits = 0;
  for (let at = 0; at < length; at++) bits |= units[at] = data[start + at]!;
  return bits < 0x80 ? String.fromCharCode.apply(null, units) : undefined;
}

/** Whether the bytes from `start` are that text, of as many units; one that is not ASCII is never found. */
function isText(data: Uint8Array, start: number, text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) !== data[start + at]) return false;
  return true;
}

/** Whether the text at `start` comes before the one at `nextStart`: the shorter one, else bytewise. */
function precedes(data: Uint8Array, start: number, end: number, nextStart: number, nextEnd: number): boolean {
  const length = end - start;
  if (length !== nextEnd - nextStart) return length < nextEnd - nextStart;
  for (let i = 0; i < length; i++) {
    const difference = data[start + i]! - data[nextStart + i]!;
    if (difference !== 0) return difference < 0;
  }
  return false;
}

/** Through hexadecimal text, which V8 converts in linear time; shifting in byte after byte takes quadratic time. */
function bignumFromBytes(bytes: Uint8Array): bigint {
  if (bytes.length === 0) return 0n;
  if (bytes[0] === 0) throw new Error("a bignum with a leading zero");
  const digits = new Uint8Array(2 * bytes.length);
  for (let i = 0; i < bytes.length; i++) {
    digits[2 * i] = digitCode(bytes[i]! >> 4);
    digits[2 * i + 1] = digitCode(bytes[i]! & 15);
  }
  return BigInt(`0x${decodeUtf8(digits)}`);
}

function digitCode(value: number): number {
  return value < 10 ? value + 0x30 : value + 0x57;
}

/** Sees through subclasses such as Node's Buffer, whose `slice` makes views. */
function plain(bytes: Uint8Array): Uint8Array {
  if (bytes.constructor === Uint8Array) return bytes;
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
