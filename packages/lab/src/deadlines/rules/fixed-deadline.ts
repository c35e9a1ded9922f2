import type { Rule } from "./rule.ts";

/** The same time for everybody, and for each further attempt. */
export class FixedDeadline implements Rule {
  readonly #ns: number;

  constructor(ns: number) {
    this.#ns = ns;
  }

  deadlineNs(): number {
    return this.#ns;
  }

  timedOut(): void {}

  answered(): void {}
}
