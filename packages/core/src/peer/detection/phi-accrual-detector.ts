import { assert } from "../../base/assert.ts";
import { RuntimeError } from "../../base/errors.ts";
import { Ring } from "../../base/ring.ts";
import { NS_MAX, NS_PER_S, addNs, elapsedNs } from "../../base/time.ts";
import { isQuantity } from "../quantity.ts";
import { readList, readQuantity, wholeOption } from "../read-quantity.ts";
import type { Verdict } from "./silence-detector.ts";
import type { SiteDetector } from "./site-detector.ts";

export interface DetectorOptions {
  /** Intervals kept, at least 1. Reference 1000, default 256: enough for a mean, and it follows a changed link. */
  readonly historyCapacity: number;
  /** φ above which a silent site is suspect. Default 8: 18.4 mean intervals. */
  readonly suspectPhi: number;
  /** φ above which it is down. Default 16: 36.8 mean intervals. */
  readonly downPhi: number;
  /**
   * The interval at which heartbeats are sent, in ns, 0 = unknown. The mean counts as at least this: arrivals that
   * bunch up teach no impatience, and a site seen exactly once becomes suspect too. Reference 0, default 1 s.
   */
  readonly expectedIntervalNs: number;
  /** A gap that ended in `down` enters the window as a few mean intervals, not whole. Reference: false. */
  readonly censorOutages: boolean;
}

/** The behaviour that the vectors record (spec/peers.md §4). */
export const REFERENCE_DETECTOR: DetectorOptions = {
  historyCapacity: 1000,
  suspectPhi: 8,
  downPhi: 16,
  expectedIntervalNs: 0,
  censorOutages: false,
};

/** The defaults of this model; the product runs with the learned one (silence-detector.ts). */
export const EXPONENTIAL_DETECTOR: DetectorOptions = {
  ...REFERENCE_DETECTOR,
  historyCapacity: 256,
  expectedIntervalNs: NS_PER_S,
  censorOutages: true,
};

/** The window bound, so that an option cannot ask for more memory than a machine has. */
const HISTORY_CAPACITY_MAX = 65536;

/**
 * As what an outage enters the window, in means. Decision: more than an ordinary gap, so that a lossy link is learned
 * in time; few enough that one outage of 300 s does not put the next detection off by minutes.
 */
const CENSORED_MEANS = 4;

const LN_10 = 2.302585092994046;

/** The two digits' base in which the window is summed. */
const SPLIT = 4294967296;

/**
 * PhiAccrualDetector says how suspicious a silence is: φ = silence / (mean interval · ln 10), the exponential model
 * of Hayashibara et al., "The φ Accrual Failure Detector" (SRDS 2004). φ 1 means that one silence in ten is longer.
 *
 * It does not remember when the peer was last seen: the caller passes it. All times are *awake* time: the engine's
 * clock minus the pauses it recognised as its own, so that neither a silence nor an interval contains one.
 *
 * Invariants:
 *   D1. (sumHigh · 2^32 + sumLow) is the exact sum of the window: both parts stay whole below 2^53, whatever comes
 *       and goes. A plain running sum would lose small intervals for good once a huge one has passed through.
 *   D2. φ is finite and never negative, and grows with the silence.
 */
export class PhiAccrualDetector implements SiteDetector {
  readonly options: DetectorOptions;
  readonly #window: Ring<number>;
  #sumHigh = 0;
  #sumLow = 0;

  constructor(given: Partial<DetectorOptions> = {}) {
    this.options = detectorOptions(given);
    this.#window = new Ring(this.options.historyCapacity);
  }

  /** Intervals in the window. */
  get size(): number {
    return this.#window.size;
  }

