import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeUtf8, utf8Length, writeUtf8 } from "./utf8.ts";

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function reference(bytes: Uint8Array): string | undefined {
  try {
    return strict.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Bytes that are often almost UTF-8: leads and continuations in any order. */
const nearUtf8 = fc.array(
  fc.oneof(
    fc.constantFrom(0x00, 0x41, 0x7f, 0x80, 0xbf, 0xc0, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0xff, 0x9f, 0xa0, 0x8f, 0x90),
    fc.integer({ min: 0, max: 255 }),
  ),
  { maxLength: 40 },
);
/** Any text, long enough to pass through every path: short ASCII, its tail, the buffer of units. */
const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.tuple(fc.string({ unit: "binary", maxLength: 40 }), fc.nat(400)).map(([part, times]) => part.repeat(times)),
);

test("utf8: every text encodes as the platform does, and back", () => {
  fc.assert(
    fc.property(text, (given) => {
      const bytes = new Uint8Array(utf8Length(given));
      assert.equal(writeUtf8(given, bytes, 0), bytes.length);
      assert.deepEqual(Buffer.from(bytes), Buffer.from(given));
      assert.equal(decodeUtf8(bytes), given);
    }),
  );
});

test("utf8: accepts exactly the bytes that the platform's strict decoder accepts", () => {
  fc.assert(
    fc.property(nearUtf8, (given) => {
      const bytes = Uint8Array.from(given);
      assert.equal(decodeUtf8(bytes), reference(bytes));
    }),
    { numRuns: 3000 },
  );
});

test("utf8: every lead and every second byte is judged alike", () => {
  for (let first = 0x80; first < 0x100; first++) {
    for (let second = 0; second < 0x100; second++) {
      for (const rest of [[], [0x80], [0x80, 0x80], [0xbf, 0x41]]) {
        const bytes = Uint8Array.from([first, second, ...rest]);
        assert.equal(decodeUtf8(bytes), reference(bytes), bytes.join());
      }
    }
  }
});

test("utf8: a byte-order mark is text", () => {
  assert.equal(decodeUtf8(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)), "\ufeffa");
});

for (const lone of ["\ud800", "a\udfff", "\udc00\ud800", "\ud800\ud800\udc00"]) {
  test(`utf8: a lone surrogate has no encoding: ${JSON.stringify(lone)}`, () => {
    assert.equal(utf8Length(lone), -1);
  });
}

test("utf8: only the given range is decoded", () => {
  assert.equal(decodeUtf8(Uint8Array.of(0xff, 0x61, 0x62, 0xff), 1, 3), "ab");
});
