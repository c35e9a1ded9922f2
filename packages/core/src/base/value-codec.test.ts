import assert from "node:assert/strict";
import { test } from "node:test";
import { RuntimeError } from "./errors.ts";
import { checkValue, decodeValue, encodeValue, isValue } from "./value-codec.ts";
import { VALUE_BYTES_MAX, VALUE_DEPTH_MAX } from "./value.ts";
import type { Value } from "./value.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const fromHex = (text: string) => Uint8Array.from(Buffer.from(text, "hex"));

function refuses(code: string, details: Record<string, unknown> = {}): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof RuntimeError, String(error));
    assert.equal(error.code, code);
    for (const [key, value] of Object.entries(details)) assert.equal(error.details[key], value);
    return true;
  };
}

function nested(levels: number): Value {
  let value: Value = [];
  for (let i = 1; i < levels; i++) value = i % 2 === 0 ? [value] : { a: value };
  return value;
}

// Most are from RFC 8949, appendix A.
const encodings: readonly { value: Value; bytes: string }[] = [
  { value: null, bytes: "f6" },
  { value: true, bytes: "f5" },
  { value: 0, bytes: "00" },
  { value: 23, bytes: "17" },
  { value: 24, bytes: "1818" },
  { value: 1_000_000, bytes: "1a000f4240" },
  { value: Number.MAX_SAFE_INTEGER, bytes: "1b001fffffffffffff" },
  { value: -1, bytes: "20" },
  { value: Number.MIN_SAFE_INTEGER, bytes: "3b001ffffffffffffe" },
  { value: 1.5, bytes: "f93e00" },
  { value: 100_000.5, bytes: "fa47c35040" },
  { value: 1.1, bytes: "fb3ff199999999999a" },
  { value: 2 ** 53, bytes: "fa5a000000" },
  { value: 18446744073709551616n, bytes: "c249010000000000000000" },
  { value: -18446744073709551617n, bytes: "c349010000000000000000" },
  { value: 0n, bytes: "c240" },
  { value: -1n, bytes: "c340" },
  { value: 1n, bytes: "c24101" },
  { value: Uint8Array.of(1, 2, 3, 4), bytes: "4401020304" },
  { value: "ü", bytes: "62c3bc" },
  { value: [1, [2, 3], [4, 5]], bytes: "8301820203820405" },
  { value: { b: [2, 3], a: 1 }, bytes: "a26161016162820203" },
  { value: { aa: 1, b: 2 }, bytes: "a261620262616101" },
];

for (const { value, bytes } of encodings) {
  test(`value: V1: ${bytes}`, () => {
    assert.equal(hex(encodeValue(value)), bytes);
    assert.deepEqual(decodeValue(fromHex(bytes)), value);
  });
}

test("value: V2: minus zero becomes zero", () => {
  assert.equal(hex(encodeValue(-0)), "00");
});

class Point {
  x = 1;
}
const cycle: unknown[] = [];
cycle.push({ again: cycle });

const invalid: readonly { name: string; value: unknown; path: string; found: string }[] = [
  { name: "undefined", value: undefined, path: "$", found: "undefined" },
  { name: "NaN", value: [NaN], path: "$[0]", found: "NaN" },
  { name: "infinity", value: { "a b": -Infinity }, path: '$["a b"]', found: "-Infinity" },
  { name: "a function", value: { items: [1, { name: () => 1 }] }, path: "$.items[1].name", found: "a function" },
  { name: "a symbol", value: Symbol("s"), path: "$", found: "a symbol" },
  { name: "a hole", value: [1, , 3], path: "$[1]", found: "undefined" },
  { name: "an undefined property", value: { a: undefined }, path: "$.a", found: "undefined" },
  { name: "a class instance", value: { p: new Point() }, path: "$.p", found: "an instance of Point" },
  { name: "a date", value: [new Date(0)], path: "$[0]", found: "an instance of Date" },
  { name: "a map", value: new Map(), path: "$", found: "an instance of Map" },
  { name: "another typed array", value: new Uint16Array(1), path: "$", found: "an instance of Uint16Array" },
  { name: "an array of a subclass", value: new (class List extends Array {})(), path: "$", found: "an instance of List" },
  { name: "a symbol as key", value: { a: { [Symbol("s")]: 1 } }, path: "$.a", found: "a symbol as key" },
  { name: "a lone surrogate", value: ["\ud800"], path: "$[0]", found: "a string with a lone surrogate" },
  { name: "a key with one", value: { "\udc00": 1 }, path: "$", found: "a key with a lone surrogate" },
  { name: "deep nesting", value: nested(VALUE_DEPTH_MAX + 1), path: `$${"[0].a".repeat(VALUE_DEPTH_MAX / 2)}`, found: "nesting beyond 64 levels" },
];

for (const { name, value, path, found } of invalid) {
  test(`value: refuses ${name}, and says where`, () => {
    assert.throws(() => checkValue(value), refuses("VALUE_INVALID", { path, found }));
    assert.throws(() => encodeValue(value as Value), refuses("VALUE_INVALID", { path, found }));
    assert.equal(isValue(value), false);
  });
}

test("value: a cycle is refused, not followed", () => {
  assert.throws(() => encodeValue(cycle as Value), refuses("VALUE_INVALID"));
});

test("value: parts shared so often that the encoding explodes are refused quickly", () => {
  let value: Value = ["x".repeat(100)];
  for (let i = 0; i < 50; i++) value = [value, value];
  assert.throws(() => encodeValue(value, 1_000_000), refuses("VALUE_TOO_LARGE"));
});

