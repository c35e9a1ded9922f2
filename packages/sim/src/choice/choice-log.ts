import { require } from "../violation.ts";

/** What was chosen, by place and turn: `"n3/crash at committed" → 17 → 1`. Zeroes are left out. */
export type StoredChoices = Readonly<Record<string, Readonly<Record<string, number>>>>;

/**
 * The free choices of one run, by the place where each was made and how often that place had chosen before. Zero always means
 * the tamest choice (no fault, the shortest delay, the first of a list) and is not kept: leaving a choice out tames it, and
 * the rest keeps its meaning. So a log can be made smaller choice by choice, and survives changes of the code elsewhere.
 *
 * Source: the reduction of recorded draws in Hypothesis (MacIver and Donaldson 2020, "Test-case reduction via test-case generation").
 */
export class ChoiceLog {
  readonly #places = new Map<string, Map<number, number>>();

  static from(stored: StoredChoices): ChoiceLog {
    const log = new ChoiceLog();
    for (const [place, turns] of Object.entries(stored)) {
      for (const [turn, value] of Object.entries(turns)) {
        require(Number.isSafeInteger(Number(turn)) && Number.isSafeInteger(value), "bug", () => `a choice at ${place} is no whole number`);
        log.set(place, Number(turn), value);
      }
    }
    return log;
  }

  set(place: string, turn: number, value: number): void {
    if (value === 0) return;
    const turns = this.#places.get(place) ?? new Map<number, number>();
    this.#places.set(place, turns);
    turns.set(turn, value);
  }

  get(place: string, turn: number): number {
    return this.#places.get(place)?.get(turn) ?? 0;
  }

  get places(): readonly string[] {
    return [...this.#places.keys()];
  }

  /** Every choice that is not zero. */
  *entries(): Generator<readonly [place: string, turn: number, value: number]> {
    for (const [place, turns] of this.#places) for (const [turn, value] of turns) yield [place, turn, value];
  }

  get size(): number {
    let size = 0;
    for (const turns of this.#places.values()) size += turns.size;
    return size;
  }

  toJSON(): StoredChoices {
    return Object.fromEntries([...this.#places].map(([place, turns]) => [place, Object.fromEntries(turns)]));
  }
}

/** How the dice of a run come to their numbers: drawn from the seed (and kept, if there is a log), or chosen once before. */
export interface Choices {
  readonly seed: string;
  readonly kept?: ChoiceLog | undefined;
  readonly given?: ChoiceLog | undefined;
}
