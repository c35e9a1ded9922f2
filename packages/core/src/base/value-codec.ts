import { RuntimeError } from "./errors.ts";
import { utf8Length } from "./utf8.ts";
import { ValueDecoder } from "./value-decoder.ts";
import { bignumDigits, writeValue } from "./value-encoder.ts";
import { VALUE_BYTES_MAX, VALUE_DEPTH_MAX } from "./value.ts";
import type { Value } from "./value.ts";

/**
 * Values as deterministic CBOR (RFC 8949 §4.2.1): one value, one sequence of bytes, on every node and for ever, so
 * that encodings can be hashed and compared. `value-encoder.ts` writes and `value-decoder.ts` reads; this file adds what
 * a runtime needs around them:
 *
 *   V1. A value that encodes decodes to the same value; bytes that decode encode to the same bytes.
 *   V2. A number stays a number and a bigint a bigint: bigints are always bignums (tags 2 and 3), also small ones,
 *       which is where we differ from the RFC. −0 becomes 0.
 *   V3. Foreign bytes can only cause VALUE_MALFORMED, at a cost in proportion to their length.
 */

/** Encodings up to here go through one buffer that is kept, and are copied out; almost all of them. */
const SCRATCH_BYTES = 16 * 1024;
/** A float takes 3, 5 or 9 bytes and is measured as 9: so a measure is at most this much above the truth. */
const MEASURE_RATIO_MAX = 3;

/** What `measure` returns in place of a size. */
const INVALID = -1;
const TOO_LARGE = -2;

const scratch = new Uint8Array(SCRATCH_BYTES);

/**
 * Encodes a value into fresh bytes.
 *
 * Throws VALUE_INVALID with the path of the first part that is no value, VALUE_TOO_LARGE beyond `limit` bytes.
 */
export function encodeValue(value: Value, limit: number = VALUE_BYTES_MAX): Uint8Array {
  const size = checkedSize(value, limit);
  const target = size <= SCRATCH_BYTES ? scratch : new Uint8Array(size);
  const written = writeValue(value, target, 0);
  if (written > limit) throw new RuntimeError("VALUE_TOO_LARGE", { bytes: written, limit });
  // A buffer of the very size needs no copy; a larger one would keep its unused rest alive.
  return written === size && target !== scratch ? target : target.slice(0, written);
}

/**
 * Decodes exactly one value. The result shares no bytes with `bytes`; keys such as `__proto__` are plain entries.
 *
 * Throws VALUE_MALFORMED for anything that `encodeValue` cannot have made.
 */
export function decodeValue(bytes: Uint8Array): Value {
  if (bytes.length === 0 || bytes.length > VALUE_BYTES_MAX) throw malformed(`a value of ${bytes.length} bytes`);
  const decoder = new ValueDecoder(bytes);
  let value: Value;
  try {
    value = decoder.read();
  } catch (error) {
    // Nothing but the bytes can make it throw.
    throw malformed(error instanceof Error ? error.message : String(error));
  }
  if (!decoder.done()) throw malformed(`${bytes.length - decoder.pos()} bytes behind the value`);
  return value;
}

export function isValue(candidate: unknown): candidate is Value {
  return measure(candidate, 0, VALUE_BYTES_MAX * MEASURE_RATIO_MAX, []) >= 0;
}

/** Throws VALUE_INVALID with `path` (such as `$.items[3].name`) and what was `found` there. */
export function checkValue(candidate: unknown): asserts candidate is Value {
  checkedSize(candidate, VALUE_BYTES_MAX);
}

/** Upper bound of the encoded bytes, at most MEASURE_RATIO_MAX times too large. */
function checkedSize(candidate: unknown, limit: number): number {
  const trail: string[] = [];
  const size = measure(candidate, 0, limit * MEASURE_RATIO_MAX, trail);
  if (size === TOO_LARGE) throw new RuntimeError("VALUE_TOO_LARGE", { limit });
  if (size === INVALID) {
    const [found, ...steps] = trail;
    throw new RuntimeError("VALUE_INVALID", { path: `$${steps.reverse().join("")}`, found });
  }
  return size;
}

