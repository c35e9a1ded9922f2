import assert from "node:assert/strict";
import { test } from "node:test";
import { StoredValue } from "./stored-value.ts";
import { encodeValue } from "./value-codec.ts";
import type { Value } from "./value.ts";

const VALUES: readonly Value[] = [null, false, 0, "", "text", new Uint8Array([1, 2]), [1, [2]], { a: null }];

for (const value of VALUES) {
  const bytes = encodeValue(value);
  test(`stored value: ${JSON.stringify(value)}: either side is made of the other`, () => {
    const [given, checked] = [StoredValue.of(value), StoredValue.checked(bytes)];
    for (const stored of [given, checked, given, checked]) {
      assert.deepEqual(stored.value, value);
      assert.deepEqual(stored.bytes, bytes);
      assert.equal(stored.byteLength, bytes.length);
    }
    assert.equal(checked.bytes, bytes); // as they are
  });
}

test("stored value: a part of a row is decoded alone, and its bytes are a copy", () => {
  const row = encodeValue(["before", { n: 1 }, "behind"]);
  const part = encodeValue({ n: 1 });
  const start = 1 + encodeValue("before").length;
  const stored = StoredValue.checked(row, start, start + part.length);
  assert.equal(stored.byteLength, part.length);
  assert.deepEqual(stored.value, { n: 1 });
  assert.deepEqual(stored.bytes, part);
  assert.equal(stored.bytes.buffer.byteLength, part.length);
});
