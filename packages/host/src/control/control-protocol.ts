import { RuntimeError } from "@holdfast/core";
import type { Failure, Value } from "@holdfast/core";
import type { ExecutionDetails, ExecutionSummary, ExplainedPeer, NodeStatus, PeerReport, PolicyReport } from "../node-api.ts";

/**
 * What is spoken on a node's control connection: lines of JSON, `{id, method, params}` one way, `{id, result}` or
 * `{id, error}` the other, answers in whatever order they are ready. JSON has neither bigints nor bytes, so these are
 * tagged: {"$bigint": "12"}, {"$bytes": base64}. A map with a key that begins with `$` is tagged too, {"$map": [[key, value]]}.
 */
export interface ControlMethods {
  readonly status: { readonly params: {}; readonly result: NodeStatus };
  readonly start: { readonly params: StartParams; readonly result: string };
  /** Waits until the execution has ended. */
  readonly result: { readonly params: { readonly execution: string }; readonly result: Outputs };
  readonly cancel: { readonly params: { readonly execution: string }; readonly result: boolean };
  readonly retry: { readonly params: { readonly execution: string }; readonly result: null };
  readonly signal: { readonly params: { readonly execution: string; readonly event: string; readonly value: Value }; readonly result: null };
  readonly publish: { readonly params: { readonly event: string; readonly value: Value }; readonly result: null };
  readonly executions: { readonly params: {}; readonly result: readonly ExecutionSummary[] };
  readonly execution: { readonly params: { readonly execution: string }; readonly result: ExecutionDetails | null };
  readonly peers: { readonly params: {}; readonly result: readonly PeerReport[] };
  readonly "cells-get": { readonly params: { readonly cells: string; readonly key: string }; readonly result: Value };
  readonly "cells-range": { readonly params: CellsRangeParams; readonly result: readonly (readonly [string, Value])[] };
  readonly "cells-size": { readonly params: { readonly cells: string }; readonly result: number };
  /** Takes a snapshot, which the connection keeps until the next; says how long it is. */
  readonly snapshot: { readonly params: {}; readonly result: { readonly bytes: number } };
  /** A piece of it, of at most `SNAPSHOT_PIECE_BYTES`. */
  readonly "snapshot-piece": { readonly params: { readonly at: number }; readonly result: Uint8Array };
  readonly "explain-peer": { readonly params: { readonly peer: string }; readonly result: ExplainedPeer };
  readonly policy: { readonly params: {}; readonly result: PolicyReport };
  /** Changes of policy are made by an operator. */
  readonly block: { readonly params: { readonly peer: string } & PolicyParams; readonly result: null };
  readonly unblock: { readonly params: { readonly peer: string }; readonly result: null };
  readonly "allow-only": { readonly params: { readonly peers: readonly string[] | null } & PolicyParams; readonly result: null };
  readonly allow: { readonly params: { readonly peer: string } & PolicyParams; readonly result: null };
  readonly disallow: { readonly params: { readonly peer: string }; readonly result: null };
}

export type ControlMethod = keyof ControlMethods;
export type ParamsOf<Method extends ControlMethod> = ControlMethods[Method]["params"];
export type ResultOf<Method extends ControlMethod> = ControlMethods[Method]["result"];
export type Outputs = { readonly [port: string]: Value };

export interface StartParams {
  readonly flow: string;
  readonly input: Value;
  readonly id?: string;
  readonly deadlineMs?: number;
}

export interface PolicyParams {
  readonly forMs?: number;
  readonly reason?: string;
}

export interface CellsRangeParams {
  readonly cells: string;
  readonly after?: string;
  readonly limit?: number;
}

export interface ControlRequest {
  readonly id: number;
  readonly method: string;
  readonly params: Readonly<Record<string, unknown>>;
}

export type ControlAnswer = { readonly id: number; readonly result: unknown } | { readonly id: number | null; readonly error: ControlFault };

export interface ControlFault {
  readonly code: string;
  readonly message: string;
  readonly details: unknown;
}

/** Code of the fault that carries the failure of an execution, in its details. */
export const EXECUTION_FAILED = "EXECUTION_FAILED";
export interface ExecutionFailedDetails {
  readonly execution: string;
  readonly failure: Failure;
}

/** As large as an envelope may be (docs/LIMITS.md), so that whatever came in by a link fits. */
export const LINE_BYTES_MAX = 16 * 1024 * 1024;
/** Base64 makes 5.4 MB of it: well within a line. */
export const SNAPSHOT_PIECE_BYTES = 4 * 1024 * 1024;
/** Pairs in one answer, and the bytes at which an answer is cut short: room for what JSON adds. */
export const RANGE_PAIRS_MAX = 10_000;
export const RANGE_BYTES_MAX = 4 * 1024 * 1024;

/** JSON on one line. */
export function encodeControlLine(message: ControlRequest | ControlAnswer): string {
  return `${JSON.stringify(tagged(message))}\n`;
}

/** Throws CONTROL_MALFORMED. */
export function parseControlLine(line: string): unknown {
  try {
    return untagged(JSON.parse(line));
  } catch (error) {
    throw new RuntimeError("CONTROL_MALFORMED", { reason: (error as Error).message }, { cause: error });
  }
}

/** A value as JSON can hold it; also what the command line prints. */
export function tagged(value: unknown): unknown {
  if (typeof value === "bigint") return { $bigint: String(value) };
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64") };
  if (Array.isArray(value)) return value.map(tagged);
  if (typeof value !== "object" || value === null) return value;
  const pairs = Object.entries(value).map(([key, part]): [string, unknown] => [key, tagged(part)]);
  return pairs.some(([key]) => key.startsWith("$") || key === "__proto__") ? { $map: pairs } : Object.fromEntries(pairs);
}

export function untagged(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(untagged);
  if (typeof json !== "object" || json === null) return json;
  const pairs = Object.entries(json);
  const [key, part] = pairs[0] ?? [];
  if (pairs.length !== 1 || key === undefined || !key.startsWith("$")) {
    return Object.fromEntries(pairs.map(([name, inner]) => [name, untagged(inner)]));
  }
  if (key === "$bigint" && typeof part === "string") return BigInt(part);
  if (key === "$bytes" && typeof part === "string") return Uint8Array.from(Buffer.from(part, "base64"));
  if (key === "$map" && Array.isArray(part)) {
    return Object.fromEntries((part as [string, unknown][]).map(([name, inner]) => [name, untagged(inner)]));
  }
  throw new Error(`the tag ${key} is unknown`);
}
