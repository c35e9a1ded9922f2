import { MEMORY_MS, nowNs, NS_PER_MS } from "../clock.ts";
import type { Clock } from "../clock.ts";
import type { PeerBook } from "../peer-book.ts";
import { NO_ROW } from "../peer-record.ts";
import type { PeerRecord } from "../peer-record.ts";
import type { CheckedPeersOptions } from "../peers-options.ts";
import { encodePriors, encodeRow, mergeRow, parseRow, PRIORS_KEY, restorePriors, TimeScale, widenAll } from "./peer-row.ts";
import type { StateStore, StoredRow } from "./state-store.ts";
import { warn } from "./warning.ts";

/** No write and no look at what others wrote is sooner after the last one, in ms. */
const EVERY_MS = 1000;
/** A peer of which only round trips are new is written this seldom, in ms. */
const SOFT_EVERY_MS = 5000;
/** Old rows are taken out of the store this seldom, in ms: once a day. */
const PRUNE_EVERY_MS = 24 * 3600 * 1000;
/** Rows in one write: some 10 ms. */
const ROWS_MAX = 500;
/** How often a store that is busy is tried when all ends: each waits some 20 ms. */
const CLOSING_TRIES = 25;

/**
 * StateKeeper keeps a book's peers in a store that other processes may share.
 *
 * Invariants:
 *   S1. A timer runs while something is not yet written, and at no other time.
 *   S2. Between two writes, and between two looks at what others wrote, lies a second.
 *   S3. A store that fails costs memory of peers, never a call: it warns once, and is tried again.
 */
export class StateKeeper {
  readonly #book: PeerBook;
  readonly #clock: Clock;
  readonly #options: CheckedPeersOptions;
  readonly #store: StateStore;
  /** What is not yet written: `hard` as soon as may be, `soft` when there is time. */
  readonly #unwritten = new Map<PeerRecord, "soft" | "hard">();
  /** When the peers were written that were so of late, in ns. */
  readonly #written = new Map<PeerRecord, number>();
  #timer: unknown;
  #readAt: number;
  #hasWarned = false;
  #hasPriors = false;
  /** When each row of the store was written, in wall ms; Infinity = it holds a block, which does not age. */
  readonly #ages = new Map<string, number>();
  #prunedAt = -Infinity;
  /** From so many rows on they are looked through before a day is over. */
  #rowsMax: number;

  constructor(book: PeerBook, options: CheckedPeersOptions, store: StateStore) {
    this.#book = book;
    this.#clock = options.clock;
    this.#options = options;
    this.#store = store;
    this.#readAt = nowNs(this.#clock);
    this.#rowsMax = 2 * options.peersMax;
    book.onChange = (record, kind) => this.#note(record, kind);
    this.#read();
    this.#hasPriors = true;
    this.#prune();
    widenAll(book);
  }

