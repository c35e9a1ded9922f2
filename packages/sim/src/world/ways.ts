import type { Dice } from "../choice/dice.ts";
import type { Plan } from "../plan/plan.ts";

/** One delay in so many is this much longer: the heavy tail. */
const TAIL_ODDS = 0.01;
const TAIL_FACTOR = 50;

/** What lies between any two machines, each direction by itself: how long it takes, how much gets through, or nothing at all. */
export class Ways {
  readonly #dice: Dice;
  readonly #plan: Plan;
  readonly #blocked = new Set<string>();
  readonly #bytesPerS = new Map<string, number>();
  /** All delays are so many times longer. */
  slow = 1;

  constructor(dice: Dice, plan: Plan) {
    this.#dice = dice;
    this.#plan = plan;
  }

  isBlocked(from: number, to: number): boolean {
    return this.#blocked.size > 0 && this.#blocked.has(`${from}>${to}`);
  }

  block(from: number, to: number): void {
    this.#blocked.add(`${from}>${to}`);
  }

  unblock(from: number, to: number): void {
    this.#blocked.delete(`${from}>${to}`);
  }

  /** How much gets through, if that is limited. */
  bytesPerS(from: number, to: number): number | undefined {
    return this.#bytesPerS.size === 0 ? undefined : this.#bytesPerS.get(`${from}>${to}`);
  }

  clog(from: number, to: number, bytesPerS: number): void {
    this.#bytesPerS.set(`${from}>${to}`, bytesPerS);
  }

  unclog(from: number, to: number): void {
    this.#bytesPerS.delete(`${from}>${to}`);
  }

  /** From here on nothing stands in anybody's way. */
  calm(): void {
    this.slow = 1;
    this.#blocked.clear();
    this.#bytesPerS.clear();
  }

  /** Draws how long one way takes, ns. */
  delay(): number {
    const { delayMinNs, delayMeanNs } = this.#plan;
    const beyond = this.#dice.exponential("delay", delayMeanNs) * this.slow;
    return delayMinNs + (this.#dice.chance("heavy tail", TAIL_ODDS) ? beyond * TAIL_FACTOR : beyond);
  }
}
