/**
 * Strict UTF-8 (RFC 3629) without `TextEncoder`, which core's environment lacks. Strict in both directions: no lone
 * surrogates in, no overlong forms, surrogates or bytes beyond U+10FFFF out, and a byte-order mark is text like any
 * other. So every text that encodes decodes to itself.
 */

/** Code units a `String.fromCharCode` call takes at once; engines bound the arguments of a call. */
const UNITS_MAX = 4096;
/** Up to here ASCII is put together from short pieces; more of them would make too large a rope. */
const SHORT_BYTES_MAX = 512;

const units = new Uint16Array(UNITS_MAX);

/** Bytes of `text` in UTF-8, or −1 when it has a lone surrogate and therefore no encoding. */
export function utf8Length(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    if (unit < 0x800) bytes += 1;
    else if (unit < 0xd800 || unit > 0xdfff) bytes += 2;
    else if (isSurrogatePair(unit, text.charCodeAt(i + 1))) {
      bytes += 2; // 4 bytes for 2 units
      i++;
    } else return -1;
  }
  return bytes;
}

/**
 * Writes `text` at `at` and returns the position behind it. `utf8Length` must have been asked before: `target` has
 * room, and the text no lone surrogate.
 */
export function writeUtf8(text: string, target: Uint8Array, at: number): number {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) {
      target[at++] = unit;
    } else if (unit < 0x800) {
      target[at++] = 0xc0 | (unit >> 6);
      target[at++] = 0x80 | (unit & 0x3f);
    } else if (unit < 0xd800 || unit > 0xdfff) {
      target[at++] = 0xe0 | (unit >> 12);
      target[at++] = 0x80 | ((unit >> 6) & 0x3f);
      target[at++] = 0x80 | (unit & 0x3f);
    } else {
      const point = 0x10000 + ((unit & 0x3ff) << 10) + (text.charCodeAt(++i) & 0x3ff);
      target[at++] = 0xf0 | (point >> 18);
      target[at++] = 0x80 | ((point >> 12) & 0x3f);
      target[at++] = 0x80 | ((point >> 6) & 0x3f);
      target[at++] = 0x80 | (point & 0x3f);
    }
  }
  return at;
}

/** The text of `bytes` from `start` to `end`, or undefined when they are not valid UTF-8. */
export function decodeUtf8(bytes: Uint8Array, start = 0, end = bytes.length): string | undefined {
  if (end - start <= SHORT_BYTES_MAX) {
    const text = decodeAscii(bytes, start, end);
    if (text !== undefined) return text;
  }
  return isUtf8(bytes, start, end) ? decodeValid(bytes, start, end) : undefined;
}

/** Whether the bytes from `start` to `end` are valid UTF-8. */
export function isUtf8(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at < end) {
    const lead = bytes[at++]!;
    if (lead < 0x80) {
      // Where one byte is ASCII, the next are as a rule: four at a time take half as long.
      while (end - at >= 4 && (bytes[at]! | bytes[at + 1]! | bytes[at + 2]! | bytes[at + 3]!) < 0x80) at += 4;
      continue;
    }
    const extra = continuationBytes(lead);
    if (extra === 0 || end - at < extra) return false;
    let point = lead & (0x3f >> extra);
    for (let i = 0; i < extra; i++) {
      const byte = bytes[at++]!;
      if ((byte & 0xc0) !== 0x80) return false;
      point = (point << 6) | (byte & 0x3f);
    }
    if (!isScalar(point, extra)) return false;
  }
  return true;
}

/** Eight at a time, for names and keys: a third of the time that one at a time takes (measured on Node 24). */
function decodeAscii(bytes: Uint8Array, start: number, end: number): string | undefined {
  let text = "";
  let at = start;
  for (; end - at >= 8; at += 8) {
    const a = bytes[at]!;
    const b = bytes[at + 1]!;
    const c = bytes[at + 2]!;
    const d = bytes[at + 3]!;
    const e = bytes[at + 4]!;
    const f = bytes[at + 5]!;
    const g = bytes[at + 6]!;
    const h = bytes[at + 7]!;
    if ((a | b | c | d | e | f | g | h) >= 0x80) return undefined;
    text += String.fromCharCode(a, b, c, d, e, f, g, h);
  }
  for (; at < end; at++) {
    const byte = bytes[at]!;
    if (byte >= 0x80) return undefined;
    text += String.fromCharCode(byte);
  }
  return text;
}

function decodeValid(bytes: Uint8Array, start: number, end: number): string {
  let text = "";
  let count = 0;
  let at = start;
  while (at < end) {
    if (count > UNITS_MAX - 2) {
      text += flush(count);
      count = 0;
    }
    const lead = bytes[at++]!;
    if (lead < 0x80) units[count++] = lead;
    else if (lead < 0xe0) units[count++] = ((lead & 0x1f) << 6) | continuation(bytes, at++);
    else if (lead < 0xf0) {
      units[count++] = ((lead & 0xf) << 12) | (continuation(bytes, at++) << 6) | continuation(bytes, at++);
    } else {
      const high = ((lead & 7) << 18) | (continuation(bytes, at++) << 12);
      const offset = (high | (continuation(bytes, at++) << 6) | continuation(bytes, at++)) - 0x10000;
      units[count++] = 0xd800 | (offset >> 10);
      units[count++] = 0xdc00 | (offset & 0x3ff);
    }
  }
  return text + flush(count);
}

function continuation(bytes: Uint8Array, at: number): number {
  return bytes[at]! & 0x3f;
}

function flush(count: number): string {
  // The declaration of apply() wants an array; the language takes anything array-like.
  return String.fromCharCode.apply(null, units.subarray(0, count) as unknown as number[]);
}

/** 0 for a byte that cannot lead. */
function continuationBytes(lead: number): 0 | 1 | 2 | 3 {
  if (lead >= 0xc2 && lead < 0xe0) return 1;
  if (lead >= 0xe0 && lead < 0xf0) return 2;
  if (lead >= 0xf0 && lead < 0xf5) return 3;
  return 0;
}

/** Neither overlong nor a surrogate nor beyond Unicode. */
function isScalar(point: number, extra: 1 | 2 | 3): boolean {
  if (extra === 1) return true; // 0xc0 and 0xc1, the overlong leads, are ruled out already
  if (extra === 2) return point >= 0x800 && (point < 0xd800 || point > 0xdfff);
  return point >= 0x10000 && point <= 0x10ffff;
}

/** NaN, what `charCodeAt` gives behind the end, is no second half. */
function isSurrogatePair(first: number, second: number): boolean {
  return first < 0xdc00 && second >= 0xdc00 && second <= 0xdfff;
}
