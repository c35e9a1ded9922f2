import { connect as dial } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { RuntimeError } from "@holdfast/core/peer";
import { readFirstFrame } from "../protocol/first-frame.ts";
import { encodeMessage } from "../protocol/message-stream.ts";
import { PROTOCOL, ServerFirst } from "../protocol/messages.ts";
import { RefusedError } from "../protocol/refusal.ts";
import { DomainDirectory } from "../runtime/domain-directory.ts";
import { resolveService } from "../services/resolve-service.ts";
import { startBroker } from "./start-broker.ts";
import type { Socket } from "node:net";
import type { Hello, Route, Welcome } from "../protocol/messages.ts";

/** A start may take 60 s, and is tried three times at most; far sooner the caller's own signal ends the wait. */
const WITHIN_MS_DEFAULT = 70_000;
/** Ways that ended without an answer are tried again so often: each means that a process died under our hands. */
const TRIES_MAX = 8;
const RETRY_MS = 20;

export interface ConnectOptions {
  readonly service: string;
  /** The version that is wanted; if an operator has replaced it, its replacement answers, unless `exact`. */
  readonly version: string;
  readonly exact?: boolean;
  /**
   * The first bytes of an idempotent request. They leave together with the Hello, and may be handed to a second backend when
   * the first ends before it answers. A request that must not run twice is written when `connect` has resolved.
   */
  readonly idempotentRequest?: Uint8Array;
  /** Default: all, in this order: direct, handoff, redirect, proxy. */
  readonly routes?: readonly Route[];
  /** What to do if no broker answers. Default "start". HOLDFAST_BROKER=off means "never": only the direct route is tried. */
  readonly broker?: "start" | "use" | "never";
  /** For a service without a definition. */
  readonly domain?: string;
  readonly build?: string;
  /** Default 70 s. */
  readonly withinMs?: number;
  readonly signal?: AbortSignal;
}

/** A connection to a backend, and how it came about. */
export interface Connection {
  /** As if it had been dialled directly: what the backend wrote first is the first to be read. */
  readonly socket: Socket;
  readonly route: Route;
  /** Why it was not a better one. Null if it was the first that was tried. */
  readonly reason: string | null;
  /** Who serves it. */
  readonly version: string;
  readonly build: string;
  readonly pid: number;
}

/** How one way ended. */
type Try =
  | { readonly kind: "connected"; readonly connection: Connection }
  /** Nobody listens. */
  | { readonly kind: "absent" }
  /** Somebody took the connection and ended it without a word; or the connection broke. */
  | { readonly kind: "lost" }
  | { readonly kind: "redirected"; readonly endpoint: string; readonly reason: string };

/**
 * Connects to a service, by the best route that works: straight to its backend if it runs, else by a broker, which starts it
 * if need be. Throws RefusedError with a typed code; RuntimeError BROKER_UNREACHABLE, BACKEND_LOST, SERVICE_INVALID; and what
 * `signal` aborts with.
 */
export async function connect(options: ConnectOptions): Promise<Connection> {
  const patience = AbortSignal.timeout(options.withinMs ?? WITHIN_MS_DEFAULT);
  const signal = options.signal === undefined ? patience : AbortSignal.any([options.signal, patience]);
  const search = new Search(options, signal);
  try {
    return await search.run();
  } catch (error) {
    if (patience.aborted && options.signal?.aborted !== true && error === patience.reason) {
      throw new RuntimeError("BROKER_UNREACHABLE", { service: options.service, reason: `no answer within ${options.withinMs ?? WITHIN_MS_DEFAULT} ms` }, { cause: error });
    }
    throw error;
  }
}

class Search {
  readonly #options: ConnectOptions;
  readonly #signal: AbortSignal;
  readonly #routes: readonly Route[];
  readonly #broker: "start" | "use" | "never";
  #reason: string | null = null;
  /** The last one that was dialled directly. */
  #wasLost = false;
  /** That a broker has named, and where nobody was. */
  #absentEndpoint: string | undefined;

  constructor(options: ConnectOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
    this.#routes = options.routes ?? ["direct", "handoff", "redirect", "proxy"];
    this.#broker = brokerPolicy(options.broker);
  }

