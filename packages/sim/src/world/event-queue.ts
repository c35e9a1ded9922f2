import { Heap, Random } from "@holdfast/core";

interface Scheduled {
  readonly at: number;
  /** Drawn: what happens at one instant happens in an order that the seed decides. */
  readonly tie: number;
  /** Decides between equal draws. */
  readonly serial: number;
  readonly run: () => void;
}

/**
 * All that will happen, and the only clock: virtual ns since the world began. Nothing takes time but waiting.
 *
 * Invariant:
 *   Q1. Time never goes back: nothing is scheduled before now.
 */
export class EventQueue {
  readonly #heap = new Heap<Scheduled>((a, b) => a.at - b.at || a.tie - b.tie || a.serial - b.serial);
  readonly #ties: Random;
  #now = 0;
  #serial = 0;
  #count = 0;

  constructor(seed: string) {
    this.#ties = Random.fromSeed(`${seed}/ties`);
  }

  get now(): number {
    return this.#now;
  }

  /** Events that have happened. */
  get count(): number {
    return this.#count;
  }

  /** `run` happens `delayNs` from now (Q1). */
  after(delayNs: number, run: () => void): void {
    this.#heap.push({ at: this.#now + Math.max(0, delayNs), tie: this.#ties.nextUint32(), serial: this.#serial++, run });
  }

  /** Lets everything happen up to that time, then stands there. */
  runUntil(time: number): void {
    for (let next = this.#heap.peek(); next !== undefined && next.at <= time; next = this.#heap.peek()) {
      this.#heap.pop();
      this.#now = next.at;
      this.#count++;
      next.run();
    }
    this.#now = Math.max(this.#now, time);
  }
}
