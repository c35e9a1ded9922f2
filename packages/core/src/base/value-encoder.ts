import { utf8Length, writeUtf8 } from "./utf8.ts";
import type { Value } from "./value.ts";

const FALSE = 0xf4;
const TRUE = 0xf5;
const NULL = 0xf6;
const POSITIVE_BIGNUM = 0xc2;
const NEGATIVE_BIGNUM = 0xc3;
/** A double's head; a float's and a half's are the two before it. */
const DOUBLE = 0xfb;

const floatView = new DataView(new ArrayBuffer(8));

/**
 * Writes a value as deterministic CBOR (RFC 8949 §4.2.1) at `at`, and returns the position behind it. It has been
 * measured: it is a value, and `target` has room for it.
 */
export function writeValue(value: Value, target: Uint8Array, at: number): number {
  switch (typeof value) {
    case "string": return writeText(value, target, at);
    case "number": return writeNumber(value, target, at);
    case "boolean":
      target[at] = value ? TRUE : FALSE;
      return at + 1;
    case "bigint": return writeBignum(value, target, at);
    default:
      if (value === null) {
        target[at] = NULL;
        return at + 1;
      }
      if (value instanceof Uint8Array) return writeBytes(value, target, at);
      if (Array.isArray(value)) return writeList(value as readonly Value[], target, at);
      return writeMap(value as { readonly [key: string]: Value }, target, at);
  }
}

/** How many bytes a float that is no safe integer takes behind its head: the shortest that holds it. */
export function floatSize(value: number): 2 | 4 | 8 {
  if (Math.fround(value) !== value) return 8;
  return halfBits(value) === undefined ? 4 : 2;
}

function writeNumber(value: number, target: Uint8Array, at: number): number {
  if (Number.isSafeInteger(value)) return value < 0 ? writeHead(1, -1 - value, target, at) : writeHead(0, value, target, at);
  const bytes = floatSize(value);
  if (bytes === 2) floatView.setUint16(0, halfBits(value)!);
  else if (bytes === 4) floatView.setFloat32(0, value);
  else floatView.setFloat64(0, value);
  target[at++] = bytes === 8 ? DOUBLE : bytes === 4 ? DOUBLE - 1 : DOUBLE - 2;
  for (let n = 0; n < bytes; n++) target[at++] = floatView.getUint8(n);
  return at;
}

/** A float's half, if it is exact: 11 significant bits, exponents −14 to 15, and below that multiples of 2^−24. */
function halfBits(value: number): number | undefined {
  floatView.setFloat32(0, value);
  const bits = floatView.getUint32(0);
  const sign = (bits >>> 16) & 0x8000;
  const exponent = ((bits >>> 23) & 0xff) - 127;
  const mantissa = bits & 0x7f_ffff;
  if (exponent > 15) return undefined;
  if (exponent >= -14) return (mantissa & 0x1fff) === 0 ? sign | ((exponent + 15) << 10) | (mantissa >>> 13) : undefined;
  const units = Math.abs(value) * 2 ** 24;
  return Number.isInteger(units) ? sign | units : undefined;
}

/** The bytes of the magnitude, without leading zeros; none for 0 and −1 (RFC 8949 §3.4.3). */
function writeBignum(value: bigint, target: Uint8Array, at: number): number {
  target[at++] = value < 0n ? NEGATIVE_BIGNUM : POSITIVE_BIGNUM;
  const digits = bignumDigits(value);
  at = writeHead(2, digits.length / 2, target, at);
  for (let n = 0; n < digits.length; n += 2) target[at++] = Number.parseInt(digits.slice(n, n + 2), 16);
  return at;
}

/** An even number of hexadecimal digits. V8 makes them in linear time; shifting out byte after byte takes quadratic time. */
export function bignumDigits(value: bigint): string {
  const unsigned = value < 0n ? -1n - value : value;
  if (unsigned === 0n) return "";
  const digits = unsigned.toString(16);
  return digits.length % 2 === 0 ? digits : `0${digits}`;
}

function writeText(text: string, target: Uint8Array, at: number): number {
  return writeUtf8(text, target, writeHead(3, utf8Length(text), target, at));
}

function writeBytes(bytes: Uint8Array, target: Uint8Array, at: number): number {
  at = writeHead(2, bytes.length, target, at);
  target.set(bytes, at);
  return at + bytes.length;
}

function writeList(list: readonly Value[], target: Uint8Array, at: number): number {
  at = writeHead(4, list.length, target, at);
  for (let n = 0; n < list.length; n++) at = writeValue(list[n] as Value, target, at);
  return at;
}

function writeMap(map: { readonly [key: string]: Value }, target: Uint8Array, at: number): number {
  const keys = Object.keys(map);
  if (keys.length > 1) keys.sort(compareKeys);
  at = writeHead(5, keys.length, target, at);
  for (const key of keys) at = writeValue(map[key] as Value, target, writeText(key, target, at));
  return at;
}

/** The bytewise order of the encoded keys: shorter ones first, since a text's head grows with its length. */
function compareKeys(a: string, b: string): number {
  const longer = utf8Length(a) - utf8Length(b);
  if (longer !== 0) return longer;
  for (let n = 0; n < a.length; n++) {
    const difference = rank(a.charCodeAt(n)) - rank(b.charCodeAt(n));
    if (difference !== 0) return difference;
  }
  return 0;
}

/** UTF-16 units in the order of code points: surrogates stand for what lies beyond all others. */
function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x1_0000 : unit;
}

function writeHead(major: number, argument: number, target: Uint8Array, at: number): number {
  const type = major << 5;
  if (argument < 24) {
    target[at] = type | argument;
    return at + 1;
  }
  if (argument < 0x100) {
    target[at] = type | 24;
    target[at + 1] = argument;
    return at + 2;
  }
  if (argument < 0x1_0000) {
    target[at] = type | 25;
    target[at + 1] = argument >>> 8;
    target[at + 2] = argument & 0xff;
    return at + 3;
  }
  if (argument < 0x1_0000_0000) {
    target[at] = type | 26;
    return writeUint32(argument, target, at + 1);
  }
  target[at] = type | 27;
  return writeUint32(argument % 0x1_0000_0000, target, writeUint32(Math.floor(argument / 0x1_0000_0000), target, at + 1));
}

function writeUint32(word: number, target: Uint8Array, at: number): number {
  target[at] = word >>> 24;
  target[at + 1] = (word >>> 16) & 0xff;
  target[at + 2] = (word >>> 8) & 0xff;
  target[at + 3] = word & 0xff;
  return at + 4;
}
