/**
 * Calls at planned instants, whatever became of those before: who waits for an answer before the next question measures a slow
 * server as if few had asked it. What a busy loop sends late counts from when it was planned.
 */
import { percentile } from "../harness.ts";

const TICK_MS = 1;

/** `perSecond` on average, at random as calls of many come (exponential gaps), for so long; ms from the beginning, ascending. */
export function randomArrivals(perSecond: number, forMs: number, random: () => number): number[] {
  const arrivals: number[] = [];
  for (let atMs = gapMs(perSecond, random); atMs < forMs; atMs += gapMs(perSecond, random)) arrivals.push(atMs);
  return arrivals;
}

function gapMs(perSecond: number, random: () => number): number {
  return (-Math.log(1 - random()) * 1000) / perSecond;
}

/** `perSecond`, evenly. */
export function evenArrivals(perSecond: number, forMs: number): number[] {
  return Array.from({ length: Math.floor((perSecond * forMs) / 1000) }, (_, at) => (at * 1000) / perSecond);
}

/** What tells the processes of one measurement when it begins. */
export interface Begin {
  /** Wall time, in ms. */
  readonly startsAtMs: number;
}

export interface OpenLoopHooks {
  readonly send: (index: number, plannedMs: number) => void;
  /** Each time that the loop comes round: now, in ms from the beginning, and by how much it is late. True ends it. */
  readonly onTick?: (nowMs: number, lateMs: number) => boolean;
}

/** `startsAtMs`: wall time, so that several processes begin together. Ends when all are sent, answered or not. */
export async function openLoop(arrivals: readonly number[], startsAtMs: number, { send, onTick }: OpenLoopHooks): Promise<void> {
  const beganAt = performance.now() + startsAtMs - Date.now();
  let next = 0;
  let lastMs = performance.now() - beganAt;
  await new Promise<void>((done) => {
    const timer = setInterval(() => {
      const nowMs = performance.now() - beganAt;
      while (next < arrivals.length && (arrivals[next] as number) <= nowMs) send(next, arrivals[next++] as number);
      const isEnd = onTick?.(nowMs, Math.max(0, nowMs - lastMs - TICK_MS)) === true;
      lastMs = nowMs;
      if (!isEnd && next < arrivals.length) return;
      clearInterval(timer);
      done();
    }, TICK_MS);
  });
}

/** One request: when it was planned, how long it took from there, and whether it was answered. */
export interface Taken {
  readonly plannedMs: number;
  readonly tookMs: number;
  readonly ok: boolean;
}

export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

/** Of those that were planned in [fromMs, untilMs), answered or not. */
export function percentilesOf(taken: readonly Taken[], fromMs = 0, untilMs = Infinity): Percentiles {
  const tookMs = taken.filter(({ plannedMs }) => plannedMs >= fromMs && plannedMs < untilMs).map((one) => one.tookMs);
  return { p50: percentile(tookMs, 0.5), p99: percentile(tookMs, 0.99), p999: percentile(tookMs, 0.999) };
}

/**
 * Calls that were wanted, and those of them that went out, counted in slots of `SLOT_MS`; and from when on they were cut off:
 * the first instant from which on less than 5 % go out in any stretch of 100 ms, so that a probe now and then is none.
 */
export class CutOff {
  readonly #wanted: number[] = [];
  readonly #sent: number[] = [];

  wanted(atMs: number): void {
    count(this.#wanted, atMs);
  }

  sent(atMs: number): void {
    count(this.#sent, atMs);
  }

  /** In ms; undefined as long as they go out. */
  atMs(): number | undefined {
    const { length } = this.#wanted;
    for (let from = length - 1; from >= 0; from--) {
      const [wanted, sent] = [sumOf(this.#wanted, from), sumOf(this.#sent, from)];
      if (wanted > 0 && sent >= wanted * SHARE_MAX) return from === length - 1 ? undefined : (from + 1) * SLOT_MS;
    }
    return 0;
  }
}

const SLOT_MS = 10;
const STRETCH_SLOTS = 10;
const SHARE_MAX = 0.05;

function count(slots: number[], atMs: number): void {
  const slot = Math.max(0, Math.floor(atMs / SLOT_MS));
  slots[slot] = (slots[slot] ?? 0) + 1;
}

function sumOf(slots: readonly number[], from: number): number {
  let sum = 0;
  for (let slot = from; slot < from + STRETCH_SLOTS; slot++) sum += slots[slot] ?? 0;
  return sum;
}
