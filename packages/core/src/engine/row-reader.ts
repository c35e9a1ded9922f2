import { RuntimeError } from "../base/errors.ts";
import { decodeValue } from "../base/value-codec.ts";
import type { Value } from "../base/value.ts";

/**
 * Reads one stored row field by field. Rows are lists; a field that is missing, of another type, out of range or left
 * over is an error that names the row: stored data may be damaged and is refused, never repaired.
 */
export class RowReader {
  readonly #part: string;
  readonly #fields: readonly Value[];
  #at = 0;

  private constructor(part: string, fields: readonly Value[]) {
    this.#part = part;
    this.#fields = fields;
  }

  static of(part: string, bytes: Uint8Array): RowReader {
    const value = RowReader.valueOf(part, bytes);
    if (!Array.isArray(value)) throw new RuntimeError("SNAPSHOT_INVALID", { part, found: "not a list" });
    return new RowReader(part, value as readonly Value[]);
  }

  /** The value of a row that is no list of fields. */
  static valueOf(part: string, bytes: Uint8Array): Value {
    try {
      return decodeValue(bytes);
    } catch (cause) {
      throw new RuntimeError("SNAPSHOT_INVALID", { part }, { cause });
    }
  }

  refuse(reason: string): never {
    throw new RuntimeError("SNAPSHOT_INVALID", { part: this.#part, field: this.#at, reason });
  }

  check(condition: boolean, expected: string): void {
    if (!condition) this.refuse(`expected ${expected}`);
  }

  get atEnd(): boolean {
    return this.#at === this.#fields.length;
  }

  any(): Value {
    const value = this.#fields[this.#at++];
    if (value === undefined) this.refuse("a field is missing");
    return value as Value;
  }

  text(): string {
    const value = this.any();
    if (typeof value !== "string") this.refuse("expected text");
    return value as string;
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
    if (this.#fields[this.#at] !== null) return read();
    this.#at++;
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
    return new RowReader(this.#part, this.items());
  }

  lists(): RowReader[] {
    return this.items().map((item) => {
      if (!Array.isArray(item)) this.refuse("expected a list of lists");
      return new RowReader(this.#part, item as readonly Value[]);
    });
  }

  texts(): string[] {
    return this.items().map((item) => {
      if (typeof item !== "string") this.refuse("expected a list of texts");
      return item as string;
    });
  }

  /** Every field must have been read. */
  end(): void {
    if (this.#at !== this.#fields.length) this.refuse("fields are left over");
  }
}
