import { warn } from "./warning.ts";
import type { StateStore, StoredRow } from "./state-store.ts";

type Fs = typeof import("node:fs");

/** The version of this layout. */
export const VERSION = 1;
/** A larger file is none of ours. */
const BYTES_MAX = 256 << 20;

/** A lock this old, in ms, is that of a process which ended with it: it is held for some ms. */
const LOCK_OLD_MS = 10_000;
/** How long another process's write is waited for, in ms: it holds up the loop. */
const BUSY_MS = 20;

/** All peers in one file, which is replaced as a whole. Processes that share it write one after the other, under a lock file. */
export class JsonFile implements StateStore {
  readonly #path: string;
  readonly #fs: Fs;
  /** As the file was last seen; more than that while it is gone. */
  #rows = new Map<string, string>();
  /** What tells this state of the file from another. */
  #seen = "";

  constructor(path: string, fs: Fs) {
    // What a link leads to is replaced, and not the link.
    this.#path = fs.existsSync(path) ? fs.realpathSync(path) : path;
    this.#fs = fs;
  }

  read(): readonly StoredRow[] {
    const seen = this.#stamp();
    if (seen === this.#seen) return [];
    this.#seen = seen;
    if (seen === "none") return [];
    const rows = this.#parse();
    if (rows === undefined) return [];
    const changed = [...rows].filter(([key, text]) => this.#rows.get(key) !== text);
    this.#rows = rows;
    return changed.map(([key, text]) => ({ key, text }));
  }

  exchange(make: (news: readonly StoredRow[]) => readonly StoredRow[]): boolean {
    return this.#locked(() => {
      for (const { key, text } of make(this.read())) this.#rows.set(key, text);
      this.#save();
    });
  }

  remove(keys: readonly string[]): boolean {
    return this.#locked(() => {
      this.read();
      for (const key of keys) this.#rows.delete(key);
      this.#save();
    });
  }

  close(): void {}

  /** Answers false while others write. */
  #locked(act: () => void): boolean {
    const lock = `${this.#path}.lock`;
    const fs = this.#fs;
    for (let waitedMs = 0; ; waitedMs++) {
      try {
        fs.writeFileSync(lock, String(globalThis.process.pid), { flag: "wx", mode: 0o600 });
        break;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
        const since = fs.statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
        // Also one of the future: the clock was set back.
        if (Math.abs(Date.now() - since) > LOCK_OLD_MS) this.#breakLock(lock);
        if (waitedMs >= BUSY_MS) return false;
        Atomics.wait(NOTHING, 0, 0, 1);
      }
    }
    try {
      act();
      return true;
    } finally {
      fs.rmSync(lock, { force: true });
    }
  }

  /** Whoever held it is gone, and what it wrote at the time is of no use. */
  #breakLock(lock: string): void {
    const holder = this.#fs.readFileSync(lock, "utf8");
    if (/^\d+$/.test(holder)) this.#fs.rmSync(this.#temporary(holder), { force: true });
    this.#fs.rmSync(lock, { force: true });
  }

  #temporary(holder: number | string): string {
    return `${this.#path}.${holder}.tmp`;
  }

  #save(): void {
    const text = JSON.stringify({ holdfast: "peers", version: VERSION, peers: Object.fromEntries([...this.#rows].map(([key, row]) => [key, JSON.parse(row) as unknown])) });
    const temporary = this.#temporary(globalThis.process.pid);
    try {
      // A file of our own, and nothing that somebody put in its place.
      this.#fs.rmSync(temporary, { force: true });
      this.#fs.writeFileSync(temporary, text, { flag: "wx", mode: 0o600 });
      this.#fs.renameSync(temporary, this.#path);
    } catch (error) {
      this.#fs.rmSync(temporary, { force: true });
      throw error;
    }
    this.#seen = this.#stamp();
  }

  #stamp(): string {
    const stat = this.#fs.statSync(this.#path, { throwIfNoEntry: false, bigint: true });
    return stat === undefined ? "none" : `${stat.ino} ${stat.size} ${stat.mtimeNs}`;
  }

  /** What is in the file; undefined, and the file moved aside, if it is damaged or of another version. */
  #parse(): Map<string, string> | undefined {
    try {
      if (this.#fs.statSync(this.#path).size > BYTES_MAX) throw new Error(`it exceeds ${BYTES_MAX} bytes`);
      const file = JSON.parse(this.#fs.readFileSync(this.#path, "utf8")) as { holdfast?: unknown; version?: unknown; peers?: unknown };
      if (typeof file !== "object" || file === null || file.holdfast !== "peers") throw new Error("it holds no peers");
      if (file.version !== VERSION) throw new Error(`its version is ${String(file.version)}, and not ${VERSION}`);
      if (typeof file.peers !== "object" || file.peers === null) throw new Error("it holds no peers");
      return new Map(Object.entries(file.peers).map(([key, row]) => [key, JSON.stringify(row)]));
    } catch (error) {
      // Not to be had at the moment, or none of ours to move: a directory, say.
      if ((error as NodeJS.ErrnoException).errno !== undefined) {
        this.#seen = "";
        throw error;
      }
      moveAside(this.#fs, this.#path, error);
      this.#seen = "none";
      return undefined;
    }
  }
}

/** Nobody writes to it: who waits for it waits. */
const NOTHING = new Int32Array(new SharedArrayBuffer(4));

/** Keeps what cannot be read, for whoever wants to look at it; at most one of a kind. */
export function moveAside(fs: Fs, path: string, error: unknown, others: readonly string[] = []): void {
  const aside = `${path}.damaged`;
  for (const end of ["", ...others]) if (fs.existsSync(path + end)) fs.renameSync(path + end, aside + end);
  warn(`${path} cannot be read (${error instanceof Error ? error.message : String(error)}); it is now ${aside}, and nothing is known of any peer`);
}
