import { Random } from "@holdfast/core";

/**
 * Chance for one part of the world. Each part has dice of its own, so that what one part draws does not change what the
 * others draw. No transcendental functions: the same seed gives the same world on every machine.
 */
export class Dice {
  readonly #random: Random;

  constructor(seed: string) {
    this.#random = Random.fromSeed(seed);
  }

  /** Uniform in 0 … n − 1. */
  below(n: number): number {
    return this.#random.below(n);
  }

  /** A whole number in `from` … `to`, both included. */
  between(from: number, to: number): number {
    return from + Math.floor(this.#random.nextFraction() * (to - from + 1));
  }

  chance(probability: number): boolean {
    return probability > 0 && this.#random.nextFraction() < probability;
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)] as Item;
  }

  /** A whole number, exponentially distributed. Source: von Neumann 1951, comparisons of uniform numbers only. */
  exponential(mean: number): number {
    for (let whole = 0; ; whole++) {
      const first = this.#random.nextFraction();
      let last = first;
      let run = 1;
      for (let next = this.#random.nextFraction(); next < last; next = this.#random.nextFraction()) {
        last = next;
        run++;
      }
      if (run % 2 === 1) return Math.floor((whole + first) * mean);
    }
  }

  nextUint32(): number {
    return this.#random.nextUint32();
  }
}
