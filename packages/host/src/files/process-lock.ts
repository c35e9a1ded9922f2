import { closeSync, openSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";

/**
 * A lock that one process holds and that ends with it, however it ends: the operating system's, held by an open SQLite
 * transaction on an empty file. Beside the file `NAME.lock` stands `NAME.pid`: who holds it, for people.
 */
export class ProcessLock implements Disposable {
  readonly #database: DatabaseSync;

  private constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** Undefined if it is held. `path` ends in `.lock` and lies in a private directory. */
  static tryTake(path: string): ProcessLock | undefined {
    if (statSync(path, { throwIfNoEntry: false }) === undefined) closeSync(openSync(path, "a", 0o600));
    const database = new DatabaseSync(path);
    try {
      database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    } catch (error) {
      database.close();
      if (!String((error as Error).message).includes("locked")) throw error;
      return undefined;
    }
    writeFileSync(holderPath(path), `${process.pid}\n`, { mode: 0o600 });
    return new ProcessLock(database);
  }

  /** By anybody, now. Only looks: it is not taken, and nothing is written. */
  static isHeld(path: string): boolean {
    if (statSync(path, { throwIfNoEntry: false }) === undefined) return false;
    const database = new DatabaseSync(path, { readOnly: true });
    try {
      database.exec("PRAGMA schema_version");
      return false;
    } catch (error) {
      if (!String((error as Error).message).includes("locked")) throw error;
      return true;
    } finally {
      database.close();
    }
  }

  /** The process that took it last; undefined if nobody did. */
  static holder(path: string): number | undefined {
    try {
      return Number.parseInt(readFileSync(holderPath(path), "utf8"), 10) || undefined;
    } catch {
      return undefined;
    }
  }

  release(): void {
    if (this.#database.isOpen) this.#database.close();
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

function holderPath(path: string): string {
  return path.replace(/\.lock$/, ".pid");
}
