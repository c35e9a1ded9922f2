/** What is kept of one peer: text that only this package reads, and when it was made, so that the newest wins. */
export interface StoredRow {
  readonly key: string;
  readonly text: string;
}

/** Where peers are remembered. Synchronous: a handful of rows, once a second at most. */
export interface StateStore {
  /** The rows that others, or an earlier process, have written since they were last given; all of them at first. */
  read(): readonly StoredRow[];
  /**
   * Gives `make` what `read` would, and puts the rows that it answers in place of those of the same keys. Nobody else writes
   * in between: what is written has heard of what it replaces. Answers false, and calls nobody, while others are at it.
   */
  exchange(make: (news: readonly StoredRow[]) => readonly StoredRow[]): boolean;
  /** Forgets these rows. Answers false, and forgets none, while others are at it. */
  remove?(keys: readonly string[]): boolean;
  close(): void;
}
