import { type Commit, type Encoded, RuntimeError } from "@holdfast/core";
import type { Dice } from "../choice/dice.ts";
import { decodeRecord, decodeUnchecked, encodeRecord, SECTOR_BYTES, type StoredRecord } from "./log-record.ts";

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
  /** Checksums of what is durable are not looked at. */
  readonly trustsBits?: boolean;
}

/** Who writes: a claim of the disk. */
export interface Owner {
  readonly fence: number;
  /** Position of the last of its commits that is durable, told by the disk itself and not by what its process believes. */
  durable: number;
}

interface LogRecord extends StoredRecord {
  readonly owner: Owner;
  /** False while it is being written, and for good if that came to an early end: some of it is in the file. */
  whole: boolean;
}

/** All that a disk holds at one moment, for whoever makes backups. */
export interface Backup {
  readonly rows: ReadonlyMap<string, Uint8Array>;
  readonly position: number;
  readonly fence: number;
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
 *     file:  base │ record │ record │ … │ synced end │ record, written │ record, half written
 *
 * kill −9 keeps what was written. A power cut keeps what is before the synced end, a prefix of the bytes behind it, and of
 * that prefix some sectors may be missing, as real disks write them in any order; so may they after an fsync that failed.
 * A claim reads the log: behind the synced end it takes the records up to the first that is not whole; before the synced end
 * one that is not as it was written is damage (STORE_DAMAGED). Then it folds everything into a new base, and puts that in the
 * place of the old file at once. (The synced end is kept apart from the file, and is never wrong itself.)
 *
 * Records become bytes only when somebody looks at bytes: after a power cut, a write that came to an early end, a failed fsync
 * or a bit that flipped. Otherwise a claim finds what was put in, and the log is not encoded to be decoded again.
 *
 * Invariants:
 *   K1. Records become durable in the order in which they were written.
 *   K2. Only the last owner's records are written.
 *   K3. A load gives the last durable state, or throws STORE_DAMAGED.
 */
export class LogDisk {
  /** No room for anything new. What is written can still become durable. */
  full = false;
  /** What the durable records fold to. */
  readonly #rows = new Map<string, Uint8Array>();
  /** The file up to the synced end. */
  readonly #synced: StoredRecord[] = [];
  /** The file behind the synced end: what a power cut left of it, and what was written since. */
  #torn: Uint8Array = new Uint8Array(0);
  readonly #tail: LogRecord[] = [];
  /** Bits before the synced end that are not as they were written. */
  readonly #flips = new Set<number>();
  readonly #owners = new Map<number, Owner>();
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

  // ── the store ──

