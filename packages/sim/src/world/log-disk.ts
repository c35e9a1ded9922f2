import { type Commit, type Encoded, RuntimeError } from "@holdfast/core";
import type { Dice } from "../choice/dice.ts";

/** How a disk may be at fault on purpose: see the mutants. */
export interface DiskFlaws {
  /** Writes of an owner that was overtaken are taken. */
  readonly ignoresFence?: boolean;
  /** A record that was torn by a power cut is applied as far as it goes. */
  readonly keepsTorn?: boolean;
  /** Says durable when it has only written. */
  readonly lies?: boolean;
  /** An fsync that failed is tried again, and that seems to succeed. */
  readonly retriesFsync?: boolean;
  /** Cells become durable before, and without, the rest of their record. */
  readonly splitsCells?: boolean;
  /** A load misses the last record. */
  readonly loadsLate?: boolean;
  /** Rows that a record deletes stay. */
  readonly keepsDeleted?: boolean;
}

/** Who writes: a claim of the disk. */
export interface Owner {
  readonly fence: number;
  /** Position of the last of its commits that is durable, told by the disk itself and not by what its process believes. */
  durable: number;
}

interface LogRecord extends Commit {
  readonly owner: Owner;
}

/** What the disk reports of one commit. */
export interface CommitListener {
  durable(commit: Commit, owner: Owner): void;
}

/**
 * A store shaped like a log, so that it can tear. It outlives the processes that use it.
 *
 *     in the process ──write──▶ written ──fsync──▶ durable
 *
 * kill −9 forgets what the process had not written. A power cut forgets, besides, what is written from some record on; the
 * one that was being written then is torn, and a load drops it.
 *
 * Invariants:
 *   K1. Records become durable in the order in which they were written.
 *   K2. Only the last owner's records are written.
 */
export class LogDisk {
  readonly #rows = new Map<string, Uint8Array>();
  readonly #tail: LogRecord[] = [];
  readonly #dice: Dice;
  readonly #flaws: DiskFlaws;
  readonly #listener: CommitListener;
  #fence = 0;
  #position = 0;
  /** What the last record replaced; kept for the flaw `loadsLate` alone. */
  #before: { rows: Map<string, Uint8Array>; position: number } | undefined;

  constructor(dice: Dice, flaws: DiskFlaws, listener: CommitListener) {
    this.#dice = dice;
    this.#flaws = flaws;
    this.#listener = listener;
  }

  /** The durable rows. */
  get rows(): ReadonlyMap<string, Uint8Array> {
    return this.#rows;
  }

  get fence(): number {
    return this.#fence;
  }

  get position(): number {
    return this.#position;
  }

  /** Takes ownership. What was written before is durable from here on. */
  claim(): Owner {
    while (this.#tail[0] !== undefined) this.#settle(this.#tail[0]);
    this.#fence++;
    return { fence: this.#fence, durable: this.#position };
  }

  load(): { rows: Encoded[]; position: number } {
    const { rows, position } = this.#flaws.loadsLate === true && this.#before !== undefined ? this.#before : { rows: this.#rows, position: this.#position };
    return { rows: [...rows].sort(([a], [b]) => (a < b ? -1 : 1)), position };
  }

  /** The record is in the file. Throws STORE_FENCED for an owner that was overtaken (K2). */
  write(commit: Commit, owner: Owner): LogRecord {
    const overtaken = owner.fence !== this.#fence;
    if (overtaken && this.#flaws.ignoresFence !== true) throw new RuntimeError("STORE_FENCED", { fence: owner.fence, current: this.#fence });
    const record: LogRecord = { ...commit, owner };
    this.#tail.push(record);
    if (this.#flaws.splitsCells === true) for (const [key, bytes] of record.puts) if (key.startsWith("cells/")) this.#rows.set(key, bytes);
    return record;
  }

  /** Somebody puts other rows in the place of these. */
  replace(rows: ReadonlyMap<string, Uint8Array>): void {
    this.#rows.clear();
    for (const [key, bytes] of rows) this.#rows.set(key, bytes);
  }

  get lies(): boolean {
    return this.#flaws.lies === true;
  }

  get retriesFsync(): boolean {
    return this.#flaws.retriesFsync === true;
  }

  /** The record, and all before it, is on the platter. Nothing happens to one that is gone, or is durable already (K1). */
  sync(record: LogRecord): void {
    if (!this.#tail.includes(record)) return;
    while (this.#tail[0] !== undefined) {
      const first = this.#tail[0];
      this.#settle(first);
      if (first === record) return;
    }
  }

  /** The page cache dropped it after an fsync that failed: no later one brings it back. */
  lose(record: LogRecord): void {
    const at = this.#tail.indexOf(record);
    if (at >= 0) this.#tail.splice(at, 1);
  }

  cutPower(): void {
    const kept = this.#tail.length - this.#dice.below("records lost", this.#tail.length + 1);
    const torn = this.#tail[kept];
    for (const record of this.#tail.splice(0, this.#tail.length)) {
      if (record === torn) break;
      this.#apply(record);
    }
    if (torn !== undefined && this.#flaws.keepsTorn === true) {
      for (const [key, bytes] of torn.puts.slice(0, this.#dice.below("torn rows", torn.puts.length + 1))) this.#rows.set(key, bytes);
    }
  }

  #settle(record: LogRecord): void {
    this.#tail.splice(this.#tail.indexOf(record), 1);
    this.#apply(record);
    record.owner.durable = record.position;
  }

  #apply(record: LogRecord): void {
    if (this.#flaws.loadsLate === true) this.#before = { rows: new Map(this.#rows), position: this.#position };
    for (const [key, bytes] of record.puts) this.#rows.set(key, bytes);
    if (this.#flaws.keepsDeleted !== true) for (const key of record.deletes) this.#rows.delete(key);
    this.#position = record.position;
    this.#listener.durable(record, record.owner);
  }
}
