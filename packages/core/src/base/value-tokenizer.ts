import { Token, Tokenizer, Type } from "cborg";
import { encodedLength } from "cborg/length";
import { decodeUtf8, isUtf8 } from "./utf8.ts";
import { VALUE_DEPTH_MAX } from "./value.ts";

/** One list or map that is being read. */
interface Level {
  readonly isMap: boolean;
  /** Keys and items still to come. */
  remaining: number;
  /** Where the text of the last key lies; `keyEnd` is 0 before the first. */
  keyStart: number;
  keyEnd: number;
}

/** First of the 3 bytes of U+FEFF. */
const BYTE_ORDER_MARK_LEAD = 0xef;
/** From here on cborg's native decoder is the faster one (measured on Node 24), if it can be trusted with the text. */
const LONG_TEXT_BYTES_MIN = 128;

/**
 * Reads the tokens of a value and refuses what cborg's strict mode lets pass: deep nesting, keys that are no text, out
 * of order or repeated, invalid UTF-8, tags round anything but bytes, floats longer than need be. Text is decoded here
 * because cborg's decoder replaces invalid bytes and drops a leading U+FEFF.
 *
 * Throws bare Errors like the rest of cborg; `decodeValue` turns them into VALUE_MALFORMED.
 */
export class ValueTokenizer extends Tokenizer {
  readonly #levels: Level[] = [];
  /** The last token was a tag. */
  #tagged = false;

  override next(): Token {
    const major = this.data[this._pos]! >>> 5;
    const level = this.#tagged ? undefined : this.#enterItem(); // a tag and its content are one item
    this.#tagged = false;
    if (level !== undefined && level.isMap && level.remaining % 2 === 1) return this.#readKey(level, major);
    if (major === 3) return this.#readText();
    const token = super.next();
    if (major === 4) this.#openLevel(false, token.value);
    else if (major === 5) this.#openLevel(true, token.value);
    else if (major === 6) this.#expectBytes();
    else if (major === 7) checkFloat(token);
    return token;
  }

  /** Counts an item of the innermost list or map that is not complete. */
  #enterItem(): Level | undefined {
    const levels = this.#levels;
    let level = levels[levels.length - 1];
    while (level !== undefined && level.remaining === 0) {
      levels.pop();
      level = levels[levels.length - 1];
    }
    if (level !== undefined) level.remaining--;
    return level;
  }

  #openLevel(isMap: boolean, length: number): void {
    if (this.#levels.length === VALUE_DEPTH_MAX) throw new Error(`nesting beyond ${VALUE_DEPTH_MAX} levels`);
    if (length > 0) this.#levels.push({ isMap, remaining: isMap ? 2 * length : length, keyStart: 0, keyEnd: 0 });
  }

  /** Only bignums are tagged, so no tag hides further nesting from the count. */
  #expectBytes(): void {
    if (this.done() || this.data[this._pos]! >>> 5 !== 2) throw new Error("a tag round something else than bytes");
    this.#tagged = true;
  }

  #readKey(level: Level, major: number): Token {
    if (major !== 3) throw new Error("a key that is no text");
    const token = this.#readText();
    const end = this._pos;
    const start = end - token.encodedLength! + headLength(token.encodedLength!);
    if (level.keyEnd > 0 && !precedes(this.data, level.keyStart, level.keyEnd, start, end)) {
      throw new Error("keys that are out of order or repeated");
    }
    level.keyStart = start;
    level.keyEnd = end;
    return token;
  }

  #readText(): Token {
    const { data, _pos: at } = this;
    const minor = data[at]! & 31;
    let head = 1;
    let length = minor;
    if (minor >= 24) {
      // 27, an 8-byte length, only begins where no value ends; 28 and above are reserved or indefinite.
      if (minor > 26) throw new Error("a text of impossible length");
      head += 1 << (minor - 24);
      length = 0;
      for (let i = at + 1; i < at + head; i++) length = length * 256 + (data[i] ?? 0);
      if (headLength(head + length) !== head) throw new Error("a text length in more bytes than necessary");
    }
    const end = at + head + length;
    if (end > data.length) throw new Error("a text that is cut off");
    if (length >= LONG_TEXT_BYTES_MIN && data[at + head] !== BYTE_ORDER_MARK_LEAD && isUtf8(data, at + head, end)) return super.next();
    const text = decodeUtf8(data, at + head, end);
    if (text === undefined) throw new Error("a text that is not UTF-8");
    this._pos = end;
    return new Token(Type.string, text, head + length);
  }
}

/** Bytes of a text's shortest head, from the bytes of head and text; no encoding has the lengths in between. */
function headLength(encoded: number): number {
  if (encoded < 1 + 24) return 1;
  if (encoded < 2 + 0x100) return 2;
  return encoded < 3 + 0x1_0000 ? 3 : 5;
}

/** Whether the text at `start` comes before the one at `nextStart`: the shorter one, else bytewise. */
function precedes(data: Uint8Array, start: number, end: number, nextStart: number, nextEnd: number): boolean {
  const length = end - start;
  if (length !== nextEnd - nextStart) return length < nextEnd - nextStart;
  for (let i = 0; i < length; i++) {
    const difference = data[start + i]! - data[nextStart + i]!;
    if (difference !== 0) return difference < 0;
  }
  return false;
}

/** A float is no whole number that an integer could hold, and as short as the encoder makes it. */
function checkFloat(token: Token): void {
  if (token.encodedLength === 1) return; // true, false, null
  if (Number.isSafeInteger(token.value)) throw new Error("a whole number as float");
  if (token.encodedLength !== encodedLength(token.value)) throw new Error("a float in more bytes than necessary");
}
