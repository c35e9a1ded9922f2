import type { DatabaseSync, StatementSync } from "node:sqlite";
import { moveAside } from "./json-file.ts";
import type { StateStore, StoredRow } from "./state-store.ts";

type Fs = typeof import("node:fs");
type Sqlite = typeof import("node:sqlite");

/** "Peer", and the version of this layout. */
export const APPLICATION_ID = 0x50656572;
export const LAYOUT_VERSION = 1;
/** How long another process's write is waited for, in ms: it holds up the loop. What fails is tried again a second later. */
const BUSY_MS = 20;
export const OPENING_MS = 2000;
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
  readonly #path: string;
  readonly #fs: Fs;
  readonly #sqlite: Sqlite;
  #opened: Opened | undefined;
  /** How long others are waited for when it is opened, in ms: at first until they have opened it, too. */
  #patienceMs = OPENING_MS;
  /** The last write that was read, and SQLite's count of others' writes when it was. */
  #revision = 0;
  #seen = -1;

  constructor(path: string, fs: Fs, sqlite: Sqlite) {
    this.#path = path;
    this.#fs = fs;
    this.#sqlite = sqlite;
  }

  read(): readonly StoredRow[] {
    const { version } = this.#open();
    const { data_version: seen } = version.get() as { data_version: number };
    if (seen === this.#seen) return [];
    const rows = this.#news();
    this.#seen = seen;
    return rows;
  }

  exchange(make: (news: readonly StoredRow[]) => readonly StoredRow[]): boolean {
    const { last: lastOne, put } = this.#open();
    return this.#alone(() => {
      const { last } = lastOne.get() as { last: number };
      for (const { key, text } of make(this.#news())) put.run(key, last + 1, text);
      return last + 1;
    });
  }

  remove(keys: readonly string[]): boolean {
    const { remove } = this.#open();
    return this.#alone(() => {
      for (const key of keys) remove.run(key);
      return this.#revision;
    });
  }

  close(): void {
    this.#opened?.database.close();
    this.#opened = undefined;
  }

  /** The file of this path: another one if somebody removed or replaced the one that there was. */
  #open(): Opened {
    if (this.#opened !== undefined && this.#opened.file !== identityOf(this.#fs, this.#path)) this.close();
    if (this.#opened === undefined) {
      const patienceMs = this.#patienceMs;
      this.#patienceMs = BUSY_MS;
      this.#opened = open(this.#path, this.#fs, this.#sqlite, patienceMs);
      this.#revision = 0;
      this.#seen = -1;
    }
    return this.#opened;
  }

  /** The rows of every write that was not yet read. */
  #news(): readonly StoredRow[] {
    const { changed } = this.#opened as Opened;
    const rows = changed.all(this.#revision) as { key: string; revision: number; text: string }[];
    for (const { revision } of rows) this.#revision = Math.max(this.#revision, revision);
    return rows;
  }

  /** One transaction, which answers the last write that is known then. False, and nothing done, while others write. */
  #alone(act: () => number): boolean {
    const { database } = this.#opened as Opened;
    try {
      database.exec("BEGIN IMMEDIATE");
    } catch (error) {
      if (codeOf(error) === BUSY) return false;
      throw error;
    }
    try {
      const revision = act();
      database.exec("COMMIT");
      this.#revision = revision;
      return true;
    } catch (error) {
      try {
        database.exec("ROLLBACK");
      } catch {
        // A full disk has ended it already.
      }
      throw error;
    }
  }
}

/** A database that is open, and what it is asked. */
interface Opened {
  readonly database: DatabaseSync;
  /** What tells its file from another of the same name. */
  readonly file: string | undefined;
  readonly version: StatementSync;
  readonly changed: StatementSync;
  readonly put: StatementSync;
  readonly last: StatementSync;
  readonly remove: StatementSync;
}

function open(path: string, fs: Fs, sqlite: Sqlite, patienceMs: number): Opened {
  const database = openOrReplace(path, fs, sqlite, patienceMs);
  return {
    database,
    file: identityOf(fs, path),
    version: database.prepare("PRAGMA data_version"),
    changed: database.prepare("SELECT key, revision, text FROM peers WHERE revision > ? ORDER BY revision"),
    last: database.prepare("SELECT coalesce(max(revision), 0) AS last FROM peers"),
    put: database.prepare("INSERT INTO peers (key, revision, text) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET revision = excluded.revision, text = excluded.text"),
    remove: database.prepare("DELETE FROM peers WHERE key = ?"),
  };
}

function identityOf(fs: Fs, path: string): string | undefined {
  const stat = fs.statSync(path, { throwIfNoEntry: false, bigint: true });
  return stat && `${stat.dev} ${stat.ino}`;
}

function openOrReplace(path: string, fs: Fs, sqlite: Sqlite, patienceMs: number): DatabaseSync {
  try {
    return openOnce(path, fs, sqlite, patienceMs);
  } catch (error) {
    if (!(error instanceof ForeignError) && !DAMAGED.has(codeOf(error))) throw error;
    moveAside(fs, path, error, ["-wal", "-shm"]);
    return openOnce(path, fs, sqlite, patienceMs);
  }
}

/** SQLite's own code, without what it adds of the circumstances; −1 for an error of something else. */
function codeOf(error: unknown): number {
  const { errcode } = error as { errcode?: number };
  return errcode === undefined ? -1 : errcode & CODE_BITS;
}

function openOnce(path: string, fs: Fs, sqlite: Sqlite, patienceMs: number): DatabaseSync {
  // SQLite gives its log and its shared memory the modes of the file itself.
  fs.closeSync(fs.openSync(path, "a", 0o600));
  const database = new sqlite.DatabaseSync(path);
  try {
    database.exec(`PRAGMA busy_timeout = ${patienceMs}; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL`);
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
