import { chmodSync, renameSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { monotonicUs } from "../protocol/clock.ts";
import { refusal } from "../protocol/refusal.ts";
import { DescriptorPressure, readDescriptors } from "./descriptor-pressure.ts";
import { HelloLimiter } from "./hello-limiter.ts";
import { loadPeerCredentials } from "./peer-credentials.ts";
import { Visitor } from "./visitor.ts";
import type { Server, Socket } from "node:net";
import type { BrokerMetrics } from "./broker-metrics.ts";

/** How often open descriptors are counted; between two counts connections are added up. */
const SAMPLE_MS = 1_000;
/** Clients are refused from this share of the descriptors on. */
const CLIENTS_SHARE = 0.8;
/** Beyond this one, those who have said nothing yet make room for others. */
const SILENT_SHARE = 0.9;
/** Beyond this one Node drops whoever comes. At the limit itself the operating system would, and tell nobody. */
const DROP_SHARE = 0.97;
const PRESSURE_RETRY_MS = 1_000;
const BACKLOG = 4096;

export interface DoorOptions {
  readonly path: string;
  /** Of one process, and as many at once. */
  readonly hellosPerSecond: number | undefined;
  readonly metrics: BrokerMetrics;
  readonly onVisitor: (visitor: Visitor, arrival: Arrival) => void;
}

/** What is known of a connection besides what it says. */
export interface Arrival {
  /** On the machine's monotonic clock. */
  readonly atUs: number;
  /** The client's process, if the system tells. */
  readonly pid: number | undefined;
}

/**
 * The broker's socket, and who gets in.
 *
 * Invariants:
 *   D1. Nothing is read of a connection of another user's, where the platform tells whose it is.
 *   D2. Whoever is silent stands in nobody's way: not for longer than a first frame may take, and not at all when descriptors
 *       are short. Operators get in when clients do not.
 */
export class Door {
  readonly pressure = new DescriptorPressure();
  readonly #options: DoorOptions;
  readonly #server: Server;
  readonly #limiter: HelloLimiter;
  readonly #credentials = loadPeerCredentials();
  readonly #ownUid = process.getuid?.();
  /** Connections whose first frame has not come, in the order of their arrival. */
  readonly #silent = new Set<Socket>();
  #open = 0;
  #openAtSample = 0;
  #sample = readDescriptors();
  #sampling: NodeJS.Timeout | undefined;
  #lastArrivalMs = performance.now();

  constructor(options: DoorOptions) {
    this.#options = options;
    const { hellosPerSecond } = options;
    this.#limiter = new HelloLimiter(hellosPerSecond === undefined ? {} : { hellosPerSecond, burst: hellosPerSecond });
    // One byte is enough to make Node stop reading until we have looked at it: see channel/stop-reading.ts.
    this.#server = createServer({ allowHalfOpen: true, highWaterMark: 1 }, (socket) => void this.#receive(socket));
    this.#server.on("drop", () => options.metrics.count("connections_dropped"));
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#open;
  }

  /** On performance.now()'s clock. */
  get lastArrivalMs(): number {
    return this.#lastArrivalMs;
  }

  /** Bound under another name first, so that whoever finds the door finds it open. */
  async listen(): Promise<void> {
    const { path } = this.#options;
    const temporary = `${path}.new`;
    rmSync(temporary, { force: true });
    await new Promise<void>((done, refuse) => {
      this.#server.once("error", refuse);
      this.#server.listen({ path: temporary, backlog: BACKLOG }, done);
    });
    this.#server.removeAllListeners("error").on("error", () => {});
    chmodSync(temporary, 0o600);
    renameSync(temporary, path);
    this.#takeSample(); // Or the first second knows nothing.
    if (this.#sample !== undefined) this.#server.maxConnections = Math.max(1, Math.floor(this.#sample.limit * DROP_SHARE) - this.#sample.used);
    this.#sampling = setInterval(() => this.#takeSample(), SAMPLE_MS);
  }

  /** Takes no more connections. Only the holder of the domain's lock may call it: the path is removed. */
  close(): void {
    clearInterval(this.#sampling);
    rmSync(this.#options.path, { force: true });
    this.#server.close();
  }

  /** Throws RefusedError if this client is not served now. */
  admit(pid: number): void {
    const used = this.#usedDescriptors();
    const limit = this.#sample?.limit ?? Infinity;
    if (used !== undefined && used > limit * CLIENTS_SHARE) this.pressure.handleSample(used, limit);
    if (this.pressure.isHigh) throw refusal("fd-pressure", "the broker is short of descriptors", { usedShare: this.pressure.usedShare }, PRESSURE_RETRY_MS);
    const admission = this.#limiter.admit(pid, monotonicUs());
    if (!admission.admitted) throw refusal("rate-limited", "too many Hellos of one process", { pid }, admission.retryAfterMs);
  }

  async #receive(socket: Socket): Promise<void> {
    const atUs = monotonicUs();
    this.#lastArrivalMs = performance.now();
    this.#open++;
    socket.once("close", () => this.#open--);
    socket.on("error", () => {}); // A client that breaks off is no failure of ours; "close" follows.
    const credentials = this.#credentials?.(socket); // D1
    if (credentials !== undefined && credentials.uid !== 0 && credentials.uid !== this.#ownUid) {
      this.#options.metrics.count("connections_refused_uid");
      return void socket.destroy();
    }
    this.#makeRoom();
    this.#silent.add(socket);
    const visitor = await Visitor.receive(socket);
    this.#silent.delete(socket);
    if (visitor !== undefined) this.#options.onVisitor(visitor, { atUs, pid: credentials?.pid });
  }

  /** D2 */
  #makeRoom(): void {
    const used = this.#usedDescriptors();
    if (used === undefined || used <= (this.#sample?.limit ?? Infinity) * SILENT_SHARE) return;
    const [oldest] = this.#silent;
    if (oldest === undefined) return;
    this.#silent.delete(oldest);
    oldest.destroy();
    this.#options.metrics.count("connections_dropped");
  }

  /** Of the last sample, and the connections since. Undefined where the system does not tell. */
  #usedDescriptors(): number | undefined {
    return this.#sample && this.#sample.used + this.#open - this.#openAtSample;
  }

  #takeSample(): void {
    this.#sample = readDescriptors();
    this.#openAtSample = this.#open;
    if (this.#sample !== undefined) this.pressure.handleSample(this.#sample.used, this.#sample.limit);
  }
}
