import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeBase58, encodeBase58 } from "./base58.ts";

// draft-msporny-base58-03, section 5.
const cases = [
  { hex: Buffer.from("Hello World!").toString("hex"), text: "2NEpo7TZRRrLZSi2U" },
  { hex: Buffer.from("The quick brown fox jumps over the lazy dog.").toString("hex"), text: "USm3fpXnKG5EUBx2ndxBDMPVciP5hGey2Jh4NDv6gmeo1LkMeiKrLJUUBk6Z" },
  { hex: "0000287fb4cd", text: "11233QC4" },
  { hex: "", text: "" },
  { hex: "00", text: "1" },
] as const;

for (const { hex, text } of cases) {
  test(`base58: ${hex} is ${text}`, () => {
    assert.equal(encodeBase58(Buffer.from(hex, "hex")), text);
    assert.equal(Buffer.from(decodeBase58(text)!).toString("hex"), hex);
  });
}

test("base58: the number in base 58, with a 1 for each leading zero", () => {
  const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
  fc.assert(
    fc.property(fc.nat(3), fc.uint8Array({ maxLength: 60 }), (zeros, tail) => {
      const bytes = Uint8Array.from([...new Uint8Array(zeros), ...tail]);
      let number = bytes.length === 0 ? 0n : BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
      let expected = "";
      for (; number > 0n; number /= 58n) expected = alphabet[Number(number % 58n)]! + expected;
      for (let i = 0; i < bytes.length && bytes[i] === 0; i++) expected = `1${expected}`;
      assert.equal(encodeBase58(bytes), expected);
      assert.deepEqual(decodeBase58(expected), bytes);
    }),
    { numRuns: 1000 },
  );
});

test("base58: a text of the alphabet is the encoding of what it decodes to", () => {
  const digit = fc.constantFrom(..."123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz");
  fc.assert(
    fc.property(fc.string({ unit: digit, maxLength: 70 }), (text) => {
      assert.equal(encodeBase58(decodeBase58(text)!), text);
    }),
    { numRuns: 1000 },
  );
});

for (const text of ["0", "O", "I", "l", "1 ", "abc\u0100", "zz€"]) {
  test(`base58: refuses ${JSON.stringify(text)}`, () => {
    assert.equal(decodeBase58(text), undefined);
  });
}
