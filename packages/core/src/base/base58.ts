/**
 * base58btc (draft-msporny-base58-03), made for names of some 40 bytes: the work is quadratic, so callers bound what
 * comes from outside. Numbers are carried in limbs as large as a double's 53 bits allow.
 */

const ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const ZERO = ALPHABET.charCodeAt(0);
/** Digits to a limb in base 58, and bytes to a limb in base 256: 58^5 × 2^16 is below 2^46. */
const DIGITS_PER_LIMB = 5;
const LIMB_58 = 58 ** DIGITS_PER_LIMB;
const LIMB_256 = 2 ** 16;

/** ASCII code → digit; −1 for what is no digit. */
const DIGIT_VALUES = new Int8Array(128).fill(-1);
for (let digit = 0; digit < ALPHABET.length; digit++) DIGIT_VALUES[ALPHABET.charCodeAt(digit)] = digit;

export function encodeBase58(bytes: Uint8Array): string {
  let zeros = 0;
  while (zeros < bytes.length && bytes[zeros] === 0) zeros++;
  const limbs: number[] = []; // base 58^5, least first
  // An odd first byte makes a limb of its own, so that the rest are pairs.
  if ((bytes.length - zeros) % 2 === 1) limbs.push(bytes[zeros]!);
  for (let at = zeros + limbs.length; at < bytes.length; at += 2) {
    multiplyAdd(limbs, LIMB_256, bytes[at]! * 256 + bytes[at + 1]!, LIMB_58);
  }
  let digits = "";
  for (let i = 0; i < limbs.length; i++) {
    let rest = limbs[i]!;
    for (let k = 0; k < DIGITS_PER_LIMB && (rest > 0 || i < limbs.length - 1); k++) {
      digits = ALPHABET[rest % 58]! + digits;
      rest = Math.floor(rest / 58);
    }
  }
  return ALPHABET[0]!.repeat(zeros) + digits;
}

/** Undefined when a character is no digit of the alphabet. Every text has exactly one decoding, and the reverse. */
export function decodeBase58(text: string): Uint8Array | undefined {
  let zeros = 0;
  while (zeros < text.length && text.charCodeAt(zeros) === ZERO) zeros++;
  const limbs: number[] = []; // base 2^16, least first
  let at = zeros;
  while (at < text.length) {
    let factor = 1;
    let group = 0;
    // The first group is the short one, so that the others are whole.
    do {
      const digit = DIGIT_VALUES[text.charCodeAt(at++)] ?? -1;
      if (digit < 0) return undefined;
      group = group * 58 + digit;
      factor *= 58;
    } while ((text.length - at) % DIGITS_PER_LIMB !== 0);
    multiplyAdd(limbs, factor, group, LIMB_256);
  }
  const highest = limbs.at(-1);
  const length = highest === undefined ? 0 : 2 * limbs.length - (highest < 256 ? 1 : 0);
  const bytes = new Uint8Array(zeros + length);
  for (let i = 0; i < length; i++) {
    const limb = limbs[i >> 1]!;
    bytes[bytes.length - 1 - i] = i % 2 === 0 ? limb : limb >> 8;
  }
  return bytes;
}

/** limbs = limbs × factor + added, in place, in that base. */
function multiplyAdd(limbs: number[], factor: number, added: number, base: number): void {
  let carry = added;
  for (let i = 0; i < limbs.length; i++) {
    const product = limbs[i]! * factor + carry;
    carry = Math.floor(product / base);
    limbs[i] = product - carry * base;
  }
  while (carry > 0) {
    limbs.push(carry % base);
    carry = Math.floor(carry / base);
  }
}
