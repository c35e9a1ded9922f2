import assert from "node:assert/strict";
import { test } from "node:test";
import { encode, rfc8949EncodeOptions } from "cborg";
import { structBigIntEncoder } from "cborg/taglib";
import fc from "fast-check";
import { RuntimeError } from "./errors.ts";
import { decodeValue, encodeValue, isValue } from "./value-codec.ts";
import { ValueDecoder } from "./value-decoder.ts";
import type { Value } from "./value.ts";

const text = fc.oneof(fc.string({ unit: "binary", maxLength: 20 }), fc.constantFrom("__proto__", "\ufeff", "constructor", ""));
const value: fc.Arbitrary<Value> = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, true, false),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.float({ noNaN: true, noDefaultInfinity: true }),
    fc.bigInt({ min: -(2n ** 80n), max: 2n ** 80n }),
    text,
    fc.uint8Array({ maxLength: 300 }),
    fc.array(tie("value"), { maxLength: 30 }),
    fc.array(fc.tuple(text, tie("value")), { maxLength: 30 }).map((entries) => Object.fromEntries(entries)),
  ),
})).value;

/** What a value is after a round trip: maps as plain objects, −0 as 0. */
function normal(given: Value): unknown {
  if (Object.is(given, -0)) return 0;
  if (Array.isArray(given)) return given.map(normal);
  if (typeof given !== "object" || given === null || given instanceof Uint8Array) return given;
  return Object.fromEntries(Object.entries(given).map(([key, part]) => [key, normal(part as Value)]));
}

test("value: V1: every value comes back", () => {
  fc.assert(
    fc.property(value, (given) => {
      assert.ok(isValue(given));
      assert.deepEqual(decodeValue(encodeValue(given)), normal(given));
    }),
    { numRuns: 1000 },
  );
});

test("value: the bytes are those of cborg's RFC 8949 options, whatever the order of keys", () => {
  const reference = { ...rfc8949EncodeOptions, typeEncoders: { bigint: structBigIntEncoder } };
  fc.assert(
    fc.property(value.filter((given) => !isLongerInCborg(given)), (given) => {
      assert.deepEqual(Buffer.from(encodeValue(given)), Buffer.from(encode(given, reference)));
    }),
  );
});

/**
 * Against the RFC's preferred form, cborg writes the bignums 0 and −1 with a byte of zero, and some halves below the normal
 * ones (multiples of 2^−24 under 2^−14) as longer floats.
 */
function isLongerInCborg(given: Value): boolean {
  if (given === 0n || given === -1n) return true;
  if (typeof given === "number") return Math.abs(given) < 2 ** -14 && Number.isInteger(given * 2 ** 24);
  if (typeof given !== "object" || given === null || given instanceof Uint8Array) return false;
  return Object.values(given).some((part) => isLongerInCborg(part as Value));
}

test("value: a float takes as few bytes as hold it", () => {
  const examples: [number, string][] = [ // RFC 8949, appendix A, where they are no whole numbers
    [1.5, "f93e00"], [5.960464477539063e-8, "f90001"], [0.00006103515625, "f90400"], [-4.1, "fbc010666666666666"], [1.1, "fb3ff199999999999a"],
    [3.4028234663852886e38, "fa7f7fffff"], [1e300, "fb7e37e43c8800759c"], [-220 * 2 ** -24, "f980dc"],
  ];
  for (const [number, hex] of examples) assert.equal(Buffer.from(encodeValue(number)).toString("hex"), hex);
  for (let units = 1; units < 1 << 10; units++) assert.equal(encodeValue(units * 2 ** -24).length, 3);
});

/** Where the first value ends, or undefined when it is refused. */
function endOf(bytes: Uint8Array, step: (decoder: ValueDecoder) => unknown): number | undefined {
  const decoder = new ValueDecoder(bytes);
  try {
    step(decoder);
    return decoder.pos();
  } catch {
    return undefined;
  }
}

/** Refused, or the bytes are the encoding of what they decode to. What is stepped over is refused as if it were read. */
function checkForeign(bytes: Uint8Array): void {
  assert.equal(endOf(bytes, (decoder) => decoder.skip()), endOf(bytes, (decoder) => decoder.read()));
  let decoded: Value;
  try {
    decoded = decodeValue(bytes);
  } catch (error) {
    assert.ok(error instanceof RuntimeError && error.code === "VALUE_MALFORMED" && error.blame === "peer", String(error));
    return;
  }
  assert.deepEqual(Buffer.from(encodeValue(decoded)), Buffer.from(bytes));
}

test("value: V1, V3: random bytes are refused or canonical", () => {
  fc.assert(fc.property(fc.uint8Array({ minLength: 1, maxLength: 24 }), checkForeign), { numRuns: 5000 });
});

test("value: V1, V3: damaged encodings are refused or canonical", () => {
  const damages = fc.array(fc.record({ at: fc.nat(), byte: fc.nat(255) }), { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(value, damages, fc.nat(3), (given, changes, cut) => {
      const bytes = encodeValue(given);
      for (const { at, byte } of changes) bytes[at % bytes.length] = byte;
      checkForeign(bytes.subarray(0, bytes.length - cut));
    }),
    { numRuns: 2000 },
  );
});
