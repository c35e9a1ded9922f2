import { assert } from "../../base/assert.ts";
import { RuntimeError } from "../../base/errors.ts";
import { log10 } from "../../base/logarithm.ts";
import { NS_PER_MS, NS_PER_S, addNs, elapsedNs } from "../../base/time.ts";
import { decay } from "../decay.ts";
import { LEARNED_CELLS, LearnedTail, type TailData } from "./learned-tail.ts";
import { NORMAL_TAIL, type NormalData, NormalTail, type NormalTailOptions } from "./normal-tail.ts";
import { isQuantity } from "../quantity.ts";
import { readQuantity, wholeOption } from "../read-quantity.ts";
import type { SiteDetector } from "./site-detector.ts";

/** What somebody wants of a verdict. The bound on time goes before the bound on mistakes. */
export interface DetectionGoal {
  /** A silence of this length is enough, in ns, whatever was learned; at least two intervals. */
  readonly withinNs: number;
  /** At most one mistake in this time, in ns, as far as the bound on time leaves room for it. */
  readonly mistakeEveryNs: number;
}

export interface SilenceDetectorOptions {
  /** How delays are thought to be distributed: as was learned, or normally. Default `learned`. */
  readonly model: "learned" | "normal";
  /** Of the normal model. */
  readonly normal: NormalTailOptions;
  /** The interval at which the site sends when it has nothing else to send, in ns, until it says so itself. Default 1 s. */
  readonly intervalNs: number;
  /** `suspect` is announced and no more. Default: within 5.5 s, one mistake a day. */
  readonly suspect: DetectionGoal;
  /** `down` ends the link and sends work elsewhere. Default: within 30 s, one mistake in thirty days. */
  readonly down: DetectionGoal;
  /** Arrivals until an old one counts for 1/e. Default 16384: 4.5 hours at one a second. */
  readonly memory: number;
}

const DAY_NS = 86_400 * NS_PER_S;

export const SILENCE_DEFAULTS: SilenceDetectorOptions = {
  model: "learned",
  normal: NORMAL_TAIL,
  intervalNs: NS_PER_S,
  suspect: { withinNs: 5.5 * NS_PER_S, mistakeEveryNs: DAY_NS },
  down: { withinNs: 30 * NS_PER_S, mistakeEveryNs: 30 * DAY_NS },
  memory: 16384,
};

/** φ of a silence worth asking about: one arrival in ten is this late. */
const ASK_PHI = 1;
/** Questions go out this many times an interval; the first no sooner than an eighth of it after the beat was due. */
const ASKS_PER_INTERVAL = 4;
/** How far two clocks may drift apart, both ways together: 1 ms a second. */
const DRIFT_SHARE = 0.001;
/** So many beats that are equally late are on time: the path is longer now, or the sender's clock stood still. */
const STEADY_BEATS = 3;
/** After this long a change of verdict counts for 1/e. */
const FLAP_NS = 90 * NS_PER_S;
/** Signs of life that a site needs at most which was suspected over and over. */
const PROOFS_MAX = 4;

/** Whatever a site says, it is expected at least this often, and not more often than that. */
const INTERVAL_NS_MIN = 10 * NS_PER_MS;
const INTERVAL_NS_MAX = 60 * NS_PER_S;

/** A detector's numbers, the tail's after them. */
const INTERVAL_NS = 0;
/** φ at which the verdicts and the question come, and the silences, in ns: these change with a sample, those with the interval. */
const SUSPECT_PHI = 1;
const DOWN_PHI = 2;
const ASKED_PHI = 3;
const SUSPECT_AFTER_NS = 4;
const DOWN_AFTER_NS = 5;
const ASK_AFTER_NS = 6;
/** Least difference between our clock at an arrival and the sender's at sending; NaN = no beat yet. */
const OFFSET = 7;
const OFFSET_AT = 8;
/** How many beats there were, and the offsets of the newest, to see whether lateness has become the rule. */
const BEATS = 9;
const RECENT = 10;
const FLAPS = RECENT + STEADY_BEATS;
const FLAPPED_AT = FLAPS + 1;
const PROOFS = FLAPS + 2;
const TAIL = FLAPS + 3;
export const SILENCE_CELLS = TAIL + LEARNED_CELLS;