  async run(): Promise<Connection> {
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      if (tries > 0) await sleep(RETRY_MS * tries, undefined, { signal: this.#signal }).catch(() => this.#signal.throwIfAborted());
      this.#signal.throwIfAborted();
      const found = (await this.#tryDirect()) ?? (await this.#tryBroker());
      if (found !== undefined) return found;
    }
    throw new RuntimeError("BACKEND_LOST", { service: this.#options.service, tries: TRIES_MAX });
  }

  /** Where the service is to be found now: an operator may replace its version between two tries. */
  #resolve() {
    const { service, version, exact = false, domain, build } = this.#options;
    if (domain !== undefined && build !== undefined) return { service, version, build, domain };
    const resolved = resolveService(service, version, exact);
    return { service, version: resolved.version, build: build ?? resolved.build, domain: domain ?? resolved.domain };
  }

  async #tryDirect(): Promise<Connection | undefined> {
    if (!this.#routes.includes("direct")) return undefined;
    const key = this.#resolve();
    const directory = new DomainDirectory(key.domain);
    if (!directory.isOurs()) return this.#note("no-endpoint");
    const tried = await this.#tryPath(directory.endpoint(key), "direct");
    this.#wasLost = tried.kind === "lost";
    return tried.kind === "connected" ? tried.connection : this.#note(tried.kind === "absent" ? "no-endpoint" : "backend-lost");
  }

  async #tryBroker(): Promise<Connection | undefined> {
    const hasBroker = this.#broker !== "never" && this.#routes.some((route) => route !== "direct");
    if (!hasBroker && this.#wasLost) return undefined; // Somebody is there, and takes connections next time perhaps.
    if (this.#routes.every((route) => route === "direct")) return this.#giveUp("no backend of it runs, and only the direct route is allowed");
    if (this.#broker === "never") return this.#giveUp("no backend of it runs, and no broker is to be asked");
    const directory = new DomainDirectory(this.#resolve().domain);
    let tried: Try = directory.isOurs() ? await this.#tryPath(directory.door) : { kind: "absent" };
    if (tried.kind === "absent") {
      if (this.#broker === "use") return this.#giveUp("no broker runs, and none is to be started");
      await startBroker(directory, this.#signal);
      tried = await this.#tryPath(directory.door);
    }
    if (tried.kind === "redirected") tried = await this.#follow(tried, directory);
    return tried.kind === "connected" ? tried.connection : this.#note("broker-lost");
  }

  /**
   * To the endpoint that the broker names. Nobody there: its backend may just have ended, and the broker is asked again; nobody
   * there twice: this process cannot reach it, and the broker carries the bytes.
   */
  async #follow({ endpoint, reason }: Try & { kind: "redirected" }, directory: DomainDirectory): Promise<Try> {
    this.#note(reason);
    const tried = await this.#tryPath(endpoint, "redirect");
    if (tried.kind !== "absent") return tried;
    const isUnreachable = this.#absentEndpoint === endpoint;
    this.#absentEndpoint = endpoint;
    return isUnreachable && this.#routes.includes("proxy") ? await this.#tryPath(directory.door, undefined, ["proxy"]) : tried;
  }

  #note(reason: string): undefined {
    this.#reason = reason;
  }

  #giveUp(reason: string): never {
    throw new RuntimeError("BROKER_UNREACHABLE", { service: this.#options.service, version: this.#options.version, reason });
  }

  /** Dials, says Hello and takes the first frame. `dialled` is the route that a welcome here means, if no broker decides. */
  async #tryPath(path: string, dialled?: "direct" | "redirect", accepts = this.#accepts()): Promise<Try> {
    const socket = dial(path);
    const abort = () => socket.destroy();
    this.#signal.addEventListener("abort", abort);
    const { service, version, exact = false, build, idempotentRequest } = this.#options;
    const hello: Hello = {
      kind: "hello", protocol: PROTOCOL, service, version, exact, ...(build === undefined ? {} : { build }), pid: process.pid, accepts, route: dialled ?? "direct",
    };
    const frame = encodeMessage(hello);
    socket.write(idempotentRequest === undefined ? frame : Buffer.concat([frame, idempotentRequest]));
    let code: string | undefined;
    const handleError = (error: NodeJS.ErrnoException) => (code = error.code);
    socket.on("error", handleError); // What it means is told by the first frame, or by its absence.
    const answer = await readFirstFrame(socket, ServerFirst, this.#options.withinMs ?? WITHIN_MS_DEFAULT).catch((error: unknown) => {
      socket.destroy();
      throw error;
    }).finally(() => this.#signal.removeEventListener("abort", abort));
    if (typeof answer !== "string" && answer.kind === "welcome") {
      socket.off("error", handleError);
      return { kind: "connected", connection: this.#connection(socket, answer, dialled) };
    }
    socket.destroy();
    this.#signal.throwIfAborted();
    if (answer === "failed") return isAbsent(code) ? { kind: "absent" } : { kind: "lost" };
    if (typeof answer === "string") return { kind: "lost" };
    if (answer.kind === "redirect") return { kind: "redirected", endpoint: answer.endpoint, reason: answer.reason };
    throw new RefusedError(answer);
  }

  #accepts(): Hello["accepts"] {
    return this.#routes.filter((route) => route !== "direct");
  }

  #connection(socket: Socket, { route, version, build, pid }: Welcome, dialled: Route | undefined): Connection {
    return { socket, route: dialled ?? route, reason: this.#reason, version, build, pid };
  }
}

function brokerPolicy(given: ConnectOptions["broker"]): "start" | "use" | "never" {
  const text = process.env["HOLDFAST_BROKER"];
  if (text === "off") return "never";
  if (text === undefined || text === "" || text === "on") return given ?? "start";
  throw new RuntimeError("OPTION_INVALID", { HOLDFAST_BROKER: text, reason: 'it is "off", "on" or not set' });
}

function isAbsent(code: string | undefined): boolean {
  return code === "ENOENT" || code === "ECONNREFUSED" || code === "EACCES";
}
