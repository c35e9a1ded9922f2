import { Random } from "@holdfast/core";
import type { Choices } from "./choice-log.ts";

/**
 * Chance for one part of the world. Each part has dice of its own, so that what one part draws does not change what the
 * others draw; each choice says what it is about, so that it can be kept and made again (see ChoiceLog). Zero is the
 * tamest choice everywhere. No transcendental functions: the same seed gives the same world on every machine.
 */
export class Dice {
  readonly #part: string;
  readonly #random: Random;
  readonly #choices: Choices;
  /** How often each place has chosen. Counted only where choices are kept or given. */
  readonly #turns: Map<string, number> | undefined;

  constructor(choices: Choices, part: string) {
    this.#part = part;
    this.#random = Random.fromSeed(`${choices.seed}/${part}`);
    this.#choices = choices;
    this.#turns = choices.kept === undefined && choices.given === undefined ? undefined : new Map();
  }

  /** Uniform in 0 … n − 1. */
  below(what: string, n: number): number {
    return this.#keep(what, this.#given(what, n - 1) ?? this.#random.below(n));
  }

  /** A whole number in `from` … `to`, both included. */
  between(what: string, from: number, to: number): number {
    return from + this.#keep(what, this.#given(what, to - from) ?? Math.floor(this.#random.nextFraction() * (to - from + 1)));
  }

  chance(what: string, probability: number): boolean {
    if (!(probability > 0)) return false;
    return this.#keep(what, this.#given(what, 1) ?? (this.#random.nextFraction() < probability ? 1 : 0)) === 1;
  }

  pick<Item>(what: string, items: readonly Item[]): Item {
    return items[this.below(what, items.length)] as Item;
  }

  /** A whole number, exponentially distributed. Source: von Neumann 1951, comparisons of uniform numbers only. */
  exponential(what: string, mean: number): number {
    return this.#keep(what, this.#given(what, Infinity) ?? this.#drawExponential(mean));
  }

  #drawExponential(mean: number): number {
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

  #given(what: string, most: number): number | undefined {
    return this.#choices.given === undefined ? undefined : Math.min(this.#choices.given.get(`${this.#part}/${what}`, this.#turn(what)), most);
  }

  /** The last step of each choice, whoever made it. */
  #keep(what: string, value: number): number {
    if (this.#turns === undefined) return value;
    const turn = this.#turn(what);
    this.#choices.kept?.set(`${this.#part}/${what}`, turn, value);
    this.#turns.set(what, turn + 1);
    return value;
  }

  #turn(what: string): number {
    return this.#turns?.get(what) ?? 0;
  }
}