/** What a heartbeat says of itself. */
export interface Beat {
  /** On its sender's own clock, in ns. */
  readonly sentAt: number;
  /** Its sender's interval, in ns; 0 = it does not say. Taken within 10 ms and 60 s. */
  readonly intervalNs: number;
}

export type Verdict = "live" | "suspect" | "down";

/** What a detector has learned, as plain data. Offsets of clocks are not kept: they end with the connection. */
export type SilenceData = (TailData | NormalData) & { readonly intervalNs: number };

/**
 * SilenceDetector judges one site's silence. A site sends at least once an interval, so something is due an interval
 * after it was last heard; how much later it may come is learned (`LearnedTail`, or `NormalTail`), and the goals say how improbable a
 * delay must be before the site is suspect, and down.
 *
 * Times are awake time: the engine's clock minus the pauses it recognised as its own. It does not remember when the
 * site was last heard: the caller passes it, and takes the new instant from the answer.
 *
 * Invariants:
 *   S1. A beat counts from when it was sent, not from when it came: a queue of late beats keeps nobody up.
 *   S2. Only heartbeats are samples. A silence that ended in `down` counts as one that ended there: it is neither
 *       forgotten nor taken for an ordinary delay.
 *   S3. `down` never comes before `suspect`, and both by `withinNs` or two intervals at the latest.
 */
export class SilenceDetector implements SiteDetector {
  readonly #options: SilenceDetectorOptions;
  readonly #tail: LearnedTail | NormalTail;
  readonly #cells: Float64Array;
  readonly #at: number;

  /** Over numbers of its own, or over `SILENCE_CELLS` zeros of somebody's. */
  constructor(given: Partial<SilenceDetectorOptions> = {}, cells: Float64Array = new Float64Array(SILENCE_CELLS), at = 0) {
    this.#options = silenceDetectorOptions(given);
    this.#cells = cells;
    this.#at = at;
    const { model, normal, intervalNs, memory } = this.#options;
    cells[at + OFFSET] = NaN;
    cells[at + ASKED_PHI] = ASK_PHI;
    this.#tail = model === "normal" ? new NormalTail(memory, normal) : new LearnedTail(memory, intervalNs / 2, cells, at + TAIL);
    this.#setInterval(intervalNs);
  }

  /** The weight of what was learned, in arrivals. */
  get samples(): number {
    return this.#tail.samples;
  }

  get intervalNs(): number {
    return this.#cells[this.#at + INTERVAL_NS] as number;
  }

  /** φ at which the site is suspect and down, as the goals give it: one trial an interval. */
  get suspectPhi(): number {
    return this.#cells[this.#at + SUSPECT_PHI] as number;
  }

  get downPhi(): number {
    return this.#cells[this.#at + DOWN_PHI] as number;
  }

