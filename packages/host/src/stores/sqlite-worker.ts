/** The worker thread of a SQLite store: takes requests in order, answers each before it takes the next. */
import { flushCompileCache } from "node:module";
import { parentPort } from "node:worker_threads";
import { assert, RuntimeError, type ErrorCode } from "@holdfast/core";
import { packRows, packedRows, type PackedRows } from "./row-batch.ts";
import { StateDatabase } from "./state-database.ts";
import type { Claim, Row } from "./store.ts";

export type Request = Readonly<
  | { kind: "claim"; directory: string; owner: string }
  | { kind: "load" }
  | { kind: "commit"; fence: number; position: number; puts: PackedRows; deletes: readonly string[] }
  | { kind: "close" }
>;

/** Every request is answered by any number of `rows` and then `done` or `failed`. */
export type Reply = Readonly<
  | { kind: "rows"; rows: PackedRows }
  | { kind: "done"; claim?: Claim }
  | { kind: "failed"; code: ErrorCode; details: Readonly<Record<string, unknown>> }
>;

/** Loaded rows travel in chunks of about this size, so that a large store is not held twice. */
const CHUNK_BYTES = 4 * 1024 * 1024;
/** Automatic checkpoints give a p99 of 5 ms; so they are made by hand, when nothing was committed for a while … */
const CHECKPOINT_BYTES = 4 * 1024 * 1024;
const QUIET_MS = 20;
/** … and at the latest here, so that the log stays bounded under steady load. */
const CHECKPOINT_BYTES_FORCED = 64 * 1024 * 1024;

assert(parentPort !== null, "this file runs as a worker");
const port = parentPort;
flushCompileCache(); // Otherwise done when this thread ends, and `close` waits for that.
let database: StateDatabase | undefined;
let quiet: NodeJS.Timeout | undefined;

port.on("message", (request: Request) => {
  try {
    const claim = perform(request);
    port.postMessage((claim === undefined ? { kind: "done" } : { kind: "done", claim }) satisfies Reply);
  } catch (error) {
    if (!(error instanceof RuntimeError)) throw error; // a bug: ends this thread, and the store with it
    port.postMessage({ kind: "failed", code: error.code, details: error.details } satisfies Reply);
  }
  if (request.kind === "commit") planCheckpoint();
  if (request.kind === "close") port.close();
});

function perform(request: Request): Claim | undefined {
  switch (request.kind) {
    case "claim": return claim(request.directory, request.owner);
    case "load": return void load(opened());
    case "commit": return void opened().commit(request.fence, request.position, packedRows(request.puts), request.deletes);
    case "close": return void close();
  }
}

function opened(): StateDatabase {
  assert(database !== undefined, "a store is claimed before it is used");
  return database;
}

function claim(directory: string, owner: string): Claim {
  assert(database === undefined, "a store is claimed once");
  const opening = new StateDatabase(directory, { create: true });
  try {
    const claimed = opening.claim(owner);
    database = opening;
    return claimed;
  } catch (error) {
    opening.close();
    throw error;
  }
}

function load(from: StateDatabase): void {
  let chunk: Row[] = [];
  let bytes = 0;
  const post = () => {
    const rows = packRows(chunk);
    port.postMessage({ kind: "rows", rows } satisfies Reply, [rows.bytes]);
    chunk = [];
    bytes = 0;
  };
  for (const row of from.rows()) {
    chunk.push(row);
    bytes += row[1].length;
    if (bytes >= CHUNK_BYTES) post();
  }
  if (chunk.length > 0) post();
}

/** Runs after the commit was answered. */
function planCheckpoint(): void {
  if (database === undefined) return;
  if (database.logBytes() >= CHECKPOINT_BYTES_FORCED) database.checkpoint();
  quiet ??= setTimeout(() => {
    if (database !== undefined && database.logBytes() >= CHECKPOINT_BYTES) database.checkpoint();
  }, QUIET_MS).unref();
  quiet.refresh();
}

function close(): void {
  clearTimeout(quiet);
  database?.close();
  database = undefined;
}
