import { RuntimeError } from "@holdfast/core/peer";

const US_PER_S = 1_000_000;
const US_PER_MS = 1000;

export interface HelloLimiterOptions {
  /** Hellos per second of one process, once its burst is used up. Default 256. */
  readonly hellosPerSecond: number;
  /** Hellos that one process may send at once. Default 256. */
  readonly burst: number;
  /** Processes that are remembered, at least 2. Default 16384. */
  readonly maxEntries: number;
}

const DEFAULTS: HelloLimiterOptions = { hellosPerSecond: 256, burst: 256, maxEntries: 16_384 };
/** Keeps products of an option and a number of µs whole. */
const OPTION_MAX = 1_000_000;

/** `retryAfterMs` is when this process gets its next token, at least 1. */
export type Admission = Readonly<{ admitted: true } | { admitted: false; retryAfterMs: number }>;

/** A bucket's tokens, in millionths, so that a refill is a whole number: a token a second is a millionth a µs. */
interface Bucket {
  levelMillionths: number;
  atUs: number;
}

const ADMITTED: Admission = Object.freeze({ admitted: true });

/**
 * HelloLimiter keeps one process from occupying the broker: a token bucket for each peer process. One limiter lives as
 * long as the server: one that is made for a connection or a request never limits anything.
 *
 * A bucket that nobody asks for is full again after `burst / hellosPerSecond` seconds, and a full one need not be kept.
 * So buckets live in two generations: asking for one moves it to the current generation, and when that is old enough for
 * everything in the previous one to be full, the previous one is dropped as a whole and the current one takes its place.
 * No bucket is ever searched for or swept.
 *
 * Invariants:
 *   L1. Within t seconds at most `burst + hellosPerSecond · t` Hellos of a remembered process are admitted.
 *   L2. At most `maxEntries` buckets are kept. When the current generation has half of them, the previous one goes: each
 *       of its processes was last heard before all that stay, and starts with a full bucket if it is heard again.
 *   L3. Time is the latest that was seen. A clock that steps back refills nothing, neither then nor when it catches up.
 */
export class HelloLimiter {
  readonly options: HelloLimiterOptions;
  readonly #levelMax: number;
  readonly #fillUs: number;
  #current = new Map<number, Bucket>();
  #previous = new Map<number, Bucket>();
  #currentSinceUs = 0;
  #nowUs = 0;

  constructor(given: Partial<HelloLimiterOptions> = {}) {
    this.options = { ...DEFAULTS, ...given };
    for (const [option, value] of Object.entries(this.options)) {
      const min = option === "maxEntries" ? 2 : 1;
      if (!Number.isInteger(value) || value < min || value > OPTION_MAX) throw new RuntimeError("OPTION_INVALID", { option, value });
    }
    const { burst, hellosPerSecond } = this.options;
    this.#levelMax = burst * US_PER_S;
    this.#fillUs = Math.ceil(this.#levelMax / hellosPerSecond);
  }

  /** Buckets that are kept. */
  get size(): number {
    return this.#current.size + this.#previous.size;
  }

  /** Takes a token of the process if it has one. */
  admit(pid: number, nowUs: number): Admission {
    this.#nowUs = Math.max(this.#nowUs, nowUs); // L3
    this.#expireGeneration();
    const bucket = this.#refilled(pid);
    if (bucket.levelMillionths >= US_PER_S) {
      bucket.levelMillionths -= US_PER_S;
      return ADMITTED;
    }
    const waitUs = (US_PER_S - bucket.levelMillionths) / this.options.hellosPerSecond;
    return { admitted: false, retryAfterMs: Math.ceil(waitUs / US_PER_MS) };
  }

  #refilled(pid: number): Bucket {
    let bucket = this.#current.get(pid);
    if (bucket === undefined) {
      bucket = this.#previous.get(pid) ?? { levelMillionths: this.#levelMax, atUs: this.#nowUs };
      this.#previous.delete(pid);
      if (this.#current.size >= Math.floor(this.options.maxEntries / 2)) this.#startGeneration(this.#current); // L2
      this.#current.set(pid, bucket);
    }
    const elapsedUs = Math.min(this.#nowUs - bucket.atUs, this.#fillUs);
    bucket.levelMillionths = Math.min(bucket.levelMillionths + elapsedUs * this.options.hellosPerSecond, this.#levelMax); // L1
    bucket.atUs = this.#nowUs;
    return bucket;
  }

  /** What was last asked for before the current generation began is full once that is as old as a bucket takes to fill. */
  #expireGeneration(): void {
    const ageUs = this.#nowUs - this.#currentSinceUs;
    if (ageUs < this.#fillUs) return;
    this.#startGeneration(ageUs < 2 * this.#fillUs ? this.#current : new Map());
  }

  #startGeneration(previous: Map<number, Bucket>): void {
    this.#previous = previous;
    this.#current = new Map();
    this.#currentSinceUs = this.#nowUs;
  }
}
