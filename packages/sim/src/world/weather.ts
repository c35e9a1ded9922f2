import { NS_PER_MS, NS_PER_S } from "@holdfast/core";
import type { Dice } from "../choice/dice.ts";
import type { Condition, Plan } from "../plan/plan.ts";

/** How long outside work takes, and what becomes of its answer. */
export interface WorkCourse {
  readonly doneAfterNs: number;
  readonly answerAfterNs: number;
  readonly repeats: boolean;
}

/** What a moment is like for whoever asks: how slow, how dangerous. Chaos first, then calm for good. */
export class Weather {
  readonly #plan: Plan;
  /** Seams passed so far. */
  seams = 0;
  #calm = false;

  constructor(plan: Plan) {
    this.#plan = plan;
  }

  get isCalm(): boolean {
    return this.#calm;
  }

  calm(): void {
    this.#calm = true;
  }

  /** Asked at every seam. */
  crashesAt(dice: Dice): boolean {
    const seam = ++this.seams;
    if (this.#plan.crashAtSeam !== null) return seam === this.#plan.crashAtSeam;
    return this.#has("seam-crashes") && dice.chance("crash", this.#plan.seamCrashes);
  }

  get diskFactor(): number {
    return this.#has("slow-disk") ? 100 : 1;
  }

  get syncFailures(): number {
    return this.#has("failing-fsync") ? 0.01 : 0;
  }

  work(dice: Dice): WorkCourse {
    const slow = this.#has("slow-work") && dice.chance("slow work", 0.3) ? 1000 : 1;
    return {
      doneAfterNs: dice.exponential("work", 2 * NS_PER_MS * slow), answerAfterNs: dice.exponential("answer", NS_PER_MS * slow),
      repeats: this.#has("repeated-answers") && dice.chance("repeated answer", 0.3),
    };
  }

  restartNs(dice: Dice): number {
    return dice.exponential("restart", this.#calm ? 10 * NS_PER_MS : dice.chance("late restart", 0.2) ? 3 * NS_PER_S : 100 * NS_PER_MS);
  }

  #has(condition: Condition): boolean {
    return !this.#calm && this.#plan.conditions.includes(condition);
  }
}
