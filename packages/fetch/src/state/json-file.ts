import { warn } from "./warning.ts";
import type { StateStore, StoredRow } from "./state-store.ts";

type Fs = typeof import("node:fs");

/** The version of this layout. */
const VERSION = 1;
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
  readonly #rows = new Map<string, string>();
  /** What tells this state of the file from another. */
  #seen = "";

  constructor(path: string, fs: Fs) {
    this.#path = path;
    this.#fs = fs;
  }

  read(): readonly StoredRow[] {
    const seen = this.#stamp();
    if (seen === this.#seen) return [];
    this.#seen = seen;
    if (seen === "none") return [];
    const changed: StoredRow[] = [];
    for (const [key, text] of this.#parse()) {
      if (this.#rows.get(key) === text) continue;
      this.#rows.set(key, text);
      changed.push({ key, text });
    }
    return changed;
  }

  exchange(make: (news: readonly StoredRow[]) => readonly StoredRow[]): boolean {
    return this.#locked(() => {
      for (const { key, text } of make(this.read())) this.#rows.set(key, text);
      this.#save();
    });
  }

  remove(keys: readonly string[]): void {
    this.#locked(() => {
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
        fs.closeSync(fs.openSync(lock, "wx", 0o600));
        break;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
        const since = fs.statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
        if (Date.now() - since > LOCK_OLD_MS) fs.rmSync(lock, { force: true });
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

  #save(): void {
    const text = JSON.stringify({ holdfast: "peers", version: VERSION, peers: Object.fromEntries([...this.#rows].map(([key, row]) => [key, JSON.parse(row) as unknown])) });
    const temporary = `${this.#path}.${globalThis.process.pid}.tmp`;
    this.#fs.writeFileSync(temporary, text, { mode: 0o600 });
    this.#fs.renameSync(temporary, this.#path);
    this.#seen = this.#stamp();
  }

  #stamp(): string {
    const stat = this.#fs.statSync(this.#path, { throwIfNoEntry: false, bigint: true });
    return stat === undefined ? "none" : `${stat.ino} ${stat.size} ${stat.mtimeNs}`;
  }

  /** What is in the file; nothing, and the file moved aside, if it is damaged or of another version. */
  #parse(): [string, string][] {
    try {
      if (this.#fs.statSync(this.#path).size > BYTES_MAX) throw new Error(`it exceeds ${BYTES_MAX} bytes`);
      const file = JSON.parse(this.#fs.readFileSync(this.#path, "utf8")) as { holdfast?: unknown; version?: unknown; peers?: unknown };
      if (typeof file !== "object" || file === null || file.holdfast !== "peers") throw new Error("it holds no peers");
      if (file.version !== VERSION) throw new Error(`its version is ${String(file.version)}, and not ${VERSION}`);
      if (typeof file.peers !== "object" || file.peers === null) throw new Error("it holds no peers");
      return Object.entries(file.peers).map(([key, row]) => [key, JSON.stringify(row)]);
    } catch (error) {
      moveAside(this.#fs, this.#path, error);
      this.#seen = "none";
      return [];
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
