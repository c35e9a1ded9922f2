import { FrameReader } from "@holdfast/core/frame";
import { RuntimeError } from "@holdfast/core/peer";
import { parseMessage } from "../protocol/message-stream.ts";
import { FRAME_BYTES_MAX } from "../protocol/messages.ts";
import { OfferHeadMessage } from "./channel-messages.ts";
import type { OfferHead } from "./handoff-channel.ts";

const U32_BYTES = 4;

/** An offer as a frame of the raw channel: u32 body length, u32 head length, head (JSON), rest (bytes as they are). */
export function encodeOffer(head: OfferHead, rest: Uint8Array): Buffer {
  const json = JSON.stringify(head);
  const headBytes = Buffer.byteLength(json);
  const bodyBytes = U32_BYTES + headBytes + rest.length;
  const frame = Buffer.allocUnsafe(U32_BYTES + bodyBytes); // One buffer and one copy: this is on every handoff's way.
  frame.writeUInt32BE(bodyBytes, 0);
  frame.writeUInt32BE(headBytes, U32_BYTES);
  frame.write(json, 2 * U32_BYTES);
  frame.set(rest, 2 * U32_BYTES + headBytes);
  return frame;
}

function decodeOffer(body: Uint8Array): { readonly head: OfferHead; readonly rest: Uint8Array } {
  const headBytes = body.length < U32_BYTES ? Infinity : new DataView(body.buffer, body.byteOffset).getUint32(0);
  const restAt = U32_BYTES + headBytes;
  if (restAt > body.length) throw new RuntimeError("ENVELOPE_MALFORMED", { reason: "a head longer than its frame" });
  return { head: parseMessage(OfferHeadMessage, body.subarray(U32_BYTES, restAt)), rest: body.subarray(restAt) };
}

/** What the kernel passed along with bytes. */
export interface PassedHandle {
  close(): void;
}

/**
 * OfferFrames finds out which connection belongs to which offer. Sans-IO: the reads of a Unix stream socket go in, each with
 * the descriptor that it returned, and offers come out.
 *
 * A descriptor is sent with a frame's first byte. Linux returns it with the read that this byte is in, and ends that read
 * where the write ended, at the latest, though the bytes of earlier writes may come before it. It does so even if it had to
 * drop the descriptor because the process has too many. So at most one descriptor comes with a read, and it is that of the
 * last frame that begins in it: not of the frame that ends there, and never of a later one.
 *
 *     write:  [A, descriptor a ............][B, descriptor b ..]
 *     reads:  [64 KiB of A; a][end of A, B; b]                       (a dropped: A has none, and B still has b)
 *
 * Invariants:
 *   P1. An offer comes out when its last byte has come in, with its own connection or with none.
 *   P2. A handle comes out with an offer, or is closed.
 */
export class OfferFrames<Handle extends PassedHandle> {
  readonly #frames = new FrameReader(FRAME_BYTES_MAX);
  readonly #onOffer: (head: OfferHead, rest: Uint8Array, handle: Handle | undefined) => void;
  /** Bytes of the frame that has begun. */
  #begunBytes = 0;
  #begunHandle: Handle | undefined;
  #closed = false;

  constructor(onOffer: (head: OfferHead, rest: Uint8Array, handle: Handle | undefined) => void) {
    this.#onOffer = onOffer;
  }

  /** Throws what FrameReader and parseMessage throw; then the channel cannot be read further, and is to be closed. */
  handleRead(chunk: Uint8Array, handle: Handle | undefined): void {
    let handleRead = handle;
    let beginsHere = this.#begunBytes === 0;
    const take = (): Handle | undefined => {
      const taken = beginsHere ? handleRead : this.#begunHandle;
      if (beginsHere) handleRead = undefined;
      this.#begunHandle = undefined;
      return taken;
    };
    try {
      this.#begunBytes += chunk.length;
      this.#frames.push(chunk);
      for (let body; !this.#closed && (body = this.#frames.pollBody()) !== undefined; beginsHere = true) {
        this.#begunBytes -= U32_BYTES + body.length;
        const isLast = this.#begunBytes === 0;
        this.#deliver(body, isLast || !beginsHere ? take() : undefined); // P1
      }
      if (this.#begunBytes > 0 && beginsHere && !this.#closed) this.#begunHandle = take();
    } finally {
      handleRead?.close(); // P2
    }
  }

  close(): void {
    this.#closed = true;
    this.#begunHandle?.close(); // P2
    this.#begunHandle = undefined;
  }

  #deliver(body: Uint8Array, handle: Handle | undefined): void {
    let offer;
    try {
      offer = decodeOffer(body);
    } catch (error) {
      handle?.close(); // P2
      throw error;
    }
    this.#onOffer(offer.head, offer.rest, handle);
  }
}
