import { ENVELOPE_BYTES_MAX, FrameReader, type LinkId, NS_PER_S, RuntimeError } from "@holdfast/core";
import { ByteStream, type StreamEnd, type StreamPorts, type StreamSink, type StreamSource } from "./byte-stream.ts";
import type { Process } from "./process.ts";

/** How long a closed link waits for the other end to close as well: the host's `CLOSE_MS_MAX`. */
const CLOSE_NS_MAX = 5 * NS_PER_S;

export interface LinkPorts extends StreamPorts {
  /** What a process buffers for one link before it gives it up: the host's `LINK_BUFFER_MAX`, or less. */
  readonly bufferBytesMax: () => number;
}

/**
 * One process's end of a connection: what the host's StreamLink and LinkTable are to a node.
 *
 *     open ──close──▶ closing: flushes, reads into the void ──the other end ends too, or 5 s──▶ closed
 *     open ──end of the stream──▶ flushes ──▶ closed        open, closing ──reset, bytes that are no frames──▶ closed
 *
 * Invariants:
 *   L1. No frame is delivered but by an open end.
 *   L2. The process hears that the link is closed once, and nothing of it after that.
 */
export class LinkEnd implements StreamSource, StreamSink {
  readonly id: LinkId;
  readonly process: Process;
  readonly #ports: LinkPorts;
  readonly #reader = new FrameReader(ENVELOPE_BYTES_MAX);
  #state: "open" | "closing" | "closed" = "open";
  /** The other end will send nothing more. */
  #sawEnd = false;
  /** Bytes read, and those of the frames that they made. */
  #bytesRead = 0;
  #bytesFramed = 0;
  /** Nothing that comes here is answered any more. */
  #isMute = false;
  other!: LinkEnd;
  /** What leaves here, and what comes. */
  out!: ByteStream;
  in!: ByteStream;

  private constructor(ports: LinkPorts, process: Process) {
    this.#ports = ports;
    this.process = process;
    this.id = process.nextLink++;
    process.links.set(this.id, this);
  }

  /** Both ends of a new link. */
  static connect(ports: LinkPorts, from: Process, to: Process): readonly [near: LinkEnd, far: LinkEnd] {
    const near = new LinkEnd(ports, from);
    const far = new LinkEnd(ports, to);
    near.other = far;
    far.other = near;
    near.out = far.in = new ByteStream(ports, near, far);
    far.out = near.in = new ByteStream(ports, far, near);
    return [near, far];
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  get isClosed(): boolean {
    return this.#state === "closed";
  }

  get machine(): number {
    return this.process.machine.index;
  }

  /** A closed connection is the operating system's alone. */
  get isAwake(): boolean {
    return this.#state === "closed" || !this.process.paused;
  }

  // ── what the process asks for ──

  send(frame: Uint8Array): void {
    if (!this.isOpen) return;
    this.out.write(frame);
    if (this.out.buffered <= this.#ports.bufferBytesMax()) return;
    this.#ports.reached("a link that nobody reads was given up");
    this.destroy();
  }

  close(): void {
    if (!this.isOpen) return;
    this.#state = "closing";
    this.out.end();
    this.#ports.queue.after(CLOSE_NS_MAX, () => this.destroy());
  }

  destroy(): void {
    if (this.isClosed) return;
    this.out.reset();
    this.#finish("closed", false);
  }

  /** The process sleeps no more. */
  wake(): void {
    this.out.pump();
    this.in.read();
  }

  // ── what happens to it ──

  /** Something in between cuts the link; this end finds out when that gets here. */
  cut(): void {
    if (!this.isClosed) this.in.reset();
  }

  /** The connection is known to be broken, here. */
  fail(reason: string): void {
    if (this.isClosed) return;
    this.out.vanish();
    this.#finish(reason, false);
  }

  /** The process has died. */
  die(how: StreamEnd | "silent"): void {
    if (this.isClosed) return;
    this.#state = "closed";
    this.out.dropBuffered();
    if (how === "closed") this.out.end();
    else if (how === "reset") this.out.reset();
    else this.out.vanish();
  }

  /** This end breaks; the other is not told, but it may be told when it sends. */
  vanish(isMute: boolean): void {
    this.#isMute = isMute;
    this.fail("vanished");
  }

  // ── its streams ──

  handleBytes(bytes: Uint8Array): void {
    if (this.isClosed) return this.#answerStray();
    if (!this.isOpen) return; // L1: into the void
    this.#bytesRead += bytes.length;
    this.#reader.push(bytes);
    for (let body = this.#pollBody(); body !== undefined; body = this.#pollBody()) {
      this.#bytesFramed += 4 + body.length;
      this.process.receive({ kind: "frame-received", link: this.id, body });
      if (!this.isOpen) return; // L1: the process has closed it, or died
    }
  }

  handleEnd(end: StreamEnd): void {
    if (this.isClosed) return;
    if (this.#bytesRead > this.#bytesFramed) this.#ports.reached("a link ended inside a frame");
    if (end === "reset") return this.fail("reset");
    this.#sawEnd = true;
    this.out.end();
    this.#closeIfOver();
  }

  handleFlushed(): void {
    this.#closeIfOver();
  }

  // ── inside ──

  #closeIfOver(): void {
    if (this.#sawEnd && this.out.isOver) this.#finish("closed", false);
  }

  /** Undefined, and the link destroyed, if the bytes are no frames. */
  #pollBody(): Uint8Array | undefined {
    try {
      return this.#reader.pollBody();
    } catch (error) {
      if (!(error instanceof RuntimeError)) throw error;
      this.out.reset();
      this.#finish(error.message, error.blame === "peer");
      return undefined;
    }
  }

  #finish(reason: string, blamesPeer: boolean): void {
    if (this.isClosed) return; // L2
    this.#state = "closed";
    this.process.links.delete(this.id);
    this.process.receive({ kind: "link-closed", link: this.id, reason, blamesPeer });
  }

  /** Nobody is there any more: a machine that is up says so, one without power says nothing. */
  #answerStray(): void {
    const { queue, ways } = this.#ports;
    const isUp = this.process.machine.process?.alive === true;
    if (this.#isMute || !isUp || this.other.isClosed || ways.isBlocked(this.machine, this.other.machine)) return;
    queue.after(ways.delay(), () => this.other.fail("reset"));
  }
}
