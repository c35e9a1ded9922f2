/** The small part of DER (X.690) that a certificate needs. Every function returns a whole tag-length-value. */
export function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  return Buffer.concat([Buffer.from([tag]), derLength(content.length), content]);
}

export const sequence = (...items: readonly Uint8Array[]): Buffer => der(0x30, ...items);
export const set = (...items: readonly Uint8Array[]): Buffer => der(0x31, ...items);
/** `magnitude` is big-endian and positive: its first bit is 0. */
export const integer = (magnitude: Uint8Array): Buffer => der(0x02, magnitude);
export const bitString = (bytes: Uint8Array): Buffer => der(0x03, Buffer.from([0]), bytes);
export const utf8String = (text: string): Buffer => der(0x0c, Buffer.from(text));
/** `YYYYMMDDHHMMSSZ`: RFC 5280 wants this form from 2050 on. */
export const generalizedTime = (text: string): Buffer => der(0x18, Buffer.from(text, "latin1"));
/** `YYMMDDHHMMSSZ`: RFC 5280 wants this form until 2049. */
export const utcTime = (text: string): Buffer => der(0x17, Buffer.from(text, "latin1"));
export const oid = (...encoded: readonly number[]): Buffer => der(0x06, Buffer.from(encoded));
/** An element with an explicit context tag, such as the version of a certificate. */
export const explicit = (number: number, item: Uint8Array): Buffer => der(0xa0 + number, item);

function derLength(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  if (length < 0x100) return Buffer.from([0x81, length]);
  return Buffer.from([0x82, length >> 8, length & 0xff]);
}
