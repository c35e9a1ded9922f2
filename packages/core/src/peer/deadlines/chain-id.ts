import type { ChainId } from "../../base/ids.ts";

// The 64-bit hash is kept as two 32-bit halves, which plain numbers multiply exactly. The prime is 2^40 + 0x1b3.
const OFFSET_HIGH = 0xcbf29ce4;
const OFFSET_LOW = 0x84222325;
const PRIME_LOW = 0x1b3;
const UINT32_RANGE = 4294967296;

/**
 * Names a chain by its comma-separated target list: FNV-1a 64 over the UTF-8 bytes, as 16 lower-case hexadecimal
 * digits. The text is taken as it stands. Both ends of a chain compute it, so the list need not travel.
 *
 * Source: draft-eastlake-fnv. A name and no proof: whoever picks targets can make two chains collide, which at worst
 * mixes their estimates.
 */
export function chainIdFromTargets(targets: string): ChainId {
  let high = OFFSET_HIGH;
  let low = OFFSET_LOW;
  const feed = (byte: number) => {
    const mixed = (low ^ byte) >>> 0;
    const product = mixed * PRIME_LOW;
    // The prime's 2^40 moves the low half 8 bits up within the high half.
    const carried = high * PRIME_LOW + Math.floor(product / UINT32_RANGE) + ((mixed << 8) >>> 0);
    low = product % UINT32_RANGE;
    high = carried % UINT32_RANGE;
  };
  for (const character of targets) feedUtf8(character.codePointAt(0) ?? 0, feed);
  return (hex32(high) + hex32(low)) as ChainId;
}

/** Feeds one code point's UTF-8 bytes. A lone surrogate counts as U+FFFD, as in every encoder of the platform. */
function feedUtf8(given: number, feed: (byte: number) => void): void {
  const code = given >= 0xd800 && given <= 0xdfff ? 0xfffd : given;
  if (code < 0x80) return feed(code);
  if (code < 0x800) {
    feed(0xc0 | (code >> 6));
  } else {
    if (code < 0x10000) {
      feed(0xe0 | (code >> 12));
    } else {
      feed(0xf0 | (code >> 18));
      feed(0x80 | ((code >> 12) & 0x3f));
    }
    feed(0x80 | ((code >> 6) & 0x3f));
  }
  feed(0x80 | (code & 0x3f));
}

function hex32(half: number): string {
  return half.toString(16).padStart(8, "0");
}
