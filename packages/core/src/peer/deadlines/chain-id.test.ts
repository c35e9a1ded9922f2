import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { chainIdFromTargets } from "./chain-id.ts";

/** The definition, with 64-bit numbers and the platform's encoder. */
function fnv1a64(text: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash.toString(16).padStart(16, "0");
}

test("chain id: is FNV-1a 64 of the UTF-8 bytes, for any text and lone surrogates too", () => {
  const texts = fc.oneof(fc.string({ unit: "binary" }), fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units)));
  fc.assert(fc.property(texts, (text) => assert.equal(chainIdFromTargets(text), fnv1a64(text))));
  for (const text of ["", "\ud800", "a\udfffb", "\ud800\ud800\udc00", "é,€,😀", "\uffff"]) {
    assert.equal(chainIdFromTargets(text), fnv1a64(text));
  }
});
