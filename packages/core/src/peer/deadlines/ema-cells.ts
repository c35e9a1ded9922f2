import { addNs, NS_MAX } from "../../base/time.ts";
import { COUNT, RTTVAR, SRTT } from "./site-layout.ts";

/**
 * The rules of RttEma over four numbers of somebody's, from `at` on. Apart from the class, so that who needs these alone
 * loads no reading of stored states with them.
 */

/** RFC 6298 §2.3. */
export const ALPHA = 1 / 8;
export const BETA = 1 / 4;

/** Takes a sample, a quantity. The weights are powers of two. */
export function learnAt(cells: Float64Array, at: number, sampleNs: number, alpha: number, beta: number): void {
  const count = cells[at + COUNT] as number;
  const srttNs = cells[at + SRTT] as number;
  if (count === 0) {
    cells[at + SRTT] = sampleNs;
    cells[at + RTTVAR] = Math.floor(sampleNs / 2);
  } else {
    // The deviation first: it is taken from the old mean.
    cells[at + RTTVAR] = blend(cells[at + RTTVAR] as number, Math.abs(srttNs - sampleNs), beta);
    cells[at + SRTT] = blend(srttNs, sampleNs, alpha);
  }
  cells[at + COUNT] = addNs(count, 1);
}

/** As `RttEma.observeImputed`. */
export function imputeAt(cells: Float64Array, at: number, sampleNs: number, share: number): void {
  const srttNs = cells[at + SRTT] as number;
  const rttvarNs = cells[at + RTTVAR] as number;
  if (cells[at + COUNT] === 0) return;
  const error = sampleNs - srttNs;
  const deviationNs = bounded(rttvarNs + ((Math.abs(error) - rttvarNs) * share) / 4);
  if (error < 0 || deviationNs > rttvarNs) cells[at + RTTVAR] = deviationNs; // what came late makes nothing narrower
  cells[at + SRTT] = bounded(srttNs + (error * share) / 8);
}

/** Begins again at this sample, as it would with a first one, but counts for no less than it did. */
export function relearnAt(cells: Float64Array, at: number, sampleNs: number): void {
  cells[at + SRTT] = sampleNs;
  cells[at + RTTVAR] = Math.floor(sampleNs / 2);
}

/** Makes the estimate count for `samples` at most. */
export function discountAt(cells: Float64Array, at: number, samples: number): void {
  cells[at + COUNT] = Math.min(cells[at + COUNT] as number, Math.floor(samples));
}

/** Multiplied, not divided: by a power of two both are exact, and one of them is quick. */
function blend(old: number, sample: number, weight: number): number {
  return addNs(old - Math.floor(old * weight), Math.floor(sample * weight));
}

/** The whole quantity below. */
function bounded(value: number): number {
  return value < NS_MAX ? Math.floor(value) : NS_MAX;
}
