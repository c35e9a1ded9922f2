import type { Random } from "@holdfast/core";

/** Draws standard normal numbers: Box and Muller (1958). */
export class Normals {
  readonly #random: Random;
  /** They come in pairs: the second of the last pair, NaN once it is used. */
  #spare = NaN;

  constructor(random: Random) {
    this.#random = random;
  }

  next(): number {
    if (!Number.isNaN(this.#spare)) {
      const normal = this.#spare;
      this.#spare = NaN;
      return normal;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.#random.nextFraction())); // 1 − u is never 0
    const angle = 2 * Math.PI * this.#random.nextFraction();
    this.#spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
}