test("value: the limit is on the encoded bytes, exactly", () => {
  const value = [1.5, 2.5, 3.5]; // 1 + 3 × 3 bytes
  assert.equal(encodeValue(value, 10).length, 10);
  assert.throws(() => encodeValue(value, 9), refuses("VALUE_TOO_LARGE", { limit: 9 }));
});

test("value: nesting up to the limit works in both directions", () => {
  const value = nested(VALUE_DEPTH_MAX);
  assert.deepEqual(decodeValue(encodeValue(value)), value);
});

test("value: hostile nesting is refused without recursion", () => {
  for (const byte of [0x81, 0xa1, 0xc2, 0x9f, 0xd8]) {
    assert.throws(() => decodeValue(new Uint8Array(1_000_000).fill(byte)), refuses("VALUE_MALFORMED"));
  }
  assert.throws(() => decodeValue(new Uint8Array(VALUE_DEPTH_MAX + 1).fill(0x81).fill(0x80, -1)), refuses("VALUE_MALFORMED"));
});

const malformed = [
  { name: "no bytes", bytes: "" },
  { name: "a second value", bytes: "0000" },
  { name: "a long integer head", bytes: "1817" },
  { name: "a long text head", bytes: "780161" },
  { name: "a long text head of 2 bytes", bytes: `790017${"61".repeat(23)}` },
  { name: "a long list head", bytes: "980100" },
  { name: "a long tag head", bytes: "d80241ff" },
  { name: "an integer beyond 2^53", bytes: "1b0020000000000000" },
  { name: "a negative integer beyond 2^53", bytes: "3b001fffffffffffff" },
  { name: "an integer as float", bytes: "f93c00" },
  { name: "minus zero", bytes: "f98000" },
  { name: "a half float in 4 bytes", bytes: "fa3fc00000" },
  { name: "a half float in 8 bytes", bytes: "fb3ff8000000000000" },
  { name: "NaN", bytes: "f97e00" },
  { name: "another NaN", bytes: "f97e01" },
  { name: "infinity", bytes: "f97c00" },
  { name: "undefined", bytes: "f7" },
  { name: "a simple value", bytes: "e0" },
  { name: "an indefinite list", bytes: "9fff" },
  { name: "an indefinite map", bytes: "bfff" },
  { name: "an indefinite text", bytes: "7f6161ff" },
  { name: "a break", bytes: "ff" },
  { name: "keys out of order", bytes: "a2616201616101" },
  { name: "keys out of order by length", bytes: "a262616101616202" },
  { name: "a repeated key", bytes: "a2616101616102" },
  { name: "a key that is a number", bytes: "a10101" },
  { name: "a key that is a bignum", bytes: "a1c2410101" },
  { name: "invalid UTF-8", bytes: "61ff" },
  { name: "invalid UTF-8 in a long text", bytes: `7890${"61".repeat(143)}ff` },
  { name: "a date", bytes: "c11a514b67b0" },
  { name: "a bignum of a text", bytes: "c26161" },
  { name: "a bignum of a bignum", bytes: "c2c24101" },
  { name: "a bignum with a leading zero", bytes: "c2420001" },
  { name: "a tag without content", bytes: "c2" },
  { name: "bytes that are cut off", bytes: "4401" },
  { name: "a list that claims 2^32 items", bytes: "9affffffff00" },
  { name: "bytes that claim 4 GiB", bytes: "5affffffff00" },
  { name: "a text that claims 4 GiB", bytes: "7affffffff00" },
] as const;

for (const { name, bytes } of malformed) {
  test(`value: V3: ${name} is malformed`, () => {
    assert.throws(() => decodeValue(fromHex(bytes)), refuses("VALUE_MALFORMED"));
  });
}

test("value: __proto__ and its like are plain keys", () => {
  const value = JSON.parse('{"__proto__":{"polluted":true},"constructor":1,"toString":2}') as Value;
  const back = decodeValue(encodeValue(value));
  assert.deepEqual(Object.getOwnPropertyNames(back).sort(), ["__proto__", "constructor", "toString"]);
  assert.equal(Object.getPrototypeOf(back), Object.prototype);
  assert.equal(({} as { polluted?: boolean }).polluted, undefined);
});

test("value: an object without prototype is a map", () => {
  assert.equal(hex(encodeValue(Object.assign(Object.create(null), { a: 1 }))), "a1616101");
});

test("value: a byte-order mark survives, in short texts and long", () => {
  for (const text of ["\ufeffa", `\ufeff${"a".repeat(500)}`]) assert.equal(decodeValue(encodeValue(text)), text);
});

test("value: what is decoded shares no bytes with the input, even a Buffer", () => {
  const bytes = Buffer.from(encodeValue([Uint8Array.of(1, 2, 3)]));
  const [decoded] = decodeValue(bytes) as [Uint8Array];
  bytes.fill(0xff);
  assert.deepEqual(decoded, Uint8Array.of(1, 2, 3));
});

test("value: encodings are fresh, plain and of the very size", () => {
  for (const size of [1, 200, 5_000, 50_000]) {
    const bytes = encodeValue(new Uint8Array(size));
    assert.equal(bytes.constructor, Uint8Array);
    assert.equal(bytes.buffer.byteLength, bytes.length);
  }
});

test("value: a large bignum takes linear time", () => {
  const value = (1n << 4_000_000n) + 1n;
  assert.equal(decodeValue(encodeValue(value)), value);
});

test("value: bytes beyond the limit are malformed before they are read", () => {
  assert.throws(() => decodeValue(new Uint8Array(VALUE_BYTES_MAX + 1)), refuses("VALUE_MALFORMED"));
});
