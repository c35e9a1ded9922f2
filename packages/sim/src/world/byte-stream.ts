import { NS_PER_S } from "@holdfast/core";
import type { Dice } from "../choice/dice.ts";
import type { Plan } from "../plan/plan.ts";
import type { EventQueue } from "./event-queue.ts";
import type { Ways } from "./ways.ts";

/** What goes through a clogged way at once, at most. */
const CLOGGED_BYTES = 100;
const NOTHING = new Uint8Array();

/** How a stream ends for its reader: after all its bytes, or in the middle of them. */
export type StreamEnd = "closed" | "reset";

export interface StreamPorts {
  readonly queue: EventQueue;
  readonly dice: Dice;
  readonly plan: Plan;
  readonly ways: Ways;
  readonly reached: (label: string) => void;
}

/** Who writes. */
export interface StreamSource {
  readonly machine: number;
  /** Does the process run, so that it can hand on what it has buffered? */
  readonly isAwake: boolean;
  /** All that was written is on its way, and the end behind it. */
  handleFlushed(): void;
}

/** Who reads. */
export interface StreamSink {
  readonly machine: number;
  /** Does the process run, so that it reads? */
  readonly isAwake: boolean;
  handleBytes(bytes: Uint8Array): void;
  handleEnd(end: StreamEnd): void;
}

interface Chunk {
  bytes: Uint8Array;
  readonly end: StreamEnd | undefined;
  readonly sentAt: number;
  hasArrived: boolean;
}

/**
 * One direction of a connection, as operating systems and what is between them make it:
 *
 *     write ▶ buffered by the process ──room, no partition──▶ on its way ──delay──▶ arrived ──the process runs──▶ read
 *
 * What is on its way or has arrived and is not read is bounded: a reader that sleeps holds the writer back, whose process then
 * buffers. Bytes are cut anywhere; what is written at one instant leaves as one piece.
 *
 * Invariants:
 *   B1. What is read is a prefix of what was written, in order. All of it, if the stream ends "closed" and its writer lived.
 *   B2. On its way and unread are at most `plan.socketBytes`.
 */
export class ByteStream {
  readonly #ports: StreamPorts;
  readonly #source: StreamSource;
  readonly #sink: StreamSink;
  #state: "open" | "ending" | "over" = "open";
  #end: StreamEnd = "closed";
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  /** On its way, or arrived and not read, in order. */
  #flight: Chunk[] = [];
  #flightBytes = 0;
  #arrivesAfter = 0;
  #stalledUntil = 0;
  /** A clogged way is busy until then. */
  #busyUntil = 0;
  #pumpDue = false;
  /** The last chunk was cut off what follows: nothing joins it. */
  #wasCut = false;

  constructor(ports: StreamPorts, source: StreamSource, sink: StreamSink) {
    this.#ports = ports;
    this.#source = source;
    this.#sink = sink;
  }

  /** What the operating system has not taken yet. */
  get buffered(): number {
    return this.#waitingBytes;
  }

  /** Has its end left? */
  get isOver(): boolean {
    return this.#state === "over";
  }

  // ── the writer ──

