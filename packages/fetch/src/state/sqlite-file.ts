import type { DatabaseSync, StatementSync } from "node:sqlite";
import { moveAside } from "./json-file.ts";
import type { StateStore, StoredRow } from "./state-store.ts";

type Fs = typeof import("node:fs");
type Sqlite = typeof import("node:sqlite");

/** "Peer", and the version of this layout. */
const APPLICATION_ID = 0x50656572;
const LAYOUT_VERSION = 1;
/** How long another process's write is waited for, in ms: it holds up the loop. What fails is tried again a second later. */
const BUSY_MS = 20;
/** SQLite's code for that somebody else writes. */
const BUSY = 5;
/** Its codes with which it says that the file is no database, or damaged. */
const DAMAGED = new Set([11, 26]);
const CODE_BITS = 0xff;

class ForeignError extends Error {}

/**
 * A row for each peer in a database that several processes may share. Every write is one transaction and has a number of
 * its own, so that each process reads what is new to it.
 */
export class SqliteFile implements StateStore {
  readonly #database: DatabaseSync;
  readonly #version: StatementSync;
  readonly #changed: StatementSync;
  readonly #put: StatementSync;
  readonly #last: StatementSync;
  /** The last write that was read, and SQLite's count of others' writes when it was. */
  #revision = 0;
  #seen = -1;

  constructor(path: string, fs: Fs, sqlite: Sqlite) {
    this.#database = open(path, fs, sqlite);
    this.#version = this.#database.prepare("PRAGMA data_version");
    this.#changed = this.#database.prepare("SELECT key, revision, text FROM peers WHERE revision > ? ORDER BY revision");
    this.#last = this.#database.prepare("SELECT coalesce(max(revision), 0) AS last FROM peers");
    this.#put = this.#database.prepare("INSERT INTO peers (key, revision, text) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET revision = excluded.revision, text = excluded.text");
  }

  read(): readonly StoredRow[] {
    const { data_version: seen } = this.#version.get() as { data_version: number };
    if (seen === this.#seen) return [];
    const rows = this.#news();
    this.#seen = seen;
    return rows;
  }

  exchange(make: (news: readonly StoredRow[]) => readonly StoredRow[]): boolean {
    if (!this.#begin()) return false;
    try {
      const { last } = this.#last.get() as { last: number };
      const rows = make(this.#news());
      for (const { key, text } of rows) this.#put.run(key, last + 1, text);
      this.#database.exec("COMMIT");
      this.#revision = last + 1;
      return true;
    } catch (error) {
      this.#database.exec("ROLLBACK");
      throw error;
    }
  }

  remove(keys: readonly string[]): void {
    const remove = this.#database.prepare("DELETE FROM peers WHERE key = ?");
    if (!this.#begin()) return;
    for (const key of keys) remove.run(key);
    this.#database.exec("COMMIT");
  }

  close(): void {
    this.#database.close();
  }

  /** The rows of every write that was not yet read. */
  #news(): readonly StoredRow[] {
    const rows = this.#changed.all(this.#revision) as { key: string; revision: number; text: string }[];
    for (const { revision } of rows) this.#revision = Math.max(this.#revision, revision);
    return rows;
  }

  /** False while others write. */
  #begin(): boolean {
    try {
      this.#database.exec("BEGIN IMMEDIATE");
      return true;
    } catch (error) {
      if (codeOf(error) === BUSY) return false;
      throw error;
    }
  }
}

function open(path: string, fs: Fs, sqlite: Sqlite): DatabaseSync {
  try {
    return openOnce(path, fs, sqlite);
  } catch (error) {
    if (!(error instanceof ForeignError) && !DAMAGED.has(codeOf(error))) throw error;
    moveAside(fs, path, error, ["-wal", "-shm"]);
    return openOnce(path, fs, sqlite);
  }
}

/** SQLite's own code, without what it adds of the circumstances; −1 for an error of something else. */
function codeOf(error: unknown): number {
  const { errcode } = error as { errcode?: number };
  return errcode === undefined ? -1 : errcode & CODE_BITS;
}

function openOnce(path: string, fs: Fs, sqlite: Sqlite): DatabaseSync {
  // SQLite gives its log and its shared memory the modes of the file itself.
  fs.closeSync(fs.openSync(path, "a", 0o600));
  const database = new sqlite.DatabaseSync(path);
  try {
    database.exec(`PRAGMA busy_timeout = 2000; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL`);
    database.exec("BEGIN IMMEDIATE");
    const { application_id: application } = database.prepare("PRAGMA application_id").get() as { application_id: number };
    const { user_version: version } = database.prepare("PRAGMA user_version").get() as { user_version: number };
    const { tables } = database.prepare("SELECT count(*) AS tables FROM sqlite_schema").get() as { tables: number };
    if (tables > 0 && (application !== APPLICATION_ID || version !== LAYOUT_VERSION)) throw new ForeignError("it is another database, or of another version");
    if (tables === 0) {
      database.exec(`CREATE TABLE peers (key TEXT PRIMARY KEY NOT NULL, revision INTEGER NOT NULL, text TEXT NOT NULL);
        CREATE INDEX peers_by_revision ON peers (revision); PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${LAYOUT_VERSION}`);
    }
    database.exec("COMMIT");
    const check = database.prepare("PRAGMA quick_check(1)").get() as { quick_check: string };
    if (check.quick_check !== "ok") throw new ForeignError(check.quick_check);
    database.exec(`PRAGMA busy_timeout = ${BUSY_MS}`);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}
