import { assert } from "../base/assert.ts";
import { RuntimeError } from "../base/errors.ts";
import { StoredValue } from "../base/stored-value.ts";
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
  readonly number: number;
  removed = false;
  persisted = false;
  pairs = 0;
  /** Restored, checked, and not looked into yet. */
  unread: StoredValue | undefined;
  #partition: Partition | undefined;

  private constructor(key: string, number: number, partition?: Partition, unread?: StoredValue) {
    this.key = key;
    this.number = number;
    this.#partition = partition;
    this.unread = unread;
  }

  static open(key: string, number: number, partition: Partition): Segment {
    return new Segment(key, number, partition);
  }

  static restore(key: string, number: number, bytes: Uint8Array): Segment {
    const pairs = RowReader.countPairs(key, bytes);
    const segment = new Segment(key, number, undefined, StoredValue.checked(bytes));
    segment.pairs = pairs;
    segment.persisted = true;
    return segment;
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
  readonly #cells = new Map<string, Value>();
  /** It was restored, and nobody has asked for a cell: of a large table most is not read for long after a start. */
  #unread = false;
  readonly #changed = new Set<string>();
  #segments: Segment[] = [];
  #open: Segment | undefined;
  #next = 0;
  #pairs = 0;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  get cells(): Map<string, Value> {
    if (this.#unread) this.#read();
    return this.#cells;
  }

  #read(): void {
    this.#unread = false;
    for (const segment of this.#segments) {
      const pairs = (segment.unread?.value ?? []) as readonly Value[];
      for (let at = 0; at < pairs.length; at += 2) this.#cells.set(pairs[at] as string, pairs[at + 1] as Value);
      segment.unread = undefined;
    }
  }

  set(key: string, value: Value, journal: Journal): void {
    this.cells.set(key, value);
    this.#changed.add(key);
    if (this.#open === undefined) {
      this.#open = Segment.open(`${this.#prefix}${this.#next}`, this.#next++, this);
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

  /** All segments of the partition, in any order. */
  restore(segments: Segment[]): void {
    this.#segments = segments.sort((a, b) => a.number - b.number);
    this.#unread = true;
    for (const { pairs, number } of segments) {
      this.#pairs += pairs;
      this.#next = number + 1;
    }
  }
}

/** Cells of one name: durable values by key, changed one at a time, in the turn. */
export class CellTable {
  readonly #name: string;
  /** Made when first used: most tables are small, and some are only asked for. */
  readonly #partitions = new Array<Partition | undefined>(PARTITIONS).fill(undefined);
  #sorted: string[] | undefined;

  constructor(name: string) {
    this.#name = name;
  }

  get size(): number {
    return this.#partitions.reduce((sum, partition) => sum + (partition?.cells.size ?? 0), 0);
  }

  get(key: string): Value | undefined {
    return this.#partitions[partitionOf(key)]?.cells.get(key);
  }

  set(key: string, value: Value, journal: Journal): void {
    const partition = this.#partition(partitionOf(key));
    if (this.#sorted !== undefined && !partition.cells.has(key)) this.#sorted = undefined;
    partition.set(key, value, journal);
  }

  /** Up to `limit` pairs with keys after `after`, in ascending order of UTF-16 code units. */
  range(after: string | null, limit: number): [string, Value][] {
    this.#sorted ??= this.#partitions.flatMap((partition) => [...(partition?.cells.keys() ?? [])]).sort();
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

  restore(partition: number, segments: Segment[]): void {
    this.#partition(partition).restore(segments);
  }

  *entries(): Iterable<[string, Value]> {
    for (const partition of this.#partitions) if (partition !== undefined) yield* partition.cells;
  }

  /** What can be restored, one full segment a partition; changes nothing. */
  *capture(): Iterable<Encoded> {
    for (const partition of this.#partitions) if (partition !== undefined && partition.cells.size > 0) yield partition.capture();
  }

  #partition(at: number): Partition {
    return (this.#partitions[at] ??= new Partition(`${ROW.cells}${encodeURIComponent(this.#name)}/${at}/`));
  }
}

function partitionOf(key: string): number {
  // FNV-1a over the code units: any even spread will do, as long as it never changes.
  let hash = 0x811c9dc5;
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
  return (hash >>> 0) % PARTITIONS;
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
  restore(rows: readonly Encoded[]): void {
    const segmentsOf = new Map<string, Segment[]>();
    let prefix = "/"; // of no key
    let segments: Segment[] = [];
    for (const [key, bytes] of rows) {
      if (!key.startsWith(prefix)) { // a store's rows come partition by partition
        prefix = key.slice(0, key.lastIndexOf("/") + 1);
        segments = segmentsOf.get(prefix) ?? [];
        segmentsOf.set(prefix, segments);
      }
      const number = Number(key.slice(prefix.length));
      if (!(Number.isSafeInteger(number) && number >= 0)) refuse(key, "a segment without its number");
      segments.push(Segment.restore(key, number, bytes));
    }
    for (const [prefix, segments] of segmentsOf) {
      const [name, partition, ...more] = prefix.slice(ROW.cells.length, -1).split("/");
      const at = Number(partition);
      if (name === undefined || partition === undefined || more.length > 0) refuse(prefix, "a key of other than three parts");
      if (!(Number.isInteger(at) && at >= 0 && at < PARTITIONS)) refuse(prefix, `no partition ${partition}`);
      this.table(decodeURIComponent(name)).restore(at, segments);
    }
  }
}

function refuse(part: string, reason: string): never {
  throw new RuntimeError("SNAPSHOT_INVALID", { part, reason });
}