  /**
   * Takes ownership. What was written before is durable from here on. Throws STORE_FAILED if there is no room to write who
   * owns it now, STORE_DAMAGED.
   */
  claim(): Owner {
    if (this.full) throw new RuntimeError("STORE_FAILED", { reason: "full" });
    this.#verify();
    this.#recover();
    this.#fence++;
    this.#synced.splice(0, this.#synced.length, { fence: this.#fence, position: this.#position, puts: [...this.#rows], deletes: [] });
    const owner = { fence: this.#fence, durable: this.#position };
    this.#owners.set(owner.fence, owner);
    return owner;
  }

  /** Throws STORE_DAMAGED (K3). */
  load(): { rows: Encoded[]; position: number } {
    this.#verify();
    const { rows, position } = this.#flaws.loadsLate === true && this.#before !== undefined ? this.#before : { rows: this.#rows, position: this.#position };
    return { rows: [...rows].sort(([a], [b]) => (a < b ? -1 : 1)), position };
  }

  /** Some of the record is in the file. Throws STORE_FENCED for an owner that was overtaken (K2), STORE_FAILED if there is no room. */
  beginWrite(commit: Commit, owner: Owner): LogRecord {
    const overtaken = owner.fence !== this.#fence;
    if (overtaken && this.#flaws.ignoresFence !== true) throw new RuntimeError("STORE_FENCED", { fence: owner.fence, current: this.#fence });
    const record: LogRecord = { ...commit, fence: owner.fence, owner, whole: false };
    this.#tail.push(record);
    if (this.full) throw new RuntimeError("STORE_FAILED", { reason: "full" });
    return record;
  }

  /** All of it is. */
  endWrite(record: LogRecord): void {
    record.whole = true;
    if (this.#flaws.splitsCells === true) for (const [key, bytes] of record.puts) if (key.startsWith("cells/")) this.#rows.set(key, bytes);
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
    for (let first = this.#tail.shift(); first !== undefined; first = this.#tail.shift()) {
      this.#settle(first, first.owner);
      if (first === record) return;
    }
  }

  /** Its fsync failed. Of one that is durable already, there was nothing left to write. */
  failSync(record: LogRecord): void {
    if (this.#tail.includes(record)) this.tear();
  }

  /** The page cache dropped it after an fsync that failed: no later one brings it back. */
  lose(record: LogRecord): void {
    const at = this.#tail.indexOf(record);
    if (at >= 0) this.#tail.splice(at, 1);
  }

  // ── what happens to it ──

  /** The power is gone, or an fsync failed: who knows what of the bytes behind the synced end got there. */
  tear(): void {
    const file = this.#tailBytes();
    const kept = file.subarray(0, file.length - this.#dice.below("bytes lost", file.length + 1));
    const sectors = Math.ceil(kept.length / SECTOR_BYTES);
    if (sectors > 1 && this.#dice.chance("sectors lost", 0.3)) {
      const from = this.#dice.below("first sector lost", sectors);
      const to = from + 1 + this.#dice.below("more sectors lost", sectors - from);
      kept.fill(0, from * SECTOR_BYTES, Math.min(to * SECTOR_BYTES, kept.length));
    }
    this.#torn = kept;
  }

  /** A bit before the synced end changes. False if there is none. */
  flipBit(): boolean {
    const bytes = this.#synced.reduce((sum, record) => sum + encodeRecord(record).length, 0);
    if (bytes === 0) return false;
    const bit = this.#dice.below("bit", bytes) * 8 + this.#dice.below("bit of the byte", 8);
    // Flipped twice, it is what it was.
    if (!this.#flips.delete(bit)) this.#flips.add(bit);
    return true;
  }

  /** An operator puts an undamaged copy of the same moment in its place. */
  repair(): void {
    this.#flips.clear();
  }

  backup(): Backup {
    return { rows: new Map(this.#rows), position: this.#position, fence: this.#fence };
  }

  /** An operator puts a backup in its place. */
  restoreBackup({ rows, position, fence }: Backup): void {
    this.#rows.clear();
    for (const [key, bytes] of rows) this.#rows.set(key, bytes);
    this.#position = position;
    this.#fence = fence;
    this.#torn = new Uint8Array(0);
    this.#tail.length = 0;
    this.#flips.clear();
    this.#synced.splice(0, this.#synced.length, { fence, position, puts: [...rows], deletes: [] });
  }

  // ── bytes ──

  /** Reads the file up to its synced end, if any of it is not as it was written. */
  #verify(): void {
    if (this.#flips.size === 0) return;
    const file = Buffer.concat(this.#synced.map(encodeRecord));
    for (const bit of this.#flips) file[bit >>> 3] = (file[bit >>> 3] as number) ^ (1 << (bit & 7));
    if (this.#flaws.trustsBits === true) return this.#believe(file);
    for (let at = 0; at < file.length; ) {
      const found = decodeRecord(file, at);
      if (found === undefined) throw new RuntimeError("STORE_DAMAGED", { at, synced: file.length });
      at = found.end;
    }
  }

  /** What is in the file is what was written. Of a disk with the flaw `trustsBits`. */
  #believe(file: Uint8Array): void {
    this.#flips.clear();
    this.#rows.clear();
    for (let at = 0; at < file.length; ) {
      const found = decodeUnchecked(file, at);
      if (found === undefined || found.end <= at) return;
      for (const [key, bytes] of found.record.puts) this.#rows.set(key, bytes);
      for (const key of found.record.deletes) this.#rows.delete(key);
      at = found.end;
    }
  }

  /** Takes what is whole behind the synced end, and drops the rest. */
  #recover(): void {
    if (this.#torn.length === 0 && this.#tail.every(({ whole }) => whole)) {
      for (const record of this.#tail.splice(0)) this.#settle(record, record.owner);
      return;
    }
    const file = this.#tailBytes();
    this.#torn = new Uint8Array(0);
    let at = 0;
    for (let found = decodeRecord(file, at); found !== undefined; found = decodeRecord(file, at)) {
      this.#settle(found.record, this.#owners.get(found.record.fence) as Owner);
      at = found.end;
    }
    if (this.#flaws.keepsTorn !== true) return;
    for (const [key, bytes] of decodeUnchecked(file, at)?.record.puts ?? []) this.#rows.set(key, bytes);
  }

  /** The file behind its synced end; from here on it is only bytes. */
  #tailBytes(): Uint8Array {
    const parts = this.#tail.splice(0).map((record) => {
      const bytes = encodeRecord(record);
      return record.whole ? bytes : bytes.subarray(0, this.#dice.below("bytes written", bytes.length));
    });
    return parts.length === 0 ? this.#torn : Buffer.concat([this.#torn, ...parts]);
  }

  // ── what is durable ──

  #settle(record: StoredRecord, owner: Owner): void {
    this.#synced.push(record);
    if (this.#flaws.loadsLate === true) this.#before = { rows: new Map(this.#rows), position: this.#position };
    for (const [key, bytes] of record.puts) this.#rows.set(key, bytes);
    if (this.#flaws.keepsDeleted !== true) for (const key of record.deletes) this.#rows.delete(key);
    this.#position = record.position;
    this.#listener.durable(record, owner);
    owner.durable = record.position;
  }
}
