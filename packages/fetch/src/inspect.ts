import { existsSync, readFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { RuntimeError } from "@holdfast/core/peer";
import { openPeers } from "./server-peers.ts";
import type { PeerExplained } from "./peer-explained.ts";
import type { StoredRow } from "./state/state-store.ts";

/** More than any state holds. */
const PEERS_MAX = 1_000_000;

/**
 * What a state file knows of every peer, now, in the order of their keys. Changes nothing, also while others use the
 * file. Throws NOT_FOUND; SNAPSHOT_INVALID for a file that holds no peers.
 */
export function inspectState(path: string): PeerExplained[] {
  if (!existsSync(path)) throw new RuntimeError("NOT_FOUND", { path });
  let rows: readonly StoredRow[];
  try {
    rows = path.endsWith(".json") ? rowsOfJson(path) : rowsOfDatabase(path);
  } catch (cause) {
    throw new RuntimeError("SNAPSHOT_INVALID", { path, reason: cause instanceof Error ? cause.message : String(cause) }, { cause });
  }
  const peers = openPeers({ peersMax: PEERS_MAX, sitesMax: 10_000, state: { read: () => rows, exchange: () => true, close() {} } });
  try {
    return peers.keys().sort().map((key) => peers.explain(key));
  } finally {
    peers.close();
  }
}

function rowsOfJson(path: string): StoredRow[] {
  const file = JSON.parse(readFileSync(path, "utf8")) as { holdfast?: unknown; peers?: unknown } | null;
  if (typeof file !== "object" || file?.holdfast !== "peers" || typeof file.peers !== "object" || file.peers === null) throw new Error("it holds no peers");
  return Object.entries(file.peers).map(([key, row]) => ({ key, text: JSON.stringify(row) }));
}

function rowsOfDatabase(path: string): StoredRow[] {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    return database.prepare("SELECT key, text FROM peers").all() as unknown as StoredRow[];
  } finally {
    database.close();
  }
}