  /** Reads what others wrote, if a second has passed since the last look. Cheap to ask. */
  refresh(): void {
    const now = nowNs(this.#clock);
    if (now - this.#readAt < EVERY_MS * NS_PER_MS) return;
    this.#readAt = now; // S2
    this.#read();
  }

  close(): void {
    if (this.#timer !== undefined) this.#clock.clearTimer(this.#timer);
    this.#timer = undefined;
    this.#dropForgotten();
    // The last chance: others may be at it for a while.
    for (let tries = 0; this.#unwritten.size > 0 && tries < CLOSING_TRIES; ) if (!this.#write([...this.#unwritten.keys()].slice(0, ROWS_MAX))) tries++;
    if (this.#unwritten.size > 0) this.#warn("the last second is not written, as others are at it");
    this.#guarded(() => this.#store.close());
    this.#book.onChange = () => {};
  }

  #note(record: PeerRecord, kind: "soft" | "hard"): void {
    if (kind === "hard" || !this.#unwritten.has(record)) this.#unwritten.set(record, kind);
    this.#timer ??= this.#clock.setTimer(this.#flush, EVERY_MS, true); // S1, S2
  }

  readonly #flush = (): void => {
    this.#timer = undefined;
    const now = nowNs(this.#clock);
    for (const [record, at] of this.#written) if (now - at >= SOFT_EVERY_MS * NS_PER_MS) this.#written.delete(record);
    this.#dropForgotten();
    const due = [...this.#unwritten].filter(([record, kind]) => kind === "hard" || !this.#written.has(record));
    // What changed is the most use to others.
    due.sort(([, a], [, b]) => Number(b === "hard") - Number(a === "hard"));
    if (due.length > 0) {
      this.#write(due.slice(0, ROWS_MAX).map(([record]) => record));
      this.#prune();
    }
    if (this.#unwritten.size > 0) this.#timer ??= this.#clock.setTimer(this.#flush, EVERY_MS, true);
  };

  /** Nothing is known any more of what is no longer held. */
  #dropForgotten(): void {
    for (const record of this.#unwritten.keys()) if (!isHeld(record)) this.#unwritten.delete(record);
  }

  /** Hears others' news, and writes these peers with it. Answers whether it went well. */
  #write(records: readonly PeerRecord[]): boolean {
    const scale = new TimeScale(this.#clock);
    const now = nowNs(this.#clock);
    let isDone = false;
    this.#guarded(() => {
      isDone = this.#store.exchange((news) => {
        this.#readAt = now;
        this.#take(news);
        return [encodePriors(this.#book, scale), ...records.filter(isHeld).map((record) => encodeRow(this.#book, record, scale))];
      });
    });
    if (!isDone) return false;
    for (const record of records) {
      this.#unwritten.delete(record);
      this.#written.set(record, now);
      this.#ages.set(record.key, record.block?.until ? Infinity : scale.wallMs);
    }
    return true;
  }

  #read(): void {
    this.#guarded(() => this.#take(this.#store.read()));
  }

  #take(rows: readonly StoredRow[]): void {
    if (rows.length === 0) return;
    const scale = new TimeScale(this.#clock);
    const now = nowNs(this.#clock);
    for (const stored of rows) {
      try {
        if (stored.key === PRIORS_KEY) {
          // Our own, once we have some, are as good as others'.
          if (!this.#hasPriors) restorePriors(this.#book, stored, scale);
          continue;
        }
        const row = parseRow(stored);
        const isBlocked = row.block !== null && (row.block.untilMs ?? Infinity) > scale.wallMs;
        this.#ages.set(stored.key, isBlocked ? Infinity : row.writtenMs);
        if (!isBlocked && scale.wallMs - row.writtenMs > MEMORY_MS) continue;
        mergeRow(this.#book, stored.key, row, scale, now, this.#options);
      } catch (error) {
        // One row that cannot be read is one peer forgotten.
        this.#warn(error);
      }
    }
  }

  /**
   * At the start, once a day, and when there are twice as many: rows of 30 days ago, and the oldest of more than `peersMax`. What
   * is blocked stays.
   */
  #prune(): void {
    const now = nowNs(this.#clock);
    if (now - this.#prunedAt < PRUNE_EVERY_MS * NS_PER_MS && this.#ages.size <= this.#rowsMax) return;
    this.#prunedAt = now;
    const wallMs = this.#clock.wallMs();
    const ages = [...this.#ages].sort(([, a], [, b]) => (a === b ? 0 : b - a));
    const gone = ages.filter(([, writtenMs], at) => writtenMs !== Infinity && (at >= this.#options.peersMax || writtenMs < wallMs - MEMORY_MS)).map(([key]) => key);
    if (gone.length > 0) {
      this.#guarded(() => {
        if (this.#store.remove?.(gone) !== false) for (const key of gone) this.#ages.delete(key);
      });
    }
    this.#rowsMax = this.#ages.size + this.#options.peersMax;
  }

  #guarded(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#warn(error); // S3
    }
  }

  #warn(error: unknown): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    warn(`the state of peers: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** News of others may have taken its place. */
function isHeld(record: PeerRecord): boolean {
  return record.numbers !== NO_ROW;
}
