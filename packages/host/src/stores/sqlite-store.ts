import { Worker } from "node:worker_threads";
import { assert, RuntimeError } from "@holdfast/core";
import type { Log } from "../log.ts";
import { packRows, packedRows } from "./row-batch.ts";
import type { Reply, Request } from "./sqlite-worker.ts";
import { StateDatabase } from "./state-database.ts";
import type { Batch, Claim, Row, Store } from "./store.ts";

/**
 * A store in `directory` (created with mode 0700), over SQLite in a thread of its own. Nothing is opened before `claim`;
 * a failed `claim` may be tried again.
 */
export async function openSqliteStore(directory: string, options: { readonly log?: Log } = {}): Promise<Store> {
  const store = new SqliteStore(directory, options.log);
  await store.started;
  return store;
}

/** What a stopped node's store holds. */
export interface StoredState {
  readonly owner: string | undefined;
  readonly fence: number;
  readonly position: number;
  readonly rows: readonly Row[];
}

/**
 * Reads a stopped node's store and changes nothing of its state. Throws STORE_BUSY while a process owns it, NOT_FOUND,
 * STORE_DAMAGED.
 */
export function readSqliteStore(directory: string): StoredState {
  const database = new StateDatabase(directory, { create: false });
  try {
    const rows = [...database.rows()];
    const { owner, fence, position } = database.meta ?? { owner: undefined, fence: 0, position: 0 };
    return { owner, fence, position, rows };
  } finally {
    database.close();
  }
}

interface Waiting {
  readonly resolve: (claim: Claim | undefined) => void;
  readonly reject: (error: Error) => void;
  readonly onRow: ((row: Row) => void) | undefined;
}

class SqliteStore implements Store {
  readonly started: Promise<void>;
  readonly #directory: string;
  readonly #worker: Worker;
  /** Requests without their answer, oldest first: the worker answers in order. */
  readonly #waiting: Waiting[] = [];
  #ended: Error | undefined;
  #fence: number | undefined;
  #position = 0;
  #closing: Promise<void> | undefined;

  constructor(directory: string, log: Log | undefined) {
    this.#directory = directory;
    // Beside this file, under the extension that this file runs under: .ts from source, .js from dist.
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    this.#worker = new Worker(new URL(`./sqlite-worker.${extension}`, import.meta.url), { name: "holdfast store" });
    this.started = new Promise((resolve, reject) => {
      this.#worker.once("online", resolve);
      this.#worker.once("error", reject);
    });
    this.#worker.on("message", (reply: Reply) => this.#handleReply(reply));
    this.#worker.on("error", (error) => {
      log?.error({ err: error, directory }, "the store's thread failed");
      this.#end(new RuntimeError("STORE_FAILED", { directory, reason: error.message }, { cause: error }));
    });
    this.#worker.on("exit", () => this.#end(new RuntimeError("STORE_FAILED", { directory, reason: "closed" })));
  }

  async claim(owner: string): Promise<Claim> {
    const claim = await this.#request({ kind: "claim", directory: this.#directory, owner });
    assert(claim !== undefined, "a claim is answered with one");
    this.#fence = claim.fence;
    this.#position = claim.position;
    return claim;
  }

  async load(): Promise<readonly Row[]> {
    assert(this.#fence !== undefined, "a store is claimed before it is used");
    const rows: Row[] = [];
    // Each value gets memory of its own, or the smallest would keep its whole chunk alive.
    await this.#request({ kind: "load" }, [], ([key, bytes]) => rows.push([key, bytes.slice()]));
    return rows;
  }

  async commit(batch: Batch): Promise<void> {
    assert(this.#fence !== undefined, "a store is claimed before it is used");
    assert(batch.position > this.#position, "positions ascend");
    for (const [key] of batch.puts) assert(key.isWellFormed(), "a key is well-formed text");
    this.#position = batch.position;
    const puts = packRows(batch.puts);
    await this.#request({ kind: "commit", fence: this.#fence, position: batch.position, puts, deletes: batch.deletes }, [puts.bytes]);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#ended !== undefined) return;
    const exited = new Promise((resolve) => this.#worker.once("exit", resolve));
    await this.#request({ kind: "close" });
    await exited;
  }

  #request(request: Request, transfer: ArrayBuffer[] = [], onRow?: (row: Row) => void): Promise<Claim | undefined> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) return reject(this.#ended);
      this.#waiting.push({ resolve, reject, onRow });
      this.#worker.postMessage(request, transfer);
    });
  }

  #handleReply(reply: Reply): void {
    const waiting = this.#waiting[0];
    assert(waiting !== undefined, "only requests are answered");
    if (reply.kind === "rows") {
      for (const row of packedRows(reply.rows)) waiting.onRow?.(row);
      return;
    }
    this.#waiting.shift();
    if (reply.kind === "done") waiting.resolve(reply.claim);
    else waiting.reject(new RuntimeError(reply.code, reply.details));
  }

  #end(error: Error): void {
    this.#ended ??= error;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#ended);
  }
}
