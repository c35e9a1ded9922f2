import { type DetectorOptions, PhiAccrualDetector } from "./phi-accrual-detector.ts";
import { readObject } from "../read-quantity.ts";
import { type Beat, SILENCE_CELLS, type SilenceData, SilenceDetector, type SilenceDetectorOptions, type Verdict } from "./silence-detector.ts";

/** How silences are judged. */
export type DetectorModel =
  /** φ is a multiple of the mean interval: the reference (spec/peers.md §4). */
  | Readonly<{ model: "exponential" } & Partial<DetectorOptions>>
  /** What silences are usual is learned, and goals say how unusual is too much. The product's is `learned`. */
  | Readonly<{ model: "learned" | "normal" } & Partial<SilenceDetectorOptions>>;

/** What a detector has learned, as plain data: the exponential's window, or the learned tail. */
export type DetectorData = Readonly<{ history: readonly number[] }> | SilenceData;

/** What a watch needs of a detector; all times are awake time, and `lastSeenAt` 0 is never. */
export interface SiteDetector {
  /** Arrivals learned from, and the interval that it reckons with, in ns. */
  readonly samples: number;
  readonly intervalNs: number;
  readonly suspectPhi: number;
  readonly downPhi: number;
  /** A heartbeat came. Answers the instant from which the site counts as heard. */
  recordHeartbeat(now: number, lastSeenAt: number, beat: Beat | undefined): number;
  /** Any other sign of life, or a heartbeat of which the silence before it teaches nothing. Answers likewise. */
  recordLife(now: number, lastSeenAt: number, beat: Beat | undefined): number;
  /** A verdict was announced: the site is no longer live. */
  recordDoubt(now: number): void;
  /** The sender's clock, or its way to us, is another from now on. */
  forgetOffset(): void;
  phi(now: number, lastSeenAt: number): number;
  verdict(now: number, lastSeenAt: number): Verdict;
  /** When the verdict comes if the silence goes on; undefined = never. */
  verdictAt(verdict: "suspect" | "down", lastSeenAt: number): number | undefined;
  /** When to ask the site whether it is there, if it was last asked at `askedAt` and the silence goes on; undefined = never. */
  askAt(lastSeenAt: number, askedAt: number): number | undefined;
  capture(): DetectorData;
}

/** Where a watch keeps the numbers of a site's detector: zeros at first. */
export interface DetectorCells {
  readonly cells: Float64Array;
  readonly at: number;
}

/** Numbers that a detector of this model takes; the exponential has a window of its own. */
export function detectorCells(options: DetectorModel): number {
  return options.model === "exponential" ? 0 : SILENCE_CELLS;
}

export function siteDetector(options: DetectorModel, place?: DetectorCells): SiteDetector {
  return options.model === "exponential" ? new PhiAccrualDetector(options) : new SilenceDetector(options, place?.cells, place?.at);
}

/** Throws SNAPSHOT_INVALID. What another model learned is not understood: such a detector starts anew. */
export function restoreSiteDetector(data: DetectorData, options: DetectorModel, place?: DetectorCells): SiteDetector {
  readObject("detector", data);
  if (options.model === "exponential") return PhiAccrualDetector.restore("history" in data ? data.history : [], options);
  const detector = new SilenceDetector(options, place?.cells, place?.at);
  return "history" in data ? detector : detector.set(data);
}
