import assert from "node:assert/strict";
import { test } from "node:test";
import { sha256, sha256Hex } from "./sha256.ts";

// FIPS 180-4 examples.
const cases = [
  { text: "", hex: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
  { text: "abc", hex: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
] as const;

for (const { text, hex } of cases) {
  test(`sha256: of ${JSON.stringify(text)}`, () => {
    assert.equal(sha256Hex(Buffer.from(text)), hex);
    assert.equal(Buffer.from(sha256(Buffer.from(text))).toString("hex"), hex);
  });
}
