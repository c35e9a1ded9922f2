import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { TermCounter } from "./tokenizer.ts";

/** The definition, word for word. */
function naive(documents: readonly Uint8Array[]): Map<string, [occurrences: number, documents: number]> {
  const counts = new Map<string, [number, number]>();
  for (const bytes of documents) {
    const runs = Buffer.from(bytes).toString("latin1").match(/[A-Za-z0-9_]+/g) ?? [];
    const terms = runs.map((run) => run.toLowerCase()).filter((run) => run.length >= 2 && run.length <= 64);
    for (const term of terms) counts.set(term, [(counts.get(term)?.[0] ?? 0) + 1, counts.get(term)?.[1] ?? 0]);
    for (const term of new Set(terms)) (counts.get(term) as [number, number])[1]++;
  }
  return counts;
}

const word = fc.oneof(
  fc.stringMatching(/^[A-Za-z0-9_]{1,4}$/),
  fc.constantFrom("a".repeat(63), "b".repeat(64), "C".repeat(65), "d".repeat(66), "é", "_", "Z9"),
);
const document = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc.array(fc.tuple(word, fc.constantFrom(" ", "\n", "-", "@", "[", "`", "{", "/", ":", "")), { maxLength: 60 })
    .map((parts) => Uint8Array.from(Buffer.from(parts.flat().join("")))),
);

test("tokenizer: counts what the definition counts, however the documents are cut", () => {
  fc.assert(fc.property(fc.array(document, { maxLength: 6 }), fc.integer({ min: 1, max: 80 }), (documents, size) => {
    const counter = new TermCounter();
    for (const bytes of documents) {
      for (let at = 0; at < bytes.length; at += size) counter.push(bytes.subarray(at, at + size));
      counter.endDocument();
    }
    const counted = new Map([...counter.terms()].map(({ term, occurrences, documents: holders }) => [term, [occurrences, holders]]));
    const expected = naive(documents);
    assert.deepEqual(counted, expected);
    assert.equal(counter.documents, documents.length);
    assert.equal(counter.bytes, documents.reduce((sum, bytes) => sum + bytes.length, 0));
    assert.equal(counter.postings, [...expected.values()].reduce((sum, [, holders]) => sum + holders, 0));
  }));
});

test("tokenizer: the tables grow with the terms", () => {
  const counter = new TermCounter();
  for (let round = 0; round < 2; round++) {
    for (let n = 0; n < 50_000; n++) counter.push(Buffer.from(`term_${n} `));
    counter.endDocument();
  }
  const terms = [...counter.terms()];
  assert.equal(terms.length, 50_000);
  assert.ok(terms.every(({ term, occurrences, documents }, n) => term === `term_${n}` && occurrences === 2 && documents === 2));
});
