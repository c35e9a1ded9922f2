import { existsSync, readFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { RuntimeError } from "@holdfast/core/peer";
import { openPeers } from "./server-peers.ts";
import type { PeerExplained } from "./peer-explained.ts";
import { VERSION } from "./state/json-file.ts";
import { APPLICATION_ID, LAYOUT_VERSION, OPENING_MS } from "./state/sqlite-file.ts";
import type { StoredRow } from "./state/state-store.ts";
import type { PeersOptions } from "./peers-options.ts";

const YEAR_MS = 365 * 24 * 3600 * 1000;
/** Whoever opens a state with these leaves out nothing of it, and takes out none, whatever the options of those who use it. */
export const WHOLE_STATE: PeersOptions = Object.freeze({ peersMax: 1_000_000, sitesMax: 10_000, cooldownMaxMs: YEAR_MS, adviceTotalMaxMs: YEAR_MS });

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
  const peers = openPeers({ ...WHOLE_STATE, state: { read: () => rows, exchange: () => true, close() {} } });
  try {
    return peers.keys().sort().map((key) => peers.explain(key));
  } finally {
    peers.close();
  }
}

function rowsOfJson(path: string): StoredRow[] {
  const file = JSON.parse(readFileSync(path, "utf8")) as { holdfast?: unknown; version?: unknown; peers?: unknown } | null;
  if (typeof file !== "object" || file?.holdfast !== "peers" || typeof file.peers !== "object" || file.peers === null) throw new Error("it holds no peers");
  if (file.version !== VERSION) throw new Error(`its version is ${String(file.version)}, and not ${VERSION}`);
  return Object.entries(file.peers).map(([key, row]) => ({ key, text: JSON.stringify(row) }));
}

function rowsOfDatabase(path: string): StoredRow[] {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    // Whoever opens it first after a crash mends it, which takes a moment.
    database.exec(`PRAGMA busy_timeout = ${OPENING_MS}`);
    const { application_id: application } = database.prepare("PRAGMA application_id").get() as { application_id: number };
    const { user_version: version } = database.prepare("PRAGMA user_version").get() as { user_version: number };
    if (application !== APPLICATION_ID || version !== LAYOUT_VERSION) throw new Error("it is another program's, or of another version");
    return database.prepare("SELECT key, text FROM peers").all() as unknown as StoredRow[];
  } finally {
    database.close();
  }
}
