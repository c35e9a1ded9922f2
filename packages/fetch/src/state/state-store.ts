/** What is kept of one peer: text that only this package reads, and when it was made, so that the newest wins. */
export interface StoredRow {
  readonly key: string;
  readonly text: string;
}

/** Where peers are remembered. Synchronous: a handful of rows, once a second at most. */
export interface StateStore {
  /** The rows that others, or an earlier process, have written since the last call; all of them at first. */
  read(): readonly StoredRow[];
  /** Puts these rows in place of those of the same keys. */
  write(rows: readonly StoredRow[]): void;
  /** Forgets these rows. */
  remove?(keys: readonly string[]): void;
  close(): void;
}
