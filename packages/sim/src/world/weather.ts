import { NS_PER_MS, NS_PER_S } from "@holdfast/core";
import type { Dice } from "../choice/dice.ts";
import type { Condition, Plan } from "../plan/plan.ts";

/** How long outside work takes, and what becomes of its answer. */
export interface WorkCourse {
  readonly doneAfterNs: number;
  readonly answerAfterNs: number;
  /** A second answer follows. */
  readonly repeats: boolean;
  /** It is done twice. */
  readonly twice: boolean;
  /** Done, and whoever asked never hears. */
  readonly lost: boolean;
  /** The answer comes so long after the deadline; undefined: when it comes. */
  readonly lateNs: number | undefined;
}

/** What a moment is like for whoever asks: how slow, how dangerous. Chaos first, then calm for good. */
export class Weather {
  readonly #plan: Plan;
  /** Seams passed so far. */
  seams = 0;
  #calm = false;
  /** Of the machine that crashed at the planned seam, and how many seams it has passed since. */
  #crashed: Dice | undefined;
  #sinceCrash = 0;

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
    const { crashAtSeam, crashAgainAfter } = this.#plan;
    if (crashAtSeam !== null) {
      if (seam === crashAtSeam) this.#crashed = dice;
      return seam === crashAtSeam || (dice === this.#crashed && ++this.#sinceCrash === crashAgainAfter);
    }
    return this.#has("seam-crashes") && dice.chance("crash", this.#plan.seamCrashes);
  }

  get diskFactor(): number {
    return this.#has("slow-disk") ? 100 : 1;
  }

  /** Probability of an fsync that takes seconds. */
  get syncHangs(): number {
    return this.#has("slow-disk") ? 0.003 : 0;
  }

  get syncFailures(): number {
    return this.#has("failing-fsync") ? 0.01 : 0;
  }

  /** `mayFail`: whoever asks has a deadline, and can do without an answer. */
  work(dice: Dice, mayFail: boolean): WorkCourse {
    const slow = this.#has("slow-work") && dice.chance("slow work", 0.3) ? 1000 : 1;
    return {
      doneAfterNs: dice.exponential("work", 2 * NS_PER_MS * slow), answerAfterNs: dice.exponential("answer", NS_PER_MS * slow),
      repeats: this.#has("repeated-answers") && dice.chance("repeated answer", 0.3),
      twice: this.#has("work-done-twice") && dice.chance("done twice", 0.3),
      lost: mayFail && this.#has("lost-answers") && dice.chance("answer lost", 0.3),
      lateNs: mayFail && this.#has("late-answers") && dice.chance("late answer", 0.3) ? dice.exponential("late by", 100 * NS_PER_MS) : undefined,
    };
  }

  restartNs(dice: Dice): number {
    return dice.exponential("restart", this.#calm ? 10 * NS_PER_MS : dice.chance("late restart", 0.2) ? 3 * NS_PER_S : 100 * NS_PER_MS);
  }

  #has(condition: Condition): boolean {
    return !this.#calm && this.#plan.conditions.includes(condition);
  }
}
