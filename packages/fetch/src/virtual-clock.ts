import type { Clock } from "./clock.ts";

export interface VirtualClockOptions {
  /** Equal seeds draw equal numbers. Default 1. */
  readonly seed?: number;
  /** Wall time at the start, in ms since 1970. Default 2026-01-01. */
  readonly wallMs?: number;
}

interface VirtualTimer {
  readonly dueMs: number;
  readonly wake: () => void;
}

const WALL_MS = Date.UTC(2026, 0, 1);

/**
 * A clock that stands still until a test moves it, with timers and a seeded generator: ten minutes of an outage pass
 * in milliseconds, and the same way each time.
 */
export class VirtualClock implements Clock {
  readonly #timers = new Set<VirtualTimer>();
  #nowMs = 0;
  #wallOffsetMs: number;
  #state: number;

  constructor({ seed = 1, wallMs = WALL_MS }: VirtualClockOptions = {}) {
    this.#state = seed >>> 0;
    this.#wallOffsetMs = wallMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#wallOffsetMs + this.#nowMs;
  }

  setTimer(wake: () => void, delayMs: number): unknown {
    const timer: VirtualTimer = { dueMs: wholeUs(this.#nowMs + Math.max(0, delayMs)), wake };
    this.#timers.add(timer);
    return timer;
  }

  clearTimer(timer: unknown): void {
    this.#timers.delete(timer as VirtualTimer);
  }

  /** Source: Mulberry32 of T. Ettinger, public domain: 32 bits of state, good enough to spread calls. */
  random(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  }

  /** Timers that run. */
  get timers(): number {
    return this.#timers.size;
  }

  /** A promise that is kept after so many ms of this clock: work that takes its time. Ends at once with the signal. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = this.setTimer(resolve, delayMs);
      signal?.addEventListener("abort", () => {
        this.clearTimer(timer);
        reject(signal.reason);
      }, { once: true });
    });
  }

  /** Lets so much time pass: every timer that is due runs at its time, and what it causes runs before the next. */
  async advance(ms: number): Promise<void> {
    const untilMs = wholeUs(this.#nowMs + ms);
    await settled();
    for (let next = this.#next(untilMs); next !== undefined; next = this.#next(untilMs)) {
      this.#timers.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.wake();
      await settled();
    }
    this.#nowMs = untilMs;
  }

  /** Moves the wall clock alone, as an administrator or a bad battery does. */
  moveWall(byMs: number): void {
    this.#wallOffsetMs += byMs;
  }

  /** The earliest; of equals the one that was set first. */
  #next(untilMs: number): VirtualTimer | undefined {
    let next: VirtualTimer | undefined;
    for (const timer of this.#timers) if (timer.dueMs <= untilMs && timer.dueMs < (next?.dueMs ?? Infinity)) next = timer;
    return next;
  }
}

/** Ms in whole µs: what is due together by any reckoning is due together. */
function wholeUs(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

/** A turn of the real event loop: all promises that can be kept are, however long their chains. */
function settled(): Promise<void> {
  // Browsers have it not, and keep their timers waiting for 4 ms.
  if (typeof setImmediate === "function") return new Promise((resolve) => setImmediate(resolve));
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.addEventListener("message", () => {
      port1.close();
      resolve();
    });
    port1.start();
    port2.postMessage(undefined);
  });
}
