/** Opens the files of a `StateDatabase`: the lock, the log's check, SQLite's settings, the tables. */
import { chmodSync, closeSync, openSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { RuntimeError } from "@holdfast/core";
import { DirectoryUnsafeError, ensurePrivateDirectory } from "../files/private-directory.ts";
import { isBusy, storeError } from "./database-errors.ts";
import { checkWriteAheadLog } from "./write-ahead-log.ts";

export const PAGE_BYTES = 4096;
/** "Hold", and the version of this layout. */
const APPLICATION_ID = 0x486f6c64;
const LAYOUT_VERSION = 1;

/**
 * `state` has row ids on purpose. Without them rows sit in key order, so that what is written together lies apart, and
 * values over 1000 bytes spill to pages of their own: measured 2 to 5 times as many bytes per commit, and a third of the rows/s.
 */
const SCHEMA = `
  CREATE TABLE state (key TEXT PRIMARY KEY NOT NULL, bytes BLOB, hash BLOB, checksum INTEGER NOT NULL);
  CREATE TABLE blobs (hash BLOB PRIMARY KEY, bytes BLOB NOT NULL);
  CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 1), owner TEXT NOT NULL, fence INTEGER NOT NULL,
    position INTEGER NOT NULL, rows INTEGER NOT NULL, sum INTEGER NOT NULL, checksum INTEGER NOT NULL);
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${LAYOUT_VERSION};
`;

export interface DatabaseFile {
  readonly path: string;
  readonly lock: DatabaseSync;
  readonly database: DatabaseSync;
}

/** Throws STORE_BUSY, STORE_DAMAGED, STORE_FAILED; NOT_FOUND if nothing is there and it may not `create`. */
export function openDatabaseFile(directory: string, options: { readonly create: boolean }): DatabaseFile {
  const path = join(directory, "state.db");
  if (!options.create && statSync(path, { throwIfNoEntry: false }) === undefined) throw new RuntimeError("NOT_FOUND", { path });
  let lock: DatabaseSync | undefined;
  let database: DatabaseSync | undefined;
  try {
    ensurePrivateDirectory(directory);
    lock = takeLock(join(directory, "owner.lock"));
    createPrivate(path);
    const log = checkWriteAheadLog(`${path}-wal`);
    if (log.frames > 0 && statSync(path).size === 0) {
      throw new RuntimeError("STORE_DAMAGED", { path, part: "database file", reason: "empty beside a log" });
    }
    database = new DatabaseSync(path);
    configure(database);
    createTables(database, path);
    // Empty the log: what is left of a torn tail must not lie behind newer transactions (write-ahead-log.ts).
    database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    return { path, lock, database };
  } catch (error) {
    if (database?.isOpen) database.close();
    if (lock?.isOpen) lock.close();
    if (error instanceof DirectoryUnsafeError) throw new RuntimeError("STORE_FAILED", { path: directory, reason: error.message }, { cause: error });
    throw storeError(error, path);
  }
}

/** The lock last: until then nobody else may look at the log. */
export function closeDatabaseFile({ database, lock }: DatabaseFile): void {
  if (database.isOpen) database.close();
  if (lock.isOpen) lock.close();
}

/** A file that an empty exclusive transaction keeps locked. A lock of its own, since the log is checked before SQLite opens it. */
function takeLock(path: string): DatabaseSync {
  createPrivate(path);
  const lock = new DatabaseSync(path); // its busy timeout is 0: no waiting
  try {
    lock.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE"); // no journal file beside it
    return lock;
  } catch (error) {
    lock.close();
    if (isBusy(error)) throw new RuntimeError("STORE_BUSY", { path });
    throw error;
  }
}

/**
 * Creates the file with mode 0600 if it is missing. An existing one is never opened here: closing any descriptor of a
 * file drops all locks that this process holds on it (POSIX), also those of another store in this process.
 */
function createPrivate(path: string): void {
  try {
    closeSync(openSync(path, "wx", 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, 0o600);
  }
}

function configure(database: DatabaseSync): void {
  // Exclusive before WAL: SQLite then needs no shared memory file. The page size counts for a new file only.
  database.exec("PRAGMA page_size = 4096; PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
  database.exec("PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -16384; PRAGMA cell_size_check = ON");
  database.exec("PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON"); // on macOS, fsync alone leaves the disk's cache
  const wanted = { page_size: 4096, locking_mode: "exclusive", journal_mode: "wal", synchronous: 2 };
  for (const [pragma, value] of Object.entries(wanted)) {
    const row = database.prepare(`PRAGMA ${pragma}`).get() as Record<string, unknown>;
    if (row[pragma] !== value) throw new RuntimeError("STORE_FAILED", { reason: `PRAGMA ${pragma} is ${String(row[pragma])}, not ${value}` });
  }
}

function createTables(database: DatabaseSync, path: string): void {
  const read = (pragma: string) => (database.prepare(`PRAGMA ${pragma}`).get() as Record<string, number>)[pragma];
  const found = { application: read("application_id"), layout: read("user_version") };
  if (found.application === APPLICATION_ID && found.layout === LAYOUT_VERSION) return;
  const { tables } = database.prepare("SELECT count(*) AS tables FROM sqlite_schema").get() as { tables: number };
  if (tables > 0) throw new RuntimeError("STORE_DAMAGED", { path, reason: "not a Holdfast store of this version", ...found });
  database.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT`);
}
