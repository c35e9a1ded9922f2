import type { Duplex } from "node:stream";
import { ENVELOPE_BYTES_MAX, FrameReader, type PeerId, RuntimeError } from "@holdfast/core";
import type { Link, LinkHandlers } from "./link.ts";

/** Frames of one tick up to this total are copied together; above it the copy costs more than the vectored write. */
const COPY_BYTES_MAX = 64 * 1024;
/** How long a closed link waits for the other end to close as well. */
const CLOSE_MS_MAX = 5000;

export interface StreamLinkOptions {
  readonly peer: PeerId;
  readonly dialled: boolean;
  readonly remote: string;
}

/**
 * A link over an authenticated byte stream.
 *
 * Invariants:
 *   L1. Nothing is read before `open`, and no frame is delivered after `close` or `destroy`.
 *   L2. onClose is called exactly once, whatever order `open`, errors and the end come in.
 *   L3. Frames leave in the order of `send`; those of one synchronous burst leave in one write at its end.
 */
export class StreamLink implements Link {
  readonly peer: PeerId;
  readonly dialled: boolean;
  readonly remote: string;
  readonly #stream: Duplex;
  readonly #reader = new FrameReader(ENVELOPE_BYTES_MAX);
  #handlers: LinkHandlers | undefined;
  /** Sent in this tick. */
  #frames: Uint8Array[] = [];
  #framesBytes = 0;
  #state: "open" | "closing" | "closed" = "open";
  #error: Error | undefined;

  /** Takes the stream over; its previous owner has removed its listeners. */
  constructor(stream: Duplex, { peer, dialled, remote }: StreamLinkOptions) {
    this.peer = peer;
    this.dialled = dialled;
    this.remote = remote;
    this.#stream = stream;
    stream.on("error", (error: Error) => (this.#error ??= error));
    stream.once("close", () => this.#handleClose());
  }

  get buffered(): number {
    return this.#framesBytes + this.#stream.writableLength;
  }

  send(frame: Uint8Array): void {
    if (this.#state !== "open") return;
    if (this.#frames.push(frame) === 1) process.nextTick(this.#flush); // L3
    this.#framesBytes += frame.length;
  }

  open(handlers: LinkHandlers): void {
    if (this.#handlers !== undefined) throw new Error("a link is opened once");
    this.#handlers = handlers;
    if (this.#stream.closed) process.nextTick(() => handlers.onClose(this.#error)); // L2
    else if (this.#state === "open") this.#stream.on("data", this.#handleData);
  }

  close(): void {
    if (this.#state !== "open") return;
    this.#flush();
    this.#state = "closing";
    this.#stream.end();
    // Keep reading, into the void: closing a socket with unread input would reset it, and what was flushed could be lost.
    this.#stream.resume();
    const timer = setTimeout(() => this.#stream.destroy(), CLOSE_MS_MAX).unref();
    this.#stream.once("close", () => clearTimeout(timer));
  }

  destroy(): void {
    if (this.#state === "open") this.#state = "closing";
    this.#frames = [];
    this.#framesBytes = 0;
    this.#stream.destroy();
  }

  readonly #flush = (): void => {
    const frames = this.#frames;
    if (frames.length === 0) return;
    const bytes = this.#framesBytes;
    this.#frames = [];
    this.#framesBytes = 0;
    if (!this.#stream.writable) return;
    if (frames.length === 1) {
      this.#stream.write(frames[0]);
    } else if (bytes <= COPY_BYTES_MAX) {
      this.#stream.write(Buffer.concat(frames, bytes));
    } else {
      this.#stream.cork();
      for (const frame of frames) this.#stream.write(frame);
      this.#stream.uncork();
    }
  };

  readonly #handleData = (chunk: Uint8Array): void => {
    if (this.#state !== "open") return; // L1
    const handlers = this.#handlers!;
    let frames = 0;
    this.#reader.push(chunk);
    for (let body = this.#pollBody(); body !== undefined; body = this.#pollBody()) {
      frames++;
      handlers.onFrame(body);
      if (!this.#isOpen()) break; // L1: the handler closed the link
    }
    if (frames > 0) handlers.onBurstEnd();
  };

  /** Undefined, and the link destroyed, if the bytes are no frames. */
  #pollBody(): Uint8Array | undefined {
    try {
      return this.#reader.pollBody();
    } catch (error) {
      if (!(error instanceof RuntimeError)) throw error;
      this.#error = error;
      this.destroy();
      return undefined;
    }
  }

  #isOpen(): boolean {
    return this.#state === "open";
  }

  #handleClose(): void {
    this.#state = "closed";
    this.#handlers?.onClose(this.#error);
  }
}