/**
 * Measures and checks in one walk. Returns INVALID or TOO_LARGE instead of throwing, so that the path is put together
 * on the way back and only when it is needed: `trail` gets what was found, then the steps from the inside out.
 *
 * Stopping at `sizeMax` inside each list and map also bounds the walk over shared parts, whose number of visits can be
 * exponential, and the depth bounds it over cycles.
 */
function measure(part: unknown, depth: number, sizeMax: number, trail: string[]): number {
  switch (typeof part) {
    case "boolean":
      return 1;
    case "number":
      if (Number.isSafeInteger(part)) return headSize(part < 0 ? -1 - part : part);
      return Number.isFinite(part) ? 9 : invalid(String(part), trail);
    case "bigint":
      return 1 + textSize(bignumDigits(part).length / 2);
    case "string": {
      const bytes = utf8Length(part);
      return bytes < 0 ? invalid("a string with a lone surrogate", trail) : textSize(bytes);
    }
    case "object":
      if (part === null) return 1;
      if (part instanceof Uint8Array) return textSize(part.length);
      if (depth === VALUE_DEPTH_MAX) return invalid(`nesting beyond ${VALUE_DEPTH_MAX} levels`, trail);
      if (Array.isArray(part)) return measureList(part, depth + 1, sizeMax, trail);
      return measureMap(part, depth + 1, sizeMax, trail);
    default:
      return invalid(part === undefined ? "undefined" : `a ${typeof part}`, trail);
  }
}

function measureList(list: readonly unknown[], depth: number, sizeMax: number, trail: string[]): number {
  if (Object.getPrototypeOf(list) !== Array.prototype) return invalid(className(list), trail);
  let size = headSize(list.length);
  for (let i = 0; i < list.length; i++) {
    const added = measure(list[i], depth, sizeMax, trail);
    if (added < 0) {
      if (added === INVALID) trail.push(`[${i}]`);
      return added;
    }
    size += added;
    if (size > sizeMax) return TOO_LARGE;
  }
  return size;
}

function measureMap(map: object, depth: number, sizeMax: number, trail: string[]): number {
  const prototype: unknown = Object.getPrototypeOf(map);
  if (prototype !== Object.prototype && prototype !== null) return invalid(className(map), trail);
  if (Object.getOwnPropertySymbols(map).length > 0) return invalid("a symbol as key", trail);
  const keys = Object.keys(map);
  let size = headSize(keys.length);
  for (const key of keys) {
    const keyBytes = utf8Length(key);
    if (keyBytes < 0) return invalid("a key with a lone surrogate", trail);
    const added = measure((map as Record<string, unknown>)[key], depth, sizeMax, trail);
    if (added < 0) {
      if (added === INVALID) trail.push(/^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`);
      return added;
    }
    size += textSize(keyBytes) + added;
    if (size > sizeMax) return TOO_LARGE;
  }
  return size;
}

function invalid(found: string, trail: string[]): typeof INVALID {
  trail.push(found);
  return INVALID;
}

function className(object: object): string {
  const { constructor } = object as { constructor?: { name?: unknown } };
  return `an instance of ${typeof constructor?.name === "string" ? constructor.name : "a class"}`;
}

/** Bytes of a CBOR head with this argument. */
function headSize(argument: number): number {
  if (argument < 24) return 1;
  if (argument < 0x100) return 2;
  if (argument < 0x1_0000) return 3;
  return argument < 0x1_0000_0000 ? 5 : 9;
}

function textSize(bytes: number): number {
  return headSize(bytes) + bytes;
}

function malformed(reason: string): RuntimeError {
  return new RuntimeError("VALUE_MALFORMED", { reason });
}
