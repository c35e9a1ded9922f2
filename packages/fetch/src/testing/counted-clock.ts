import { systemClock } from "../clock.ts";
import type { Clock } from "../clock.ts";

/** The machine's clock, whose timers a test may count. */
export class CountedClock implements Clock {
  readonly #timers = new Set<unknown>();

  nowMs(): number {
    return systemClock.nowMs();
  }

  wallMs(): number {
    return systemClock.wallMs();
  }

  setTimer(wake: () => void, delayMs: number, background?: boolean): unknown {
    const timer = systemClock.setTimer(() => {
      this.#timers.delete(timer);
      wake();
    }, delayMs, background);
    this.#timers.add(timer);
    return timer;
  }

  clearTimer(timer: unknown): void {
    this.#timers.delete(timer);
    systemClock.clearTimer(timer);
  }

  random(): number {
    return systemClock.random();
  }

  /** Timers that run. */
  get timers(): number {
    return this.#timers.size;
  }
}
