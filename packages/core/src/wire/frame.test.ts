import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { RuntimeError } from "../base/errors.ts";
import { encodeFrame, FrameReader } from "./frame.ts";

function code(expected: string): (error: unknown) => boolean {
  return (error) => error instanceof RuntimeError && error.code === expected && error.blame === "peer";
}

function drain(reader: FrameReader): Uint8Array[] {
  const bodies: Uint8Array[] = [];
  for (let body = reader.pollBody(); body !== undefined; body = reader.pollBody()) bodies.push(body);
  return bodies;
}

test("frame: cuts do not matter", () => {
  const bodies = fc.array(fc.uint8Array({ minLength: 1, maxLength: 700 }), { maxLength: 8 });
  const cuts = fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1 }).filter((sizes) => sizes.some((size) => size > 0));
  fc.assert(
    fc.property(bodies, fc.oneof(cuts, fc.constant([5000])), (sent, sizes) => {
      const stream = new Uint8Array(Buffer.concat(sent.map(encodeFrame)));
      const reader = new FrameReader(700);
      const received: Uint8Array[] = [];
      for (let at = 0, turn = 0; at < stream.length; turn++) {
        const end = at + sizes[turn % sizes.length]!;
        reader.push(stream.subarray(at, end));
        received.push(...drain(reader));
        at = end;
      }
      assert.deepEqual(received, sent);
    }),
    { numRuns: 500 },
  );
});

test("frame: a body that lies whole in a chunk is a view into it", () => {
  const chunk = encodeFrame(Uint8Array.of(1, 2, 3));
  const reader = new FrameReader(3);
  reader.push(chunk);
  assert.equal(reader.pollBody()?.buffer, chunk.buffer);
});

test("frame: F2: a body in pieces does not keep the chunks", () => {
  const bytes = encodeFrame(Uint8Array.of(1, 2, 3));
  const reader = new FrameReader(3);
  for (const byte of bytes) {
    const chunk = Uint8Array.of(byte);
    reader.push(chunk);
    for (const body of drain(reader)) assert.deepEqual(body, Uint8Array.of(1, 2, 3));
    chunk.fill(0xff);
  }
});

test("frame: F1: a frame beyond the limit is refused as soon as its length is known", () => {
  const reader = new FrameReader(16);
  reader.push(Uint8Array.of(0, 0, 0));
  assert.equal(reader.pollBody(), undefined);
  reader.push(Uint8Array.of(17));
  assert.throws(() => reader.pollBody(), code("FRAME_TOO_LARGE"));
});

test("frame: a length of 2^31 and more is no negative number", () => {
  const reader = new FrameReader(16 * 1024 * 1024);
  reader.push(Uint8Array.of(0xff, 0xff, 0xff, 0xff));
  assert.throws(() => reader.pollBody(), code("FRAME_TOO_LARGE"));
});

test("frame: an empty frame is malformed", () => {
  const reader = new FrameReader(16);
  reader.push(new Uint8Array(4));
  assert.throws(() => reader.pollBody(), code("FRAME_MALFORMED"));
});

test("frame: a reader that failed stays failed, whatever comes after", () => {
  const reader = new FrameReader(16);
  reader.push(new Uint8Array(4));
  assert.throws(() => reader.pollBody(), code("FRAME_MALFORMED"));
  reader.push(encodeFrame(Uint8Array.of(1)));
  assert.throws(() => reader.pollBody(), code("FRAME_MALFORMED"));
});

test("frame: the limit can rise between two frames of one chunk", () => {
  const reader = new FrameReader(2);
  reader.push(new Uint8Array(Buffer.concat([encodeFrame(Uint8Array.of(1, 2)), encodeFrame(Uint8Array.of(1, 2, 3))])));
  assert.equal(reader.pollBody()?.length, 2);
  reader.setLimit(3);
  assert.equal(reader.pollBody()?.length, 3);
});

test("frame: F2: a megabyte in single bytes takes linear time", () => {
  const bytes = encodeFrame(new Uint8Array(1_000_000).fill(7));
  const reader = new FrameReader(1_000_000);
  let received: Uint8Array | undefined;
  for (let at = 0; at < bytes.length; at++) {
    reader.push(bytes.subarray(at, at + 1));
    received = reader.pollBody();
    if (received === undefined) continue;
    assert.equal(reader.pollBody(), undefined);
  }
  assert.equal(received?.length, 1_000_000);
});

test("frame: what follows a frame can be taken as it is", () => {
  const reader = new FrameReader(100);
  reader.push(new Uint8Array([...encodeFrame(new Uint8Array([1, 2])), 7, 8, 9]));
  assert.deepEqual(reader.pollBody(), new Uint8Array([1, 2]));
  assert.deepEqual(reader.takeRest(), new Uint8Array([7, 8, 9]));
  assert.deepEqual(reader.takeRest(), new Uint8Array());
  assert.equal(reader.pollBody(), undefined);
});
