import { decodeValue, encodeValue } from "./value-codec.ts";
import type { Value } from "./value.ts";

/**
 * A value and its encoding, of which each is made of the other when it is first asked for. What a restart brings back is
 * its bytes: checked when they are loaded, decoded when somebody wants to know, written again as they are.
 */
export class StoredValue {
  #value: Value | undefined;
  /** It has the encoding from `#start` to `#end`; a part of a row, for one, which is not copied as long as nobody asks. */
  #source: Uint8Array | undefined;
  #start: number;
  #end: number;

  private constructor(value: Value | undefined, source: Uint8Array | undefined, start: number, end: number) {
    this.#value = value;
    this.#source = source;
    this.#start = start;
    this.#end = end;
  }

  /** `bytes`, if given, are its encoding. */
  static of(value: Value, bytes?: Uint8Array): StoredValue {
    return new StoredValue(value, bytes, 0, bytes === undefined ? 0 : bytes.length);
  }

  /** Whoever calls this has checked the bytes from `start` to `end`, and nobody changes them. */
  static checked(source: Uint8Array, start = 0, end = source.length): StoredValue {
    return new StoredValue(undefined, source, start, end);
  }

  get value(): Value {
    if (this.#value === undefined) this.#value = decodeValue((this.#source as Uint8Array).subarray(this.#start, this.#end));
    return this.#value;
  }

  get bytes(): Uint8Array {
    if (this.#source === undefined) this.#own(encodeValue(this.#value as Value));
    else if (this.#source.length !== this.byteLength) this.#own(new Uint8Array(this.#source.subarray(this.#start, this.#end)));
    return this.#source as Uint8Array;
  }

  get byteLength(): number {
    return this.#source === undefined ? this.bytes.length : this.#end - this.#start;
  }

  #own(bytes: Uint8Array): void {
    this.#source = bytes;
    this.#start = 0;
    this.#end = bytes.length;
  }
}
