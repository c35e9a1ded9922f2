import { closeSync, openSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { RuntimeError } from "@holdfast/core";

/**
 * Keeps a second supervisor off a fleet. The lock is one of the operating system's, held by an open SQLite
 * transaction on an empty file: it ends with the process however that ends. Beside it, who holds it, for people.
 */
export class FleetLock implements Disposable {
  readonly #lock: DatabaseSync;

  private constructor(lock: DatabaseSync) {
    this.#lock = lock;
  }

  /** Throws FLEET_BUSY, naming the process that holds it. */
  static take(directory: string): FleetLock {
    const path = join(directory, "up.lock");
    const holder = join(directory, "up.pid");
    if (statSync(path, { throwIfNoEntry: false }) === undefined) closeSync(openSync(path, "a", 0o600));
    const lock = new DatabaseSync(path);
    try {
      lock.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    } catch (error) {
      lock.close();
      if (!String((error as Error).message).includes("locked")) throw error;
      throw new RuntimeError("FLEET_BUSY", { directory, pid: readHolder(holder) }, { cause: error });
    }
    writeFileSync(holder, `${process.pid}\n`, { mode: 0o600 });
    return new FleetLock(lock);
  }

  release(): void {
    if (this.#lock.isOpen) this.#lock.close();
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

function readHolder(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "unknown";
  }
}