  write(bytes: Uint8Array): void {
    if (this.#state !== "open") return;
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    this.pump();
  }

  /** Ends behind all that was written. */
  end(): void {
    if (this.#state === "over") return;
    this.#state = "ending";
    this.pump();
  }

  /** Ends here and now: what is on its way is cut at any byte. */
  reset(): void {
    if (this.#state === "over" && this.#end === "reset") return;
    this.dropBuffered();
    this.#cutFlight();
    this.#state = "ending";
    this.#end = "reset";
    this.pump();
  }

  /** Stops here and now without a word. */
  vanish(): void {
    this.dropBuffered();
    this.#cutFlight();
    this.#state = "over";
  }

  /** The process is gone, and with it what the operating system had not taken. */
  dropBuffered(): void {
    this.#waiting = [];
    this.#waitingBytes = 0;
  }

  // ── on the way ──

  /** Sends what may leave now. */
  pump(): void {
    while (this.#waitingBytes > 0 && this.#mayLeave()) {
      const next = this.#waiting[0] as Uint8Array;
      const size = this.#pieceOf(next.length);
      if (size === next.length) this.#waiting.shift();
      else this.#waiting[0] = next.subarray(size);
      this.#waitingBytes -= size;
      this.#launch(size === next.length ? next : next.subarray(0, size), size < next.length);
    }
    if (this.#state !== "ending" || this.#waitingBytes > 0 || this.#isBlocked()) return;
    this.#state = "over";
    this.#depart({ bytes: NOTHING, end: this.#end, sentAt: this.#ports.queue.now, hasArrived: false }, 0);
    this.#source.handleFlushed();
  }

  /** Nothing is read for so long, then all that came at once. */
  stall(ns: number): void {
    const until = this.#ports.queue.now + ns;
    this.#stalledUntil = Math.max(this.#stalledUntil, until);
    this.#ports.queue.after(ns, () => this.read());
  }

  unstall(): void {
    this.#stalledUntil = 0;
    this.read();
  }

  // ── the reader ──

  /** Reads what has arrived. */
  read(): void {
    const { queue } = this.#ports;
    while (this.#flight[0]?.hasArrived === true && queue.now >= this.#stalledUntil && this.#sink.isAwake) {
      const { bytes, end } = this.#flight.shift() as Chunk;
      this.#flightBytes -= bytes.length;
      if (bytes.length > 0) this.#sink.handleBytes(bytes);
      if (end !== undefined) this.#sink.handleEnd(end);
    }
    // The writer hears of the room later.
    if (this.#waitingBytes > 0) this.#pumpAfter(this.#ports.ways.delay());
  }

  // ── inside ──

  #isBlocked(): boolean {
    return this.#ports.ways.isBlocked(this.#source.machine, this.#sink.machine);
  }

  #mayLeave(): boolean {
    const { plan, queue, reached } = this.#ports;
    if (this.#isBlocked() || !this.#source.isAwake || queue.now < this.#busyUntil) return false;
    if (this.#flightBytes < plan.socketBytes) return true; // B2
    reached("a writer was held back");
    return false;
  }

  /** How much of what may leave leaves in one piece. */
  #pieceOf(length: number): number {
    const { plan, ways, dice } = this.#ports;
    const room = plan.socketBytes - this.#flightBytes;
    const bytesPerS = ways.bytesPerS(this.#source.machine, this.#sink.machine);
    const most = Math.min(length, room, bytesPerS === undefined ? Infinity : CLOGGED_BYTES);
    return most > 1 && dice.chance("cut", plan.cuts) ? most - dice.between("cut off", 1, most - 1) : most;
  }

  #launch(bytes: Uint8Array, isCut: boolean): void {
    const { queue, ways } = this.#ports;
    const last = this.#flight.at(-1);
    const joins = last !== undefined && last.sentAt === queue.now && !this.#wasCut && !last.hasArrived && last.end === undefined;
    this.#wasCut = isCut;
    this.#flightBytes += bytes.length;
    const bytesPerS = ways.bytesPerS(this.#source.machine, this.#sink.machine);
    if (joins && bytesPerS === undefined) {
      last.bytes = joined(last.bytes, bytes);
      return;
    }
    const takesNs = bytesPerS === undefined ? 0 : Math.ceil((bytes.length * NS_PER_S) / bytesPerS);
    if (takesNs > 0) {
      this.#busyUntil = queue.now + takesNs;
      this.#pumpAfter(takesNs);
    }
    this.#depart({ bytes, end: undefined, sentAt: queue.now, hasArrived: false }, takesNs);
  }

  #depart(chunk: Chunk, takesNs: number): void {
    const { queue, ways } = this.#ports;
    const at = Math.max(queue.now + takesNs + ways.delay(), this.#arrivesAfter + 1); // B1
    this.#arrivesAfter = at;
    this.#flight.push(chunk);
    queue.after(at - queue.now, () => {
      chunk.hasArrived = true;
      this.read();
    });
  }

  #pumpAfter(ns: number): void {
    if (this.#pumpDue) return;
    this.#pumpDue = true;
    this.#ports.queue.after(ns, () => {
      this.#pumpDue = false;
      this.pump();
    });
  }

  /** Drops the end of what is on its way, from any byte on. */
  #cutFlight(): void {
    if (this.#flight.at(-1)?.end !== undefined) this.#flight.pop();
    let lost = this.#ports.dice.below("bytes lost", this.#flightBytes + 1);
    this.#flightBytes -= lost;
    while (lost > 0) {
      const last = this.#flight.at(-1) as Chunk;
      if (last.bytes.length > lost) {
        last.bytes = last.bytes.subarray(0, last.bytes.length - lost);
        return;
      }
      lost -= last.bytes.length;
      this.#flight.pop();
    }
  }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
