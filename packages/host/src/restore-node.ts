import { randomBytes } from "node:crypto";
import { linkSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import {
  decodeSnapshot, type Encoded, encodeSnapshot, type Lineage, type PeerId, readNodeRow, ROW, RuntimeError, snapshotOrigin, type SnapshotOrigin,
} from "@holdfast/core";
import { openIdentity } from "./identity/identity.ts";
import { syncDirectory } from "./files/private-directory.ts";
import { readSqliteStore, type StoredState } from "./stores/sqlite-store.ts";
import { StateDatabase } from "./stores/state-database.ts";

/** A node's directories: its own, and its store's inside. */
const storeOf = (directory: string): string => join(directory, "store");

/** What a restore did. */
export interface Restored {
  readonly peer: PeerId;
  /** Rows of the new store; 0: it starts empty. */
  readonly rows: number;
  readonly lineage: Lineage | null;
  /** Where the store is that was there before. */
  readonly backup: string | null;
}

/** A stopped node's state as a snapshot. Throws STORE_BUSY while it runs, NOT_FOUND, STORE_DAMAGED. */
export function readSnapshot(directory: string): Uint8Array {
  const { rows, fence, position } = readSqliteStore(storeOf(directory));
  return encodeSnapshot(rows, { fence, position });
}

/**
 * Replaces a stopped node's state: by a snapshot's, or, to give up the history openly, by its own under a new lineage.
 * The key stays; the old store stays beside the new one, as a backup.
 *
 * Never silently an older state: a snapshot older than the store, or of another lineage, needs `newLineage`, since peers
 * remember more than it holds. A new lineage without a snapshot keeps what the store holds, and nothing if that cannot be read.
 *
 * Throws STORE_BUSY while the node runs, IDENTITY_INVALID without its key, STORE_FOREIGN for another node's snapshot,
 * SNAPSHOT_INVALID, STORE_DAMAGED, OPTION_INVALID.
 */
export async function restoreNode(directory: string, options: { readonly snapshot?: Uint8Array; readonly newLineage: boolean }): Promise<Restored> {
  const { snapshot, newLineage } = options;
  if (snapshot === undefined && !newLineage) throw new RuntimeError("OPTION_INVALID", { option: "snapshot", reason: "there is nothing to restore" });
  const peer = identityIn(directory);
  const store = storeOf(directory);
  const stored = readStored(store, newLineage);
  const origin = snapshot === undefined ? undefined : snapshotOrigin(snapshot);
  if (origin !== undefined) checkOrigin(origin, peer, stored, newLineage);

  const lineage = newLineage ? (randomBytes(16).toString("hex") as Lineage) : null;
  let damaged = stored === "damaged";
  let rows: readonly Encoded[] = [];
  try {
    if (snapshot !== undefined) rows = decodeSnapshot(snapshot, { newLineage: lineage });
    else if (typeof stored === "object" && stored.rows.length > 0) {
      // Our own state is as large as it is: a snapshot's bound must not lose it.
      rows = decodeSnapshot(encodeSnapshot(stored.rows, stored, { bytesMax: Infinity }), { newLineage: lineage, bytesMax: Infinity });
    }
  } catch (error) {
    if (snapshot !== undefined || !isDamage(error)) throw error;
    damaged = true; // readable bytes, and no state in them
  }
  const position = Math.max(origin?.position ?? 0, typeof stored === "object" ? stored.position : 0, 1);
  const draft = rows.length === 0 ? undefined : writeDraft(directory, peer, rows, position);
  const backup = stored === "none" ? null : join(directory, `store.backup-${new Date().toISOString().replaceAll(/[:.]/g, "-")}`);
  // A damaged store goes as it is; so does one that nothing takes the place of.
  if (backup === null || damaged || draft === undefined) replaceDirectory(store, draft, backup);
  else replaceFile(store, draft, backup);
  syncDirectory(directory);
  const kept = rows.find(([key]) => key === ROW.node);
  return { peer, rows: rows.length, lineage: kept === undefined ? null : readNodeRow(kept[1]).lineage as Lineage, backup };
}

/** The key must be there: a restored state under a fresh key would be another node's. */
function identityIn(directory: string): PeerId {
  const path = join(directory, "identity.key.pem");
  if (!exists(path)) throw new RuntimeError("IDENTITY_INVALID", { path, reason: "missing" });
  return openIdentity(directory).peerId;
}

/** Damage is only survived by who gives up the history; STORE_BUSY by nobody. */
function readStored(store: string, newLineage: boolean): StoredState | "none" | "damaged" {
  if (!exists(join(store, "state.db"))) return "none";
  try {
    return readSqliteStore(store);
  } catch (error) {
    if (newLineage && isDamage(error)) return "damaged";
    throw error;
  }
}

/** Another spec version is no damage: a newer Holdfast reads it. */
function isDamage(error: unknown): boolean {
  if (!(error instanceof RuntimeError)) return false;
  return error.code === "STORE_DAMAGED" || (error.code === "SNAPSHOT_INVALID" && error.details["part"] !== "spec version");
}

function checkOrigin(origin: SnapshotOrigin, peer: PeerId, stored: StoredState | "none" | "damaged", newLineage: boolean): void {
  if (origin.peer !== peer) throw new RuntimeError("STORE_FOREIGN", { snapshot: origin.peer, node: peer });
  if (newLineage || stored === "none" || stored === "damaged") return;
  const row = stored.rows.find(([key]) => key === ROW.node);
  if (row === undefined) return; // claimed, and never committed to
  const node = readNodeRow(row[1]);
  if (origin.lineage !== node.lineage) throw refuse("the snapshot is of another lineage than the store");
  // Engine time never goes back within a lineage, and every commit stores it.
  if (origin.now < node.now || origin.incarnation < node.incarnation) throw refuse("the snapshot is older than the store");
}

function refuse(reason: string): RuntimeError {
  return new RuntimeError("OPTION_INVALID", { option: "newLineage", reason: `${reason}: restoring it gives up the history, which needs --new-lineage` });
}

/** A complete store in a directory of its own, beside the real one. */
function writeDraft(directory: string, owner: string, rows: readonly Encoded[], position: number): string {
  const draft = join(directory, `store.draft-${randomBytes(8).toString("hex")}`);
  const database = new StateDatabase(draft, { create: true });
  try {
    const { fence } = database.claim(owner);
    database.commit(fence, position, rows, []);
  } catch (error) {
    database.close();
    rmSync(draft, { recursive: true, force: true });
    throw error;
  }
  database.close(); // moves the log into the database
  return draft;
}

/** One atomic rename: at every moment the store is the old one or the new one. Held locked meanwhile, with an empty log. */
function replaceFile(store: string, draft: string, backup: string): void {
  const old = new StateDatabase(store, { create: false });
  try {
    mkdirSync(backup, { mode: 0o700 });
    linkSync(old.path, join(backup, "state.db"));
    syncDirectory(backup);
    renameSync(join(draft, "state.db"), old.path);
    syncDirectory(store);
  } finally {
    old.close();
  }
  rmSync(draft, { recursive: true });
}

/** For a store that cannot be opened: its log must go with it, or SQLite would read that into the new one. */
function replaceDirectory(store: string, draft: string | undefined, backup: string | null): void {
  if (backup !== null) renameSync(store, backup);
  else rmSync(store, { recursive: true, force: true }); // no database in it, at most the lock of one
  if (draft !== undefined) renameSync(draft, store);
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}