  verdictAt(verdict: Exclude<Verdict, "live">, lastSeenAt: number): number | undefined {
    if (lastSeenAt === 0) return undefined;
    return addNs(lastSeenAt, this.#cells[this.#at + (verdict === "down" ? DOWN_AFTER_NS : SUSPECT_AFTER_NS)] as number);
  }

  /** From when one arrival in ten is late. */
  askAt(lastSeenAt: number, askedAt: number): number | undefined {
    if (lastSeenAt === 0) return undefined;
    const firstAt = addNs(lastSeenAt, this.#cells[this.#at + ASK_AFTER_NS] as number);
    return askedAt < lastSeenAt ? firstAt : Math.max(firstAt, askedAt + Math.ceil(this.intervalNs / ASKS_PER_INTERVAL));
  }

  /**
   * A heartbeat came. Learns how far beyond its time it came, and answers the instant from which the site counts as
   * heard: now, or earlier if the beat was on its way for longer than beats are.
   */
  recordHeartbeat(now: number, lastSeenAt: number, beat: Beat | undefined): number {
    const heardAt = this.recordLife(now, lastSeenAt, beat);
    if (lastSeenAt > 0) {
      const silenceNs = Math.min(elapsedNs(now, lastSeenAt), this.#cells[this.#at + DOWN_AFTER_NS] as number); // S2
      this.#tail.record(elapsedNs(silenceNs, this.intervalNs), this.intervalNs);
      this.#reckon();
    }
    return heardAt;
  }

  recordLife(now: number, lastSeenAt: number, beat: Beat | undefined): number {
    assert(isQuantity(now), "an instant is a quantity");
    const proofs = this.#cells[this.#at + PROOFS] as number;
    if (proofs > 0) this.#cells[this.#at + PROOFS] = proofs - 1;
    if (beat === undefined) return now;
    const intervalNs = Math.min(Math.max(beat.intervalNs, INTERVAL_NS_MIN), INTERVAL_NS_MAX);
    if (beat.intervalNs > 0 && intervalNs !== this.intervalNs) this.#setInterval(intervalNs);
    return Math.max(lastSeenAt, now - this.#lateness(now, beat.sentAt)); // S1
  }

  forgetOffset(): void {
    this.#cells[this.#at + OFFSET] = NaN;
    this.#cells[this.#at + BEATS] = 0;
  }

  phi(now: number, lastSeenAt: number): number {
    if (lastSeenAt === 0) return 0;
    return this.#tail.phi(elapsedNs(elapsedNs(now, lastSeenAt), this.intervalNs), this.intervalNs);
  }

  /**
   * The verdict on the silence up to now. A site that was suspected several times of late stays suspect until it has
   * shown life as many times.
   */
  verdict(now: number, lastSeenAt: number): Verdict {
    if (lastSeenAt === 0) return "live";
    const silenceNs = elapsedNs(now, lastSeenAt);
    const cells = this.#cells;
    if (silenceNs >= (cells[this.#at + DOWN_AFTER_NS] as number)) return "down";
    return silenceNs >= (cells[this.#at + SUSPECT_AFTER_NS] as number) || (cells[this.#at + PROOFS] as number) > 0 ? "suspect" : "live";
  }

  /** The caller announced that the site is no longer live: the more often of late, the more proofs it needs. */
  recordDoubt(now: number): void {
    const cells = this.#cells;
    const flaps = (cells[this.#at + FLAPS] as number) * decay(elapsedNs(now, cells[this.#at + FLAPPED_AT] as number), FLAP_NS) + 1;
    cells[this.#at + FLAPS] = flaps;
    cells[this.#at + FLAPPED_AT] = now;
    cells[this.#at + PROOFS] = Math.min(Math.floor(flaps), PROOFS_MAX);
  }

  capture(): SilenceData {
    return { ...this.#tail.capture(), intervalNs: this.intervalNs };
  }

  /** Throws SNAPSHOT_INVALID. */
  static restore(data: SilenceData, options: Partial<SilenceDetectorOptions> = {}): SilenceDetector {
    return new SilenceDetector(options).set(data);
  }

  /** Takes over what was stored, in place of nothing; what another model learned is not understood. Throws SNAPSHOT_INVALID. */
  set(data: SilenceData): this {
    const tail = this.#tail;
    if (tail instanceof LearnedTail && "counts" in data) tail.restore(data);
    else if (tail instanceof NormalTail && "moments" in data) tail.restore(data);
    const intervalNs = readQuantity("detector", "intervalNs", data.intervalNs);
    this.#setInterval(intervalNs > 0 ? intervalNs : this.intervalNs);
    return this;
  }

  /** How much longer than others a beat was on its way. */
  #lateness(now: number, sentAt: number): number {
    const cells = this.#cells;
    const at = this.#at;
    const offset = now - sentAt;
    const before = cells[at + OFFSET] as number;
    const beats = (cells[at + BEATS] as number) + 1;
    cells[at + BEATS] = beats;
    cells[at + RECENT + ((beats - 1) % STEADY_BEATS)] = offset;
    const allowed = before + elapsedNs(now, cells[at + OFFSET_AT] as number) * DRIFT_SHARE;
    let least = Number.isNaN(before) ? offset : Math.min(offset, allowed);
    cells[at + OFFSET_AT] = now;
    if (beats >= STEADY_BEATS) {
      let low = offset;
      let high = offset;
      for (let recent = at + RECENT; recent < at + RECENT + STEADY_BEATS; recent++) {
        low = Math.min(low, cells[recent] as number);
        high = Math.max(high, cells[recent] as number);
      }
      if (high - low <= this.intervalNs / 4) least = low;
    }
    cells[at + OFFSET] = least;
    return Math.max(0, Math.floor(offset - least));
  }

  #setInterval(intervalNs: number): void {
    this.#cells[this.#at + INTERVAL_NS] = intervalNs;
    this.#cells[this.#at + SUSPECT_PHI] = phiOf(this.#options.suspect, intervalNs);
    this.#cells[this.#at + DOWN_PHI] = phiOf(this.#options.down, intervalNs);
    this.#reckon();
  }

  #reckon(): void {
    const cells = this.#cells;
    const at = this.#at;
    const intervalNs = cells[at + INTERVAL_NS] as number;
    this.#tail.excessesAt(cells, at + SUSPECT_PHI, at + SUSPECT_AFTER_NS, 3, intervalNs);
    const { suspect, down } = this.#options;
    const suspectNs = Math.min(addNs(intervalNs, cells[at + SUSPECT_AFTER_NS] as number), Math.max(suspect.withinNs, 2 * intervalNs));
    const downNs = Math.min(addNs(intervalNs, cells[at + DOWN_AFTER_NS] as number), Math.max(down.withinNs, 2 * intervalNs));
    cells[at + SUSPECT_AFTER_NS] = suspectNs;
    cells[at + DOWN_AFTER_NS] = Math.max(downNs, suspectNs); // S3
    cells[at + ASK_AFTER_NS] = addNs(intervalNs, Math.max(cells[at + ASK_AFTER_NS] as number, Math.ceil(intervalNs / 8)));
  }
}

function phiOf({ mistakeEveryNs }: DetectionGoal, intervalNs: number): number {
  return Math.max(1, log10(mistakeEveryNs / intervalNs));
}

/** Options that were checked: the detectors of one watch share them. */
const checked = new WeakMap<Partial<SilenceDetectorOptions>, SilenceDetectorOptions>();

function silenceDetectorOptions(given: Partial<SilenceDetectorOptions>): SilenceDetectorOptions {
  let options = checked.get(given);
  if (options === undefined) checked.set(given, (options = checkedOptions(given)));
  return options;
}

function checkedOptions(given: Partial<SilenceDetectorOptions>): SilenceDetectorOptions {
  const options = { ...SILENCE_DEFAULTS, ...given };
  const goal = (option: "suspect" | "down") => ({
    withinNs: wholeOption(`${option}.withinNs`, options[option].withinNs, 1),
    mistakeEveryNs: wholeOption(`${option}.mistakeEveryNs`, options[option].mistakeEveryNs, 1),
  });
  if (options.memory < 1 || !(options.memory <= 2 ** 32)) throw new RuntimeError("OPTION_INVALID", { option: "memory", value: options.memory });
  if (options.model !== "learned" && options.model !== "normal") throw new RuntimeError("OPTION_INVALID", { option: "model", value: options.model });
  return { model: options.model, normal: options.normal, intervalNs: wholeOption("intervalNs", options.intervalNs, 1), suspect: goal("suspect"), down: goal("down"), memory: options.memory };
}
