import { closeSync, constants, fstatSync, openSync, readFileSync, type BigIntStats } from "node:fs";

/**
 * What of a file's state tells one content from another. A file that is rewritten in place at the same length within one
 * tick of the file system's clock looks unchanged; one that is replaced does not.
 */
export type Stamp = Pick<BigIntStats, "mtimeNs" | "size" | "ino">;

/** Null, for a file that is not there, is a state like any other. */
export function sameStamp(a: Stamp | null, b: Stamp | null): boolean {
  if (a === null || b === null) return a === b;
  return a.mtimeNs === b.mtimeNs && a.size === b.size && a.ino === b.ino;
}

/** Remembers what was made of a file for as long as the file stays as it was. Bounded: the oldest entry goes first. */
export class StatMemo<T> {
  readonly #entries = new Map<string, { readonly stamps: readonly (Stamp | null)[]; readonly value: T }>();
  readonly #entriesMax: number;

  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** `stamps` are those of all files that the value was made of, in the order of `set`. */
  get(path: string, ...stamps: readonly (Stamp | null)[]): T | undefined {
    const entry = this.#entries.get(path);
    if (entry === undefined || !stamps.every((stamp, at) => sameStamp(stamp, entry.stamps[at] ?? null))) return undefined;
    return entry.value;
  }

  set(path: string, value: T, ...stamps: readonly (Stamp | null)[]): void {
    if (!this.#entries.delete(path) && this.#entries.size >= this.#entriesMax) {
      const [oldest] = this.#entries.keys();
      this.#entries.delete(oldest as string);
    }
    this.#entries.set(path, { stamps, value });
  }

  delete(path: string): void {
    this.#entries.delete(path);
  }
}

/**
 * A file's state and its content, of the same file even if it is replaced meanwhile; `check` sees the state before the
 * content is read. Something that is no file, say a pipe that nobody writes to, does not hold us up.
 */
export function readStamped(path: string, check?: (stat: BigIntStats) => void): { readonly stat: BigIntStats; readonly bytes: Buffer } {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = fstatSync(file, { bigint: true });
    check?.(stat);
    return { stat, bytes: readFileSync(file) };
  } finally {
    closeSync(file);
  }
}
