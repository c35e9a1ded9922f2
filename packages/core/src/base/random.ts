import { assert } from "./assert.ts";
import { RuntimeError } from "./errors.ts";

const UINT32_RANGE = 4294967296;

export type RandomState = readonly [number, number, number, number];

/**
 * A seeded generator, so that a simulation and a restored engine draw the same numbers again. Not for secrets.
 *
 * Source: sfc32 of Chris Doty-Humphrey's PractRand: 128 bits of state of which 32 are a counter, so that no state is
 * stuck and the period is at least 2^32. Invariant: each word of the state is an unsigned 32-bit number.
 */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter: number;

  private constructor(state: RandomState) {
    [this.#a, this.#b, this.#c, this.#counter] = state;
  }

  /** Equal seeds give equal sequences; the number 1 and the text "1" are the same seed. */
  static fromSeed(seed: string | number): Random {
    const text = String(seed);
    const random = new Random([mix(text, 0x9e3779b9), mix(text, 0x243f6a88), mix(text, 0xb7e15162), 1]);
    // sfc32's author lets twelve draws go by until every bit of the seed has reached every word.
    for (let draw = 0; draw < 12; draw++) random.nextUint32();
    return random;
  }

  /** Goes on where `state()` was taken. Throws SNAPSHOT_INVALID for anything but four unsigned 32-bit numbers. */
  static restore(state: RandomState): Random {
    const valid = Array.isArray(state) && state.length === 4 && state.every((word) => word >>> 0 === word);
    if (!valid) throw new RuntimeError("SNAPSHOT_INVALID", { part: "random" });
    return new Random(state);
  }

  state(): RandomState {
    return [this.#a, this.#b, this.#c, this.#counter];
  }

  /** Counts draws, and wraps at 2^32: two equal readings mean that nothing was drawn in between. */
  get draws(): number {
    return this.#counter;
  }

  nextUint32(): number {
    const drawn = (this.#a + this.#b + this.#counter) >>> 0;
    this.#counter = (this.#counter + 1) >>> 0;
    this.#a = (this.#b ^ (this.#b >>> 9)) >>> 0;
    this.#b = (this.#c + (this.#c << 3)) >>> 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + drawn) >>> 0;
    return drawn;
  }

  /** Uniform in [0, 1), with all 53 bits that a double holds. Takes two draws. */
  nextFraction(): number {
    const high = this.nextUint32() >>> 5;
    const low = this.nextUint32() >>> 6;
    return (high * 67108864 + low) / 9007199254740992;
  }

  /** Uniform in 0 … n − 1, for n in 1 … 2^32. Draws again rather than favour the small numbers. */
  below(n: number): number {
    assert(Number.isInteger(n) && n >= 1 && n <= UINT32_RANGE, "a bound is a whole number in 1 … 2^32");
    const fair = UINT32_RANGE - (UINT32_RANGE % n);
    let drawn = this.nextUint32();
    while (drawn >= fair) drawn = this.nextUint32();
    return drawn % n;
  }
}

/** FNV-1a 32 over the UTF-16 units, from a start of its own, then the finaliser of MurmurHash3. */
function mix(text: string, start: number): number {
  let hash = start;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
