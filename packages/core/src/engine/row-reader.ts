import { RuntimeError } from "../base/errors.ts";
import { StoredValue } from "../base/stored-value.ts";
import { decodeValue } from "../base/value-codec.ts";
import { ValueDecoder } from "../base/value-decoder.ts";
import { VALUE_BYTES_MAX, type Value } from "../base/value.ts";

const NULL = 0xf6;
const EMPTY_LIST = 0x80;

/**
 * Reads one stored row field by field, from its bytes. Rows are lists; a field that is missing, damaged, of another type, out
 * of range or left over is an error that names the row: stored data may be damaged and is refused, never repaired. So each
 * field is read or stepped over, up to the `end`.
 */
export class RowReader {
  readonly #part: string;
  readonly #bytes: Uint8Array;
  readonly #decoder: ValueDecoder;
  /** Lists around the fields, this one included. */
  readonly #depth: number;
  readonly #fields: number;
  #at = 0;

  private constructor(part: string, bytes: Uint8Array, start: number, depth: number) {
    this.#part = part;
    this.#bytes = bytes;
    this.#depth = depth;
    this.#decoder = new ValueDecoder(bytes, start);
    if (bytes.length > VALUE_BYTES_MAX) throw new RuntimeError("SNAPSHOT_INVALID", { part, reason: `${bytes.length} bytes` });
    this.#fields = this.#take(ENTER_LIST);
  }

  static of(part: string, bytes: Uint8Array): RowReader {
    return new RowReader(part, bytes, 0, 1);
  }

  /** The value of a row that is no list of fields. */
  static valueOf(part: string, bytes: Uint8Array): Value {
    try {
      return decodeValue(bytes);
    } catch (cause) {
      throw new RuntimeError("SNAPSHOT_INVALID", { part }, { cause });
    }
  }

  /** The same, checked and not decoded. */
  static storedValueOf(part: string, bytes: Uint8Array): StoredValue {
    checkWhole(part, bytes, SKIP_VALUE);
    return StoredValue.checked(bytes);
  }

  /** Checks a row that is a list [text, value, text, value, …]. Returns how many pairs it has. */
  static countPairs(part: string, bytes: Uint8Array): number {
    return checkWhole(part, bytes, SKIP_PAIRS);
  }

