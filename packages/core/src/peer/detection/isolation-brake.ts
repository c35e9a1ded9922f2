import { elapsedNs } from "../../base/time.ts";

/** Buckets of the count of who was heard when: four seconds at a heartbeat a second. */
const BUCKETS = 32;
/** Buckets to an interval. */
const PER_INTERVAL = 8;

export interface BrakeOptions {
  /** Least number of sites by which isolation is told from a site's death. Default 3. */
  readonly sitesMin: number;
  /** We are cut off if of the sites that should have been heard less than this share was. Default 0.5. */
  readonly share: number;
  /** Convictions wait at most this long, in ns. 0 = never. Default 60 s. */
  readonly holdNs: number;
}

export const BRAKE_DEFAULTS: BrakeOptions = { sitesMin: 3, share: 0.5, holdNs: 60e9 };

/**
 * IsolationBrake asks, before a site is convicted, whether anybody else was heard since it should have been. If most
 * were not, it is we who are cut off: convictions wait, for a bounded time, and what was missed meanwhile is no sample.
 *
 *     off ──a conviction, and hardly anybody heard──▶ on ──enough are heard, or `holdNs` is over──▶ off
 *
 * It counts by when each site was last heard, in buckets of an eighth of an interval: O(1) an arrival, O(1) a question.
 *
 * Invariants:
 *   I1. A conviction waits at most `holdNs`, and an interval and a half after the brake was released.
 *   I2. Fewer sites than `sitesMin`: no brake.
 */
export class IsolationBrake {
  readonly #options: BrakeOptions;
  readonly #intervalNs: number;
  readonly #counts = new Uint32Array(BUCKETS);
  /** The newest bucket. */
  #newest = 0;
  #engagedAt: number | undefined;
  #releasedAt = 0;
  /** Held for as long as allowed: no brake until somebody is heard. */
  #spent = false;

  constructor(options: BrakeOptions, intervalNs: number) {
    this.#options = options;
    this.#intervalNs = intervalNs;
  }

  get isEngaged(): boolean {
    return this.#engagedAt !== undefined;
  }

  /** Since when nothing was withheld from us by our own isolation; silences that began before are no samples. */
  get clearSince(): number {
    return this.#engagedAt === undefined ? this.#releasedAt : Infinity;
  }

  /** A site was heard which was last heard at `before` (0 = never). `live`: sites that count as live. */
  heard(before: number, now: number, live: number): void {
    const at = this.#bucket(now);
    this.#advance(at);
    const from = this.#bucket(before);
    if (before > 0 && from > this.#newest - BUCKETS && (this.#counts[from % BUCKETS] as number) > 0) this.#counts[from % BUCKETS]!--;
    this.#counts[at % BUCKETS]!++;
    if (this.#engagedAt === undefined && !this.#spent) return;
    if (this.#heardSince(now - this.#intervalNs) < this.#options.share * live) return;
    this.#engagedAt = undefined;
    this.#spent = false;
    this.#releasedAt = now;
  }

  /**
   * May a site be convicted now that was due at `dueAt`? `live`: sites that count as live, this one among them. If not,
   * answers the instant at which to ask again.
   */
  holdsUntil(dueAt: number, now: number, live: number): number | undefined {
    const { sitesMin, share, holdNs } = this.#options;
    if (this.#spent) return undefined;
    const settledAt = this.#releasedAt + 1.5 * this.#intervalNs;
    if (this.#releasedAt > 0 && now < settledAt) return Math.ceil(settledAt);
    if (this.#engagedAt === undefined) {
      if (live < sitesMin || holdNs === 0) return undefined; // I2
      this.#advance(this.#bucket(now));
      const wait = Math.min(elapsedNs(now, dueAt), this.#intervalNs * 2);
      const expected = Math.min(1, wait / this.#intervalNs) * (live - 1);
      if (this.#heardSince(now - wait) >= share * expected) return undefined;
      this.#engagedAt = now;
    }
    const until = this.#engagedAt + holdNs;
    if (now < until) return Math.min(now + Math.ceil(this.#intervalNs / 2), until);
    this.#engagedAt = undefined; // I1
    this.#spent = true;
    return undefined;
  }

  #bucket(at: number): number {
    return Math.floor((at * PER_INTERVAL) / this.#intervalNs);
  }

  /** How many sites were last heard after this. */
  #heardSince(since: number): number {
    let sum = 0;
    for (let at = Math.max(this.#bucket(since) + 1, this.#newest - BUCKETS + 1, 0); at <= this.#newest; at++) sum += this.#counts[at % BUCKETS] as number;
    return sum;
  }

  #advance(to: number): void {
    if (to - this.#newest >= BUCKETS) this.#counts.fill(0);
    else for (let at = this.#newest + 1; at <= to; at++) this.#counts[at % BUCKETS] = 0;
    this.#newest = Math.max(this.#newest, to);
  }
}
