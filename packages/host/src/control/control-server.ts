import { BugError, RuntimeError } from "@holdfast/core";
import { ExecutionFailure } from "../execution-failure.ts";
import {
  encodeControlLine, EXECUTION_FAILED, parseControlLine, RANGE_BYTES_MAX, RANGE_PAIRS_MAX, SNAPSHOT_PIECE_BYTES, tagged,
} from "./control-protocol.ts";
import { LineReader } from "./line-reader.ts";
import type { Socket } from "node:net";
import type { Value } from "@holdfast/core";
import type { Node } from "../node-api.ts";
import type { ControlAnswer, ControlFault, ControlMethod, ControlRequest, ParamsOf, ResultOf } from "./control-protocol.ts";

/** Requests of one connection that are waited for; far more than any tool of ours asks at once. */
const WAITING_MAX = 1024;

/**
 * Lets others look at a node and command it, over any stream that is theirs to use: who may connect is decided where the
 * connections come from.
 */
export class ControlServer {
  readonly #node: Node;
  readonly #sockets = new Set<Socket>();

  constructor(node: Node) {
    this.#node = node;
  }

  accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    Connection.serve(this.#node, socket);
  }

  /** Ends every connection. */
  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** One client. Its waits end with it. */
class Connection {
  readonly #node: Node;
  readonly #socket: Socket;
  readonly #gone = new AbortController();
  readonly #lines = new LineReader();
  #waiting = 0;
  #snapshot: Uint8Array | undefined;

  private constructor(node: Node, socket: Socket) {
    this.#node = node;
    this.#socket = socket;
  }

  static serve(node: Node, socket: Socket): void {
    const connection = new Connection(node, socket);
    socket.on("data", (chunk: Buffer) => connection.#handleData(chunk));
    socket.on("error", () => socket.destroy());
    socket.on("close", () => connection.#gone.abort());
  }

  #handleData(chunk: Buffer): void {
    try {
      for (const line of this.#lines.push(chunk)) {
        const request = parseRequest(line);
        if (++this.#waiting > WAITING_MAX) throw new RuntimeError("FULL", { table: "control requests" });
        void this.#answer(request);
      }
    } catch (error) {
      // What is not of the protocol cannot be answered one by one: say why, and hang up.
      this.#socket.end(encodeControlLine({ id: null, error: faultOf(error) }));
    }
  }

  async #answer({ id, method, params }: ControlRequest): Promise<void> {
    let answer: ControlAnswer;
    try {
      const handle = (this.#methods as Record<string, ((given: never) => unknown) | undefined>)[method];
      if (handle === undefined) throw new RuntimeError("CONTROL_MALFORMED", { reason: `there is no method ${method}` });
      answer = { id, result: (await handle(params as never)) ?? null };
    } catch (error) {
      answer = { id, error: faultOf(error) };
    }
    this.#waiting--;
    if (!this.#socket.destroyed) this.#socket.write(encodeControlLine(answer));
  }

  readonly #methods: { readonly [Method in ControlMethod]: (params: ParamsOf<Method>) => ResultOf<Method> | Promise<ResultOf<Method>> } = {
    status: () => this.#node.status(),
    start: ({ flow, input, ...options }) => this.#node.start(flow, input, options),
    result: ({ execution }) => this.#node.result(execution, { signal: this.#gone.signal }),
    cancel: ({ execution }) => this.#node.cancel(execution),
    retry: ({ execution }) => nothing(this.#node.retry(execution)),
    signal: ({ execution, event, value }) => nothing(this.#node.signal(execution, event, value)),
    publish: ({ event, value }) => nothing(this.#node.publish(event, value)),
    executions: () => this.#node.executions(),
    execution: ({ execution }) => this.#node.execution(execution) ?? null,
    peers: () => this.#node.peers(),
    "cells-get": ({ cells, key }) => this.#node.cells(cells).get(key) ?? null,
    "cells-range": ({ cells, after, limit = RANGE_PAIRS_MAX }) =>
      fitting(this.#node.cells(cells).range({ limit: Math.min(limit, RANGE_PAIRS_MAX), ...(after === undefined ? {} : { after }) })),
    "cells-size": ({ cells }) => this.#node.cells(cells).size,
    snapshot: async () => {
      this.#snapshot = await this.#node.snapshot();
      return { bytes: this.#snapshot.length };
    },
    "snapshot-piece": ({ at }) => {
      if (this.#snapshot === undefined) throw new RuntimeError("NOT_FOUND", { what: "a snapshot taken on this connection" });
      return this.#snapshot.subarray(at, at + SNAPSHOT_PIECE_BYTES);
    },
    "explain-peer": ({ peer }) => this.#node.explainPeer(peer),
    policy: () => this.#node.policy(),
    block: ({ peer, ...terms }) => nothing(this.#node.block(peer, { ...terms, by: "operator" })),
    unblock: ({ peer }) => nothing(this.#node.unblock(peer)),
    "allow-only": ({ peers, ...terms }) => nothing(this.#node.allowOnly(peers, { ...terms, by: "operator" })),
    allow: ({ peer, ...terms }) => nothing(this.#node.allow(peer, { ...terms, by: "operator" })),
    disallow: ({ peer }) => nothing(this.#node.disallow(peer)),
  };
}

async function nothing(done: Promise<unknown>): Promise<null> {
  await done;
  return null;
}

/** As many of the pairs as an answer takes, and at least one. */
function fitting(pairs: readonly [string, Value][]): readonly [string, Value][] {
  let bytes = 0;
  const end = pairs.findIndex((pair) => (bytes += JSON.stringify(tagged(pair)).length) > RANGE_BYTES_MAX);
  return end === -1 ? pairs : pairs.slice(0, Math.max(1, end));
}

function parseRequest(line: string): ControlRequest {
  const request = parseControlLine(line) as Partial<ControlRequest> | null;
  const wellFormed = typeof request === "object" && request !== null && Number.isSafeInteger(request.id) &&
    typeof request.method === "string" && typeof request.params === "object" && request.params !== null;
  if (!wellFormed) throw new RuntimeError("CONTROL_MALFORMED", { reason: "no id, method or params" });
  return request as ControlRequest;
}

function faultOf(error: unknown): ControlFault {
  if (error instanceof BugError) throw error;
  if (error instanceof RuntimeError) return { code: error.code, message: error.message, details: plain(error.details) };
  if (error instanceof ExecutionFailure) {
    return { code: EXECUTION_FAILED, message: error.message, details: { execution: error.execution, failure: error.failure } };
  }
  return { code: "CONTROL_FAILED", message: (error as Error).message, details: null };
}

/** Details are for people; what is no value is told as text. */
function plain(details: Readonly<Record<string, unknown>>): unknown {
  return JSON.parse(JSON.stringify(details, (_key, part: unknown) => (typeof part === "bigint" ? String(part) : part)));
}
