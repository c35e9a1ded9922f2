import { assert } from "../base/assert.ts";
import { encodeValue } from "../base/value-codec.ts";
import type { Value } from "../base/value.ts";
import { ROW, type Encoded } from "./rows.ts";
import { RowReader } from "./row-reader.ts";
import type { Journal, Row } from "./journal.ts";

/** Partitions of a table: one is rewritten at a time, so a large table never stalls a turn. */
const PARTITIONS = 64;
/** A partition is rewritten when its log holds this many times its live cells, and at least `COMPACT_PAIRS_MIN`. */
const COMPACT_RATIO = 3;
const COMPACT_PAIRS_MIN = 64;

/** One segment of a partition's log: [key, value, key, value, …] as it stood when the record was taken. */
class Segment implements Row {
  readonly key: string;
  removed = false;
  persisted = false;
  pairs: number;
  #partition: Partition | undefined;

  constructor(key: string, pairs: number, partition?: Partition) {
    this.key = key;
    this.pairs = pairs;
    this.#partition = partition;
  }

  encode(journal: Journal): Uint8Array {
    const partition = this.#partition;
    assert(partition !== undefined, "a segment is written once");
    this.#partition = undefined;
    return partition.encodeSegment(this, journal);
  }
}

/**
 * A partition is a short log of segments: each record adds one that holds the cells changed since the last. Later
 * pairs win. When the log has grown to `COMPACT_RATIO` times the live cells, the next segment holds them all and the
 * earlier ones go, so writes stay proportional to what changed and space to what lives.
 */
class Partition {
  readonly #prefix: string;
  readonly cells = new Map<string, Value>();
  readonly #changed = new Set<string>();
  #segments: Segment[] = [];
  #open: Segment | undefined;
  #next = 0;
  #pairs = 0;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  set(key: string, value: Value, journal: Journal): void {
    this.cells.set(key, value);
    this.#changed.add(key);
    if (this.#open === undefined) {
      this.#open = new Segment(`${this.#prefix}${this.#next++}`, 0, this);
      journal.touch(this.#open);
    }
  }

  encodeSegment(segment: Segment, journal: Journal): Uint8Array {
    assert(segment === this.#open, "only the open segment is encoded");
    const limit = Math.max(COMPACT_PAIRS_MIN, COMPACT_RATIO * this.cells.size);
    const compact = this.#pairs + this.#changed.size > limit;
    const flat: Value[] = [];
    if (compact) {
      for (const old of this.#segments) journal.remove(old);
      this.#segments = [];
      this.#pairs = 0;
      for (const [key, value] of this.cells) flat.push(key, value);
    } else {
      for (const key of this.#changed) flat.push(key, this.cells.get(key) as Value);
    }
    segment.pairs = flat.length / 2;
    this.#pairs += segment.pairs;
    this.#segments.push(segment);
    this.#changed.clear();
    this.#open = undefined;
    return encodeValue(flat);
  }

  /** All cells as one first segment, in the order of their keys. */
  capture(): Encoded {
    const keys = [...this.cells.keys()].sort();
    return [`${this.#prefix}0`, encodeValue(keys.flatMap((key) => [key, this.cells.get(key) as Value]))];
  }

  /** Segments come in ascending order of their numbers. */
  restoreSegment(number: number, bytes: Uint8Array): void {
    const key = `${this.#prefix}${number}`;
    const reader = RowReader.of(key, bytes);
    const segment = new Segment(key, 0);
    segment.persisted = true;
    while (!reader.atEnd) {
      this.cells.set(reader.text(), reader.any());
      segment.pairs++;
    }
    this.#segments.push(segment);
    this.#pairs += segment.pairs;
    this.#next = number + 1;
  }
}

/** Cells of one name: durable values by key, changed one at a time, in the turn. */
export class CellTable {
  readonly #name: string;
  readonly #partitions: Partition[] = [];
  #sorted: string[] | undefined;

  constructor(name: string) {
    this.#name = name;
    for (let n = 0; n < PARTITIONS; n++) this.#partitions.push(new Partition(`${ROW.cells}${encodeURIComponent(name)}/${n}/`));
  }

  get size(): number {
    return this.#partitions.reduce((sum, partition) => sum + partition.cells.size, 0);
  }

  get(key: string): Value | undefined {
    return this.#partitionOf(key).cells.get(key);
  }

  set(key: string, value: Value, journal: Journal): void {
    const partition = this.#partitionOf(key);
    if (this.#sorted !== undefined && !partition.cells.has(key)) this.#sorted = undefined;
    partition.set(key, value, journal);
  }

  /** Up to `limit` pairs with keys after `after`, in ascending order of UTF-16 code units. */
  range(after: string | null, limit: number): [string, Value][] {
    this.#sorted ??= this.#partitions.flatMap((partition) => [...partition.cells.keys()]).sort();
    const keys = this.#sorted;
    let low = 0;
    let high = keys.length;
    while (after !== null && low < high) {
      const middle = (low + high) >>> 1;
      if ((keys[middle] as string) <= after) low = middle + 1;
      else high = middle;
    }
    return keys.slice(low, low + limit).map((key) => [key, this.get(key) as Value]);
  }

  restoreSegment(partition: number, number: number, bytes: Uint8Array): void {
    const target = this.#partitions[partition];
    if (target === undefined) RowReader.of(this.#name, bytes).refuse(`no partition ${partition}`);
    else target.restoreSegment(number, bytes);
  }

  *entries(): Iterable<[string, Value]> {
    for (const partition of this.#partitions) yield* partition.cells;
  }

  /** What `restoreSegment` takes, one full segment a partition; changes nothing. */
  *capture(): Iterable<Encoded> {
    for (const partition of this.#partitions) if (partition.cells.size > 0) yield partition.capture();
  }

  #partitionOf(key: string): Partition {
    // FNV-1a over the code units: any even spread will do, as long as it never changes.
    let hash = 0x811c9dc5;
    for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
    return this.#partitions[(hash >>> 0) % PARTITIONS] as Partition;
  }
}

/** All cell tables of a node, by name. */
export class Cells {
  readonly #tables = new Map<string, CellTable>();

  /** For reading: a name that nothing was stored under gives an empty table, and leaves none behind. */
  find(name: string): CellTable {
    return this.#tables.get(name) ?? new CellTable(name);
  }

  /** For writing. */
  table(name: string): CellTable {
    let table = this.#tables.get(name);
    if (table === undefined) {
      table = new CellTable(name);
      this.#tables.set(name, table);
    }
    return table;
  }

  get names(): Iterable<string> {
    return this.#tables.keys();
  }

  /** All cells as rows of the family `cells/`; changes nothing. */
  *capture(): Iterable<Encoded> {
    for (const table of this.#tables.values()) yield* table.capture();
  }

  /** Rows of the family `cells/`, in any order. */
  restore(rows: readonly (readonly [string, Uint8Array])[]): void {
    const parsed = rows.map(([key, bytes]) => {
      const parts = key.slice(ROW.cells.length).split("/");
      if (parts.length !== 3) RowReader.of(key, bytes).refuse("a key of three parts");
      const [name, partition, number] = [decodeURIComponent(parts[0] as string), Number(parts[1]), Number(parts[2])];
      if (!(Number.isSafeInteger(number) && number >= 0)) RowReader.of(key, bytes).refuse("a segment without its number");
      return { name, partition, number, bytes };
    });
    parsed.sort((a, b) => a.number - b.number);
    for (const { name, partition, number, bytes } of parsed) this.table(name).restoreSegment(partition, number, bytes);
  }
}
