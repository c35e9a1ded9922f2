import { createServer } from "node:net";
import { RuntimeError } from "@holdfast/core/peer";
import { receiveOffers } from "../channel/receive-offers.ts";
import { monotonicUs } from "../protocol/clock.ts";
import { readFirstFrame } from "../protocol/first-frame.ts";
import { encodeMessage } from "../protocol/message-stream.ts";
import { ClientFirst, FIRST_FRAME_MS_MAX, PROTOCOL } from "../protocol/messages.ts";
import { newSecret, ownIdentity, removeIdentity, writeIdentity } from "../runtime/backend-identity.ts";
import { DomainDirectory } from "../runtime/domain-directory.ts";
import { bindRenamed, withFreeEndpoint } from "../runtime/endpoint.ts";
import { resolveService } from "../services/resolve-service.ts";
import { takeTask } from "./backend-task.ts";
import { BrokerLine, tellUnable } from "./broker-line.ts";
import { serveAttached } from "./serve-attached.ts";
import type { Server, Socket } from "node:net";
import type { OfferHead, OfferReceiver } from "../channel/handoff-channel.ts";
import type { NackReason, Route, Welcome } from "../protocol/messages.ts";
import type { ServiceKey } from "../runtime/domain-directory.ts";
import type { BackendTask } from "./backend-task.ts";

/** How long connections may take to end once no new ones are taken. */
const DRAIN_MS_DEFAULT = 10_000;
/** Whoever looked the endpoint's path up just before it was removed has connected by then. */
const LAST_CONNECTIONS_MS = 100;

export interface ServeOptions {
  readonly service: string;
  /** Default: the version that the broker started this process as. */
  readonly version?: string;
  /** Told to whoever holds the service's lease. JSON. */
  readonly info?: unknown;
  /** Without a broker: where to serve. Default: by the service's definition. */
  readonly domain?: string;
  readonly build?: string;
}

/** Of one connection. */
export interface Served {
  readonly route: Route;
  /** The client's process, as it says itself. */
  readonly pid: number;
}

/**
 * Called for every connection, with the socket as the client left it: its first request may be in it already. A handler
 * that throws, or whose promise rejects, closes its connection.
 */
export type ConnectionHandler = (socket: Socket, served: Served) => unknown;

/**
 * Serves a service. Under a broker it takes connections from the listening socket that the broker bound, and those that the
 * broker hands over; without one it binds the same endpoint itself, so that clients find it in the same place. Ready when it
 * resolves. Throws ENDPOINT_BUSY if another process serves there, SERVICE_INVALID if the broker started this program as
 * something else.
 */
export async function serve(options: ServeOptions, onConnection: ConnectionHandler): Promise<Backend> {
  const task = takeTask();
  if (task === undefined) return await Backend.serveAlone(options, onConnection);
  const { service, version } = task;
  if (options.service !== service || (options.version !== undefined && options.version !== version)) {
    const message = `the program serves ${options.service} ${options.version ?? ""}`.trim() + `, the definition says ${service} ${version}`;
    tellUnable("SERVICE_INVALID", message);
    throw new RuntimeError("SERVICE_INVALID", { service, version, reason: message });
  }
  return Backend.serveUnderBroker(task, options, onConnection);
}

/**
 * One process's end of a service.
 *
 *     serving ──quiesce──▶ draining ──last connection ends, or time is up──▶ closed
 *
 * Invariants:
 *   B1. An offer is accepted before its deadline only, and answered before a byte is written to its connection: a broker
 *       that has seen no answer after the deadline may write on it.
 *   B2. Nothing of a connection is read by us beyond its first frame.
 *   B3. A broker that ends does not end the backend.
 */
export class Backend implements AsyncDisposable {
  readonly key: ServiceKey;
  readonly endpoint: string;
  /** Resolves when the last connection has ended after `close`, or time was up. */
  readonly closed: Promise<void>;
  readonly #directory: DomainDirectory;
  readonly #server: Server;
  readonly #onConnection: ConnectionHandler;
  readonly #sockets = new Set<Socket>();
  readonly #draining = new AbortController();
  readonly #closed = Promise.withResolvers<void>();
  readonly #line: BrokerLine;
  #offers: OfferReceiver | undefined;