  refuse(reason: string): never {
    throw new RuntimeError("SNAPSHOT_INVALID", { part: this.#part, field: this.#at, reason });
  }

  check(condition: boolean, expected: string): void {
    if (!condition) this.refuse(`expected ${expected}`);
  }

  get atEnd(): boolean {
    return this.#at === this.#fields;
  }

  any(): Value {
    this.#next();
    return this.#take(READ);
  }

  /** The next field, checked and not decoded. */
  stored(): StoredValue {
    this.#next();
    const start = this.#decoder.pos();
    this.#take(SKIP);
    return StoredValue.checked(this.#bytes, start, this.#decoder.pos());
  }

  /** The next field: null, true, false, or bytes that are an encoded value of their own, checked and not decoded. */
  embedded(): StoredValue | boolean | null {
    if (this.#peek() >>> 5 !== 2) {
      const value = this.any();
      if (value !== null && typeof value !== "boolean") this.refuse("expected bytes, true, false or null");
      return value as boolean | null;
    }
    this.#next();
    const end = this.#take(ENTER_BYTES);
    const start = this.#decoder.pos();
    this.#take(SKIP_VALUE);
    if (this.#decoder.pos() !== end) this.refuse("expected bytes that are one value");
    return StoredValue.checked(this.#bytes, start, end);
  }

  text(): string {
    const value = this.any();
    if (typeof value !== "string") this.refuse("expected text");
    return value as string;
  }

  /** A text that many rows have. */
  name(): string {
    this.#next();
    if (!this.#decoder.atText()) this.refuse("expected text");
    return this.#take(READ_NAME);
  }

  flag(): boolean {
    const value = this.any();
    if (typeof value !== "boolean") this.refuse("expected true or false");
    return value as boolean;
  }

  /** A whole, finite, non-negative number; past 2^53 too, as times may be. */
  whole(): number {
    const value = this.any();
    if (typeof value !== "number" || !(value >= 0) || !Number.isInteger(value)) this.refuse("expected a whole number");
    return value as number;
  }

  /** What `read` reads, or null where null is stored. */
  nullOr<T>(read: () => T): T | null {
    if (this.#peek() !== NULL) return read();
    this.any();
    return null;
  }

  bytes(): Uint8Array {
    const value = this.any();
    if (!(value instanceof Uint8Array)) this.refuse("expected bytes");
    return value as Uint8Array;
  }

  items(): readonly Value[] {
    const value = this.any();
    if (!Array.isArray(value)) this.refuse("expected a list");
    return value as readonly Value[];
  }

  list(): RowReader {
    this.#next();
    const start = this.#decoder.pos();
    if (this.#bytes[start]! >>> 5 !== 4) this.refuse("expected a list");
    this.#take(SKIP);
    return new RowReader(this.#part, this.#bytes, start, this.#depth + 1);
  }

  lists(): readonly RowReader[] {
    if (this.#peek() === EMPTY_LIST) {
      this.any();
      return NONE;
    }
    const outer = this.list();
    const lists: RowReader[] = [];
    while (!outer.atEnd) lists.push(outer.list());
    return lists;
  }

  texts(): string[] {
    return this.items().map((item) => {
      if (typeof item !== "string") this.refuse("expected a list of texts");
      return item as string;
    });
  }

  /** Fields in this list. */
  get length(): number {
    return this.#fields;
  }

  /** Every field must have been read, and nothing may follow. */
  end(): void {
    if (this.#at !== this.#fields) this.refuse("fields are left over");
    if (this.#depth === 1 && !this.#decoder.done()) this.refuse("bytes behind the row");
  }

  #next(): void {
    if (this.#at++ >= this.#fields) this.refuse("a field is missing");
  }

  #peek(): number {
    return this.#at < this.#fields ? (this.#bytes[this.#decoder.pos()] ?? 0) : 0;
  }

  /** Whatever the decoder throws is this row's damage. */
  #take<T>(step: (decoder: ValueDecoder, depth: number) => T): T {
    try {
      return step(this.#decoder, this.#depth);
    } catch (cause) {
      throw new RuntimeError("SNAPSHOT_INVALID", { part: this.#part, field: this.#at, reason: (cause as Error).message }, { cause });
    }
  }
}

const NONE: readonly RowReader[] = [];

/** Takes `step` through all of the bytes. */
function checkWhole<T>(part: string, bytes: Uint8Array, step: (decoder: ValueDecoder) => T): T {
  try {
    if (bytes.length > VALUE_BYTES_MAX) throw new Error(`a value of ${bytes.length} bytes`);
    const decoder = new ValueDecoder(bytes);
    const result = step(decoder);
    if (!decoder.done()) throw new Error("bytes behind the value");
    return result;
  } catch (cause) {
    throw new RuntimeError("SNAPSHOT_INVALID", { part, reason: (cause as Error).message }, { cause });
  }
}

const READ = (decoder: ValueDecoder, depth: number): Value => decoder.read(depth);
const READ_NAME = (decoder: ValueDecoder): string => decoder.readName();
const SKIP = (decoder: ValueDecoder, depth: number): void => decoder.skip(depth);
const SKIP_VALUE = (decoder: ValueDecoder): void => decoder.skip();
const SKIP_PAIRS = (decoder: ValueDecoder): number => {
  const length = decoder.enterList();
  if (length % 2 === 1) throw new Error("half a pair");
  for (let at = 0; at < length; at += 2) {
    decoder.skipText();
    decoder.skip(1);
  }
  return length / 2;
};
const ENTER_LIST = (decoder: ValueDecoder, depth: number): number => decoder.enterList(depth - 1);
const ENTER_BYTES = (decoder: ValueDecoder): number => decoder.enterBytes();
