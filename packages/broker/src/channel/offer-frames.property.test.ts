import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { RuntimeError } from "@holdfast/core/peer";
import { encodeOffer, OfferFrames } from "./offer-frames.ts";
import type { OfferHead } from "./handoff-channel.ts";

class Handle {
  closes = 0;
  readonly id: number;

  constructor(id: number) {
    this.id = id;
  }

  close(): void {
    this.closes++;
  }
}

interface Sent {
  readonly rest: Uint8Array;
  /** What became of its descriptor: the process had too many when it was read, or nobody sent one. */
  readonly descriptor: "arrives" | "dropped" | "none";
  /** The kernel's buffer was full: the writer wrote so much first. */
  readonly firstBytes: number;
}

interface Read {
  readonly bytes: Buffer;
  readonly handle: Handle | undefined;
}

const offerHead = (id: number): OfferHead => ({ id, deadlineUs: 1, service: "s", version: "1", clientPid: 2 });

/** What Linux makes of such writes: a read ends, at the latest, with a write that a descriptor came with, kept or dropped. */
function readsOf(sent: readonly Sent[], sizes: readonly number[]): { readonly reads: Read[]; readonly handles: (Handle | undefined)[] } {
  const handles = sent.map(({ descriptor }, id) => (descriptor === "arrives" ? new Handle(id) : undefined));
  const writes = sent.flatMap(({ rest, descriptor, firstBytes }, id) => {
    const frame = encodeOffer(offerHead(id), rest);
    const at = Math.min(firstBytes, frame.length);
    const first = { bytes: frame.subarray(0, at), carries: descriptor !== "none", handle: handles[id] };
    return at === frame.length ? [first] : [first, { bytes: frame.subarray(at), carries: false, handle: undefined }];
  });
  const reads: Read[] = [];
  while (writes.length > 0) {
    let room = sizes[reads.length % sizes.length]!;
    const read: { parts: Buffer[]; handle: Handle | undefined } = { parts: [], handle: undefined };
    for (let isOver = false; !isOver && room > 0 && writes.length > 0; ) {
      const write = writes[0]!;
      const part = write.bytes.subarray(0, room);
      read.parts.push(part);
      read.handle = write.handle;
      room -= part.length;
      isOver = write.carries;
      if (part.length === write.bytes.length) writes.shift();
      else writes[0] = { bytes: write.bytes.subarray(part.length), carries: false, handle: undefined };
    }
    reads.push({ bytes: Buffer.concat(read.parts), handle: read.handle });
  }
  return { reads, handles };
}

const sentOffers = fc.array(fc.record({
  rest: fc.uint8Array({ maxLength: 300 }),
  descriptor: fc.constantFrom("arrives" as const, "dropped" as const, "none" as const),
  firstBytes: fc.integer({ min: 1, max: 400 }),
}), { maxLength: 12 });
const readSizes = fc.array(fc.integer({ min: 1, max: 500 }), { minLength: 1 });

test("offer frames, C2, P1: however it is read, an offer has its own connection or none", () => {
  fc.assert(fc.property(sentOffers, readSizes, (sent, sizes) => {
    const { reads, handles } = readsOf(sent, sizes);
    const received: unknown[] = [];
    const frames = new OfferFrames<Handle>((head, rest, handle) => received.push({ head, rest: Buffer.from(rest), handle }));
    for (const { bytes, handle } of reads) frames.handleRead(bytes, handle);
    assert.deepEqual(received, sent.map(({ rest }, id) => ({ head: offerHead(id), rest: Buffer.from(rest), handle: handles[id] })));
  }), { numRuns: 1000 });
});

test("offer frames, P2: closed at any point, a handle has come out or is closed", () => {
  fc.assert(fc.property(sentOffers, readSizes, fc.nat(30), (sent, sizes, readsMax) => {
    const { reads } = readsOf(sent, sizes);
    const owned = new Set<Handle>();
    const frames = new OfferFrames<Handle>((_head, _rest, handle) => {
      if (handle !== undefined) owned.add(handle);
      if (owned.size === 3) frames.close();
    });
    const read = reads.slice(0, readsMax);
    for (const { bytes, handle } of read) {
      if (owned.size < 3) frames.handleRead(bytes, handle);
      else handle?.close();
    }
    frames.close();
    for (const { handle } of read) assert.equal(handle === undefined || owned.has(handle) !== (handle.closes === 1), true);
  }));
});

test("offer frames, P2: any bytes are offers, or blame the broker, and no handle leaks", () => {
  fc.assert(fc.property(fc.array(fc.tuple(fc.uint8Array({ minLength: 1 }), fc.boolean())), (reads) => {
    const handles: Handle[] = [];
    const frames = new OfferFrames<Handle>((_head, _rest, handle) => handle?.close());
    try {
      for (const [bytes, withHandle] of reads) {
        if (withHandle) handles.push(new Handle(0));
        frames.handleRead(bytes, withHandle ? handles.at(-1) : undefined);
      }
    } catch (error) {
      assert.ok(error instanceof RuntimeError && error.blame === "peer", String(error));
    }
    frames.close();
    assert.deepEqual(handles.filter(({ closes }) => closes !== 1), []);
  }));
});

test("offer frames: a head that does not fit its frame, and one that is no head", () => {
  const [tooLong, noHead] = [encodeOffer(offerHead(1), new Uint8Array()), encodeOffer({ ...offerHead(1), id: -1 }, new Uint8Array())];
  tooLong.writeUInt32BE(tooLong.length, 4);
  for (const frame of [tooLong, noHead]) {
    const handle = new Handle(1);
    const frames = new OfferFrames<Handle>(() => assert.fail("an offer"));
    assert.throws(() => frames.handleRead(frame, handle), { code: "ENVELOPE_MALFORMED" });
    assert.equal(handle.closes, 1);
  }
});
