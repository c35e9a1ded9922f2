export const NS_PER_MS = 1_000_000;
/** What is older is forgotten, in ms: 30 days. */
export const MEMORY_MS = 30 * 24 * 3600 * 1000;
/** Instants before the start of this process have a place as well: the clock of the peer components starts at this. */
const START_NS = MEMORY_MS * NS_PER_MS;

/** Time and chance, as arguments: a test brings its own (`@holdfast/fetch/testing`). */
export interface Clock {
  /** Monotonic time in ms, with fractions. */
  nowMs(): number;
  /** Wall time in ms since 1970. */
  wallMs(): number;
  /** Calls `wake` once after so many ms. `background`: the timer alone keeps no process alive. */
  setTimer(wake: () => void, delayMs: number, background?: boolean): unknown;
  clearTimer(timer: unknown): void;
  /** Uniform in [0, 1). */
  random(): number;
}

/** The machine's own. Monotonic time stands still while it is suspended: a suspension is our own pause. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimer(wake, delayMs, background = false) {
    const timer = setTimeout(wake, delayMs);
    // Browsers number their timers.
    if (background && typeof timer === "object") timer.unref();
    return timer;
  },
  clearTimer: (timer) => clearTimeout(timer as NodeJS.Timeout),
  random: () => Math.random(),
};

/** Whole ns, as the peer components count them. */
export function nowNs(clock: Clock): number {
  return START_NS + Math.floor(clock.nowMs() * NS_PER_MS);
}

export function toNs(ms: number): number {
  return Math.ceil(ms * NS_PER_MS);
}

export function toMs(ns: number): number {
  return ns / NS_PER_MS;
}