  private constructor(directory: DomainDirectory, key: ServiceKey, server: Server, onConnection: ConnectionHandler, secret: string, info: unknown) {
    this.#directory = directory;
    this.key = keyOf(key);
    this.endpoint = directory.endpoint(key);
    this.#server = server;
    this.#onConnection = onConnection;
    this.closed = this.#closed.promise;
    server.on("connection", (socket) => void this.#receive(socket, secret, info));
    this.#line = new BrokerLine((withinMs) => void this.close(withinMs));
    writeIdentity(directory, ownIdentity(key, secret));
  }

  static serveUnderBroker(task: BackendTask, options: ServeOptions, onConnection: ConnectionHandler): Backend {
    const directory = new DomainDirectory(task.domain, task.root);
    const server = createServer({ allowHalfOpen: true });
    server.listen({ fd: task.listenFd });
    const backend = new Backend(directory, task, server, onConnection, task.secret, options.info ?? null);
    backend.#offers = receiveOffers(task.channel, (head, rest, socket) => backend.#handleOffer(head, rest, socket));
    backend.#line.tell({ kind: "ready", info: options.info ?? null });
    return backend;
  }

  static async serveAlone(options: ServeOptions, onConnection: ConnectionHandler): Promise<Backend> {
    const { service, version, domain, build } = options;
    if (version === undefined) throw new RuntimeError("OPTION_INVALID", { option: "version", reason: "without a broker it is needed" });
    const resolved = domain !== undefined && build !== undefined ? { domain, build } : resolveService(service, version);
    const directory = new DomainDirectory(domain ?? resolved.domain);
    directory.create();
    const key = { service, version, build: build ?? resolved.build };
    const server = await withFreeEndpoint(directory, key, (path) => bindRenamed(path, (bound) => bound));
    return new Backend(directory, key, server, onConnection, newSecret(), options.info ?? null);
  }

  /** Aborts when no more connections will come: long-lived ones should end soon. */
  get draining(): AbortSignal {
    return this.#draining.signal;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  /** Tells whoever holds the service's lease. Lost if there is no broker, or nobody holds one. JSON. */
  tell(message: unknown): void {
    this.#line.tell({ kind: "told", message });
  }

  /** Takes no more connections; waits until those under way have ended, at most so long, and then ends them. */
  async close(withinMs = DRAIN_MS_DEFAULT): Promise<void> {
    if (this.#draining.signal.aborted) return await this.closed;
    this.#draining.abort();
    // Out of the clients' way first. Whoever found the path before that still gets through, and only then is the door shut.
    removeIdentity(this.#directory, this.key, process.pid);
    await new Promise((done) => setTimeout(done, Math.min(LAST_CONNECTIONS_MS, withinMs)));
    this.#server.close();
    const late = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, withinMs);
    while (this.#sockets.size > 0) await Promise.all([...this.#sockets].map((socket) => new Promise((done) => socket.once("close", done))));
    clearTimeout(late);
    this.#offers?.close();
    this.#line.close();
    this.#closed.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #receive(socket: Socket, secret: string, info: unknown): Promise<void> {
    this.#track(socket);
    const first = await readFirstFrame(socket, ClientFirst, FIRST_FRAME_MS_MAX).catch(() => undefined);
    if (typeof first !== "object" || first.kind === "admin") return void socket.destroy();
    if (first.kind === "attach") {
      this.#sockets.delete(socket); // A broker that looks on keeps no drain waiting.
      return await serveAttached(socket, first, { secret, key: this.key, info, isDraining: this.#draining.signal.aborted, line: this.#line });
    }
    if (first.service !== this.key.service || first.protocol !== PROTOCOL) return void socket.destroy();
    this.#serve(socket, first.route, first.pid);
  }

  #handleOffer(head: OfferHead, rest: Uint8Array, socket: Socket | undefined): void {
    const refusal = this.#refuse(head, socket);
    this.#offers?.answer(head.id, refusal); // B1
    if (refusal !== undefined || socket === undefined) return void socket?.destroy();
    this.#track(socket);
    if (rest.length > 0) socket.unshift(rest);
    unpause(socket);
    process.nextTick(() => this.#serve(socket, "handoff", head.clientPid));
  }

  #refuse(head: OfferHead, socket: Socket | undefined): NackReason | undefined {
    if (socket === undefined) return "no-handle";
    if (monotonicUs() >= head.deadlineUs) return "too-late"; // B1
    return this.#draining.signal.aborted ? "draining" : undefined;
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    socket.on("error", () => {}); // A client that breaks off is no failure of ours; "close" follows.
  }

  /** The welcome and what the handler answers at once leave together. */
  #serve(socket: Socket, route: Route, pid: number): void {
    socket.cork();
    socket.write(encodeMessage({ kind: "welcome", ...this.key, route, pid: process.pid } satisfies Welcome));
    void run(this.#onConnection, socket, { route, pid });
    process.nextTick(() => socket.uncork()); // After the tick in which the handler's listener is given the first request.
  }
}

async function run(handler: ConnectionHandler, socket: Socket, served: Served): Promise<void> {
  try {
    await handler(socket, served);
  } catch (error) {
    socket.destroy();
    process.emitWarning(error as Error);
  }
}

/**
 * From the next tick on a socket that came paused is like one that was just accepted: it is read, and its first `data` listener
 * makes it flow. (`resume` would make it flow at once, and what comes before there is a listener would be lost.)
 */
function unpause(socket: Socket): void {
  const ignore = () => {};
  socket.on("readable", ignore).off("readable", ignore);
}

/** The task that a broker gives us holds the secret, too. */
function keyOf({ service, version, build }: ServiceKey): ServiceKey {
  return { service, version, build };
}