  /** The mean interval that φ reckons with, in ns; 0 = nothing to reckon with. */
  get meanNs(): number {
    if (this.size === 0) return this.options.expectedIntervalNs;
    const mean = (this.#sumHigh * SPLIT + this.#sumLow) / this.size;
    return Math.max(mean, this.options.expectedIntervalNs);
  }

  get samples(): number {
    return this.size;
  }

  get intervalNs(): number {
    return this.meanNs;
  }

  get suspectPhi(): number {
    return this.options.suspectPhi;
  }

  get downPhi(): number {
    return this.options.downPhi;
  }

  /** Learns the interval since the peer was last seen. The first sight (`lastSeenAt` 0) ends no interval. */
  recordHeartbeat(now: number, lastSeenAt: number): number {
    assert(isQuantity(now), "an instant is a quantity");
    if (lastSeenAt === 0) return now;
    const gapNs = elapsedNs(now, lastSeenAt);
    const censored = this.options.censorOutages && this.isDown(now, lastSeenAt);
    this.#learn(censored ? Math.min(gapNs, Math.floor(CENSORED_MEANS * this.meanNs)) : gapNs);
    return now;
  }

  recordLife(now: number): number {
    return now;
  }

  /** Verdicts of this model have no memory. */
  recordDoubt(): void {}

  forgetOffset(): void {}

  phi(now: number, lastSeenAt: number): number {
    const meanNs = this.meanNs;
    if (lastSeenAt === 0 || meanNs === 0) return 0;
    return elapsedNs(now, lastSeenAt) / (meanNs * LN_10); // D2
  }

  isSuspect(now: number, lastSeenAt: number): boolean {
    return this.phi(now, lastSeenAt) > this.options.suspectPhi;
  }

  isDown(now: number, lastSeenAt: number): boolean {
    return this.phi(now, lastSeenAt) > this.options.downPhi;
  }

  verdict(now: number, lastSeenAt: number): Verdict {
    if (this.isDown(now, lastSeenAt)) return "down";
    return this.isSuspect(now, lastSeenAt) ? "suspect" : "live";
  }

  verdictAt(verdict: "suspect" | "down", lastSeenAt: number): number | undefined {
    return this.crossing(verdict === "down" ? this.downPhi : this.suspectPhi, lastSeenAt);
  }

  /** This model asks nobody. */
  askAt(): undefined {
    return undefined;
  }

  /**
   * When φ passes the threshold if the silence since `lastSeenAt` goes on; undefined = never. At the answered
   * instant φ is past it; it may be there a few roundings earlier (under 1 µs while times are below 2^53).
   */
  crossing(threshold: number, lastSeenAt: number): number | undefined {
    const meanNs = this.meanNs;
    if (lastSeenAt === 0 || meanNs === 0) return undefined;
    let at = addNs(lastSeenAt, Math.ceil(threshold * meanNs * LN_10));
    for (let stepNs = 1; this.phi(at, lastSeenAt) <= threshold; stepNs *= 2) {
      if (at === NS_MAX) return undefined;
      at = addNs(at, stepNs);
    }
    return at;
  }

  /** A copy of the window, oldest first: with the options, all that this detector is. */
  history(): readonly number[] {
    return this.#window.toArray();
  }

  capture(): { readonly history: readonly number[] } {
    return { history: this.history() };
  }

  /** Keeps the newest intervals if the history is longer than the window. Throws SNAPSHOT_INVALID. */
  static restore(history: readonly number[], options: Partial<DetectorOptions> = {}): PhiAccrualDetector {
    const detector = new PhiAccrualDetector(options);
    for (const interval of readList("detector", "history", history)) {
      detector.#learn(readQuantity("detector", "history", interval));
    }
    return detector;
  }

  #learn(intervalNs: number): void {
    const evictedNs = this.#window.push(intervalNs) ?? 0;
    this.#sumHigh += Math.floor(intervalNs / SPLIT) - Math.floor(evictedNs / SPLIT); // D1
    this.#sumLow += (intervalNs % SPLIT) - (evictedNs % SPLIT);
  }
}

/** Options that were checked: the detectors of one watch share them. */
const checked = new WeakMap<Partial<DetectorOptions>, DetectorOptions>();

function detectorOptions(given: Partial<DetectorOptions>): DetectorOptions {
  let options = checked.get(given);
  if (options === undefined) checked.set(given, (options = checkedOptions(given)));
  return options;
}

function checkedOptions(given: Partial<DetectorOptions>): DetectorOptions {
  const options = { ...EXPONENTIAL_DETECTOR, ...given };
  for (const option of ["suspectPhi", "downPhi"] as const) {
    const value = options[option];
    if (!(value >= 0 && value < Infinity)) throw new RuntimeError("OPTION_INVALID", { option, value });
  }
  return {
    ...options,
    historyCapacity: wholeOption("historyCapacity", options.historyCapacity, 1, HISTORY_CAPACITY_MAX),
    expectedIntervalNs: wholeOption("expectedIntervalNs", options.expectedIntervalNs, 0),
  };
}
