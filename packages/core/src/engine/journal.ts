import type { Encoded } from "./rows.ts";

/** A thing that the store keeps as one row. */
export interface Row {
  readonly key: string;
  /** No longer part of the state. */
  removed: boolean;
  /** The store has, or is about to get, this row. Only the journal changes it. */
  persisted: boolean;
  /** Called when a record is taken, between two turns. May touch further rows. */
  encode(journal: Journal): Uint8Array;
}

/** A row of which a node has exactly one. */
export class SingleRow implements Row {
  readonly key: string;
  removed = false;
  persisted = false;
  readonly #encode: () => Uint8Array;

  constructor(key: string, encode: () => Uint8Array) {
    this.key = key;
    this.#encode = encode;
  }

  encode(): Uint8Array {
    return this.#encode();
  }
}

/** What changed since the last record: rows to put and rows to delete. */
export interface StateChange {
  readonly puts: readonly Encoded[];
  readonly deletes: readonly string[];
}

/**
 * The journal knows which rows changed since the last record was taken. A row is encoded once a record, however often
 * it changed, and one that came and went in between costs nothing.
 */
export class Journal {
  #touched = new Set<Row>();

  touch(row: Row): void {
    this.#touched.add(row);
  }

  /** Takes the row out of the state. */
  remove(row: Row): void {
    row.removed = true;
    if (row.persisted) this.#touched.add(row);
    else this.#touched.delete(row);
  }

  get isEmpty(): boolean {
    return this.#touched.size === 0;
  }

  take(): StateChange {
    const puts: Encoded[] = [];
    const removed: string[] = [];
    const kept = new Set<string>();
    // A Set's iteration also visits what `encode` adds.
    for (const row of this.#touched) {
      if (row.removed) {
        if (row.persisted) removed.push(row.key);
        row.persisted = false;
      } else {
        puts.push([row.key, row.encode(this)]);
        row.persisted = true;
        kept.add(row.key);
      }
    }
    this.#touched = new Set();
    // A key may have been given up and taken anew in between: the new row stands.
    return { puts, deletes: removed.filter((key) => !kept.has(key)) };
  }

  /** Forgets the changes of a node without a store. */
  discard(): void {
    if (this.#touched.size > 0) this.#touched.clear();
  }
}
