import { assert } from "../base/assert.ts";
import { RuntimeError } from "../base/errors.ts";

/** A frame's length prefix: u32, big-endian, of the body alone. */
const LENGTH_BYTES = 4;
/** First buffer for a body that comes in pieces; it doubles from there. */
const PARTIAL_BYTES_MIN = 256;

/** A frame with this body. */
export function encodeFrame(body: Uint8Array): Uint8Array {
  assert(body.length > 0 && body.length <= 0xffff_ffff, "a body has 1 to 2^32 - 1 bytes");
  const frame = new Uint8Array(LENGTH_BYTES + body.length);
  new DataView(frame.buffer).setUint32(0, body.length);
  frame.set(body, LENGTH_BYTES);
  return frame;
}

/**
 * FrameReader cuts a stream of bytes into the bodies of its frames. Sans-IO: chunks go in through `push`, bodies come
 * out of `pollBody`; poll until undefined after every push.
 *
 *     at a boundary ──a whole frame──▶ at a boundary        (a view into the chunk)
 *     at a boundary ──a part of one──▶ inside a frame ──the rest──▶ at a boundary      (a buffer of its own)
 *
 * Invariants:
 *   F1. A length is checked as soon as it is known, before anything is kept or allocated for its body.
 *   F2. What is kept is at most twice what has arrived of one frame (or 256 bytes), however small the pieces: they
 *       are copied together, and no chunk is kept beyond the poll that returns undefined.
 */
export class FrameReader {
  #bytesMax: number;
  /** What was pushed and not yet read. */
  #chunk: Uint8Array | undefined;
  #chunkAt = 0;
  /** Of the frame that has begun: the bytes of its length so far, and their value. */
  #lengthBytes = 0;
  #length = 0;
  /** The part of its body that has arrived, and how much of the buffer that is. */
  #partial: Uint8Array | undefined;
  #partialBytes = 0;
  #failure: RuntimeError | undefined;

  /** `bytesMax` bounds a body. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Another bound, from the next frame on. A first frame, before the peer is trusted, may be smaller than the rest. */
  setLimit(bytesMax: number): void {
    this.#bytesMax = bytesMax;
  }

  /** The reader keeps no reference to `chunk` after the next poll that returns undefined, but its bodies may. */
  push(chunk: Uint8Array): void {
    if (this.#failure !== undefined) return;
    assert(this.#chunk === undefined, "polled until undefined since the last push");
    this.#chunk = chunk;
    this.#chunkAt = 0;
  }

  /**
   * The next body, or undefined when the chunk is used up.
   *
   * Throws FRAME_TOO_LARGE or FRAME_MALFORMED (an empty body); from then on, always: a stream cannot be found again.
   */
  pollBody(): Uint8Array | undefined {
    if (this.#failure !== undefined) throw this.#failure;
    const chunk = this.#chunk;
    if (chunk === undefined) return undefined;
    this.#readLength(chunk);
    if (this.#lengthBytes === LENGTH_BYTES) {
      const body = this.#readBody(chunk);
      if (body !== undefined) return body;
    }
    this.#chunk = undefined; // F2
    return undefined;
  }

  /** What was pushed and is not read yet, for a stream that goes on as something else after a frame; nothing is left. */
  takeRest(): Uint8Array {
    assert(this.#lengthBytes === 0, "at a boundary");
    const rest = this.#chunk?.subarray(this.#chunkAt) ?? new Uint8Array();
    this.#chunk = undefined;
    return rest;
  }

  #readLength(chunk: Uint8Array): void {
    while (this.#lengthBytes < LENGTH_BYTES && this.#chunkAt < chunk.length) {
      this.#length = this.#length * 256 + chunk[this.#chunkAt++]!;
      this.#lengthBytes++;
    }
    if (this.#lengthBytes < LENGTH_BYTES || this.#partialBytes > 0) return;
    if (this.#length === 0) this.#fail(new RuntimeError("FRAME_MALFORMED", { reason: "an empty frame" }));
    if (this.#length <= this.#bytesMax) return;
    this.#fail(new RuntimeError("FRAME_TOO_LARGE", { bytes: this.#length, limit: this.#bytesMax })); // F1
  }

  #fail(failure: RuntimeError): never {
    this.#failure = failure;
    this.#chunk = undefined;
    throw failure;
  }

  #readBody(chunk: Uint8Array): Uint8Array | undefined {
    const missing = this.#length - this.#partialBytes;
    const end = Math.min(this.#chunkAt + missing, chunk.length);
    const piece = chunk.subarray(this.#chunkAt, end);
    this.#chunkAt = end;
    if (this.#partial === undefined && piece.length === missing) return this.#complete(piece);
    if (piece.length > 0) this.#keep(piece);
    return this.#partialBytes === this.#length ? this.#complete(this.#partial!) : undefined;
  }

  #keep(piece: Uint8Array): void {
    const needed = this.#partialBytes + piece.length;
    if (this.#partial === undefined || this.#partial.length < needed) {
      const grown = new Uint8Array(Math.min(Math.max(2 * needed, PARTIAL_BYTES_MIN), this.#length)); // F2
      if (this.#partial !== undefined) grown.set(this.#partial.subarray(0, this.#partialBytes));
      this.#partial = grown;
    }
    this.#partial.set(piece, this.#partialBytes);
    this.#partialBytes = needed;
  }

  #complete(body: Uint8Array): Uint8Array {
    this.#lengthBytes = 0;
    this.#length = 0;
    this.#partial = undefined;
    this.#partialBytes = 0;
    return body;
  }
}
