import {
  captureGlobal, captureLearned, HalfOpen, LearnedSite, newBackoff, PROBES_OPEN_AT, PRODUCT_LEARNING, restoreGlobal, restoreLearned, RuntimeError, SITE_CELLS, widenLearned,
} from "@holdfast/core/peer";
import type { BackoffEntry, GlobalPriorData, LearnedData } from "@holdfast/core/peer";
import { MEMORY_MS, NS_PER_MS, nowNs } from "../clock.ts";
import type { Clock } from "../clock.ts";
import type { PeerBook } from "../peer-book.ts";
import type { PeerRecord } from "../peer-record.ts";
import type { StoredRow } from "./state-store.ts";

/** Raise it with every change of meaning. */
export const ROW_VERSION = 1;
const TEXT_MAX = 1 << 20;
const COUNT_MAX = 0xffffffff;

/** One peer as it is kept. Every time is wall time in ms, 0 = never: monotonic clocks mean nothing to another process. */
export interface PeerRow {
  readonly v: typeof ROW_VERSION;
  readonly writtenMs: number;
  /** Last evidence of up or down. */
  readonly evidenceMs: number;
  readonly failures: number;
  readonly isDown: boolean;
  /** Cooldown after failures: its step, its end, and since when. */
  readonly step: number;
  readonly coolUntilMs: number;
  readonly failedMs: number;
  readonly delayMs: number;
  readonly advisedUntilMs: number;
  readonly advisedSinceMs: number;
  /** Calls that may try it at a time; 0 = any number. */
  readonly probes: number;
  /** When somebody last blocked or unblocked it. */
  readonly policyMs: number;
  readonly block: { readonly untilMs: number | null; readonly reason: string } | null;
  readonly sites: readonly { readonly name: string; readonly updatedMs: number; readonly data: LearnedData }[];
}

/** The key of the row that belongs to no peer: what round trips have in common. No peer has it. */
export const PRIORS_KEY = "";

interface PriorsRow {
  readonly v: typeof ROW_VERSION;
  readonly writtenMs: number;
  readonly updatedMs: number;
  readonly data: GlobalPriorData;
}

/** Between engine time in ns and wall time in ms, at one moment. */
export class TimeScale {
  readonly #nowNs: number;
  readonly #wallMs: number;

  constructor(clock: Clock) {
    this.#nowNs = nowNs(clock);
    this.#wallMs = clock.wallMs();
  }

  get wallMs(): number {
    return this.#wallMs;
  }

  toWallMs(ns: number): number {
    return ns === 0 ? 0 : Math.round(this.#wallMs + (ns - this.#nowNs) / NS_PER_MS);
  }

  /** A past instant: never later than now, nor so early that it had no place. */
  past(wallMs: number): number {
    if (wallMs === 0) return 0;
    return Math.max(1, Math.floor(this.#nowNs - Math.min(Math.max(this.#wallMs - wallMs, 0), MEMORY_MS) * NS_PER_MS));
  }

  /** One that may be to come, but no further than so many ms. A clock that jumped ahead is not believed beyond. */
  coming(wallMs: number, aheadMsMax: number): number {
    if (wallMs <= this.#wallMs) return this.past(wallMs);
    return this.#nowNs + Math.floor(Math.min(wallMs - this.#wallMs, aheadMsMax) * NS_PER_MS);
  }
}

export function encodeRow(book: PeerBook, record: PeerRecord, scale: TimeScale): StoredRow {
  const { key, trouble, block } = record;
  const backoff = trouble?.backoff;
  const sites = record.sites.flatMap((site) => {
    const learned = book.learned(site);
    if (learned === undefined) return [];
    const data = captureLearned(learned);
    return [{ name: site.name, updatedMs: scale.toWallMs(data.lastUpdatedAt), data: { ...data, lastUpdatedAt: 0 } }];
  });
  const row: PeerRow = {
    v: ROW_VERSION, writtenMs: Math.round(scale.wallMs), evidenceMs: scale.toWallMs(book.evidenceAt(record)),
    failures: trouble?.failures ?? 0, isDown: trouble?.isDown ?? false,
    step: backoff?.attempts ?? 0, coolUntilMs: scale.toWallMs(backoff?.nextRetry ?? 0), failedMs: scale.toWallMs(backoff?.failedAt ?? 0),
    delayMs: Math.round((backoff?.delayNs ?? 0) / NS_PER_MS),
    advisedUntilMs: scale.toWallMs(backoff?.advisedUntil ?? 0), advisedSinceMs: scale.toWallMs(backoff?.advisedSince ?? 0),
    probes: trouble?.probes?.limit ?? 0,
    policyMs: block?.saidMs ?? 0,
    block: block === undefined || block.until === 0 ? null : { untilMs: block.until === Infinity ? null : scale.toWallMs(block.until), reason: block.reason },
    sites,
  };
  return { key, text: JSON.stringify(row) };
}

export function encodePriors(book: PeerBook, scale: TimeScale): StoredRow {
  const data = captureGlobal(book.prior);
  const row: PriorsRow = { v: ROW_VERSION, writtenMs: Math.round(scale.wallMs), updatedMs: scale.toWallMs(data.updatedAt), data: { ...data, updatedAt: 0 } };
  return { key: PRIORS_KEY, text: JSON.stringify(row) };
}

/** Takes the priors over. Throws SNAPSHOT_INVALID. */
export function restorePriors(book: PeerBook, { text }: StoredRow, scale: TimeScale): void {
  const refuse = (field: string, cause?: unknown): RuntimeError => new RuntimeError("SNAPSHOT_INVALID", { part: "priors", field }, { cause });
  let row: PriorsRow;
  try {
    row = JSON.parse(text) as PriorsRow;
  } catch (cause) {
    throw refuse("text", cause);
  }
  if (typeof row !== "object" || row === null || row.v !== ROW_VERSION) throw refuse("v");
  if (!isWhole(row.updatedMs)) throw refuse("updatedMs");
  if (typeof row.data !== "object" || row.data === null) throw refuse("data");
  book.prior = restoreGlobal({ ...row.data, updatedAt: scale.past(row.updatedMs) });
}

/** Reads one stored row. Throws SNAPSHOT_INVALID: what another version wrote, or damage, is refused and never guessed at. */
export function parseRow({ key, text }: StoredRow): PeerRow {
  const refuse = (field: string, cause?: unknown): RuntimeError => new RuntimeError("SNAPSHOT_INVALID", { part: `peer ${key}`, field }, { cause });
  if (typeof key !== "string" || key === PRIORS_KEY || typeof text !== "string" || text.length > TEXT_MAX) throw refuse("text");
  let row: PeerRow;
  try {
    row = JSON.parse(text) as PeerRow;
  } catch (cause) {
    throw refuse("text", cause);
  }
  if (typeof row !== "object" || row === null) throw refuse("text");
  if (row.v !== ROW_VERSION) throw refuse("v");
  const times = ["writtenMs", "evidenceMs", "coolUntilMs", "failedMs", "delayMs", "advisedUntilMs", "advisedSinceMs", "policyMs", "failures", "step", "probes"] as const;
  for (const field of times) if (!isWhole(row[field])) throw refuse(field);
  if (row.failures > COUNT_MAX || row.step > COUNT_MAX) throw refuse("failures");
  if (typeof row.isDown !== "boolean") throw refuse("isDown");
  if (row.block !== null && !(typeof row.block === "object" && typeof row.block.reason === "string" && (row.block.untilMs === null || isWhole(row.block.untilMs)))) throw refuse("block");
  if (!Array.isArray(row.sites)) throw refuse("sites");
  for (const site of row.sites) {
    if (typeof site !== "object" || site === null || typeof site.name !== "string" || !isWhole(site.updatedMs)) throw refuse("sites");
  }
  return row;
}

export interface MergeLimits {
  readonly cooldownMaxMs: number;
  readonly adviceTotalMaxMs: number;
  readonly sitesMax: number;
  readonly probesMax: number;
}

/**
 * Takes in what another process, or an earlier one, knows of a peer: health by the newest evidence, the longer cooldown
 * unless newer evidence ended it, the longer advice, and of each site whoever heard of it last. Throws SNAPSHOT_INVALID.
 */
export function mergeRow(book: PeerBook, key: string, row: PeerRow, scale: TimeScale, now: number, limits: MergeLimits): void {
  const record = book.record(key, now);
  // First, since damage may show here, and then nothing of the peer's health is believed either.
  mergeSites(book, record, row, scale, limits);
  const evidenceAt = scale.past(row.evidenceMs);
  const isNewer = evidenceAt > book.evidenceAt(record);
  const trouble = record.troubled();
  const wasDown = trouble.isDown;
  if (isNewer) {
    book.evidenceAt(record, evidenceAt);
    trouble.failures = row.failures;
    trouble.isDown = row.isDown;
  }
  const known = trouble.backoff ?? newBackoff();
  // Failures that newer evidence has put right are over; otherwise the longer cooldown holds.
  const isOver = isNewer ? row.step === 0 : known.attempts === 0 && book.evidenceAt(record) > evidenceAt;
  const merged = mergedBackoff(known, row, isOver, scale, limits);
  trouble.backoff = merged.attempts > 0 || merged.advisedUntil > now ? merged : undefined;
  // It failed, and has not shown since that it works: it is tried, and not stormed. Half open it is as far as it was.
  if (merged.attempts > 0 && known.attempts === 0) trouble.probes = new HalfOpen(limits.probesMax);
  else if (isNewer && row.probes > 0 && trouble.probes === undefined) trouble.probes = new HalfOpen(Math.min(Math.max(row.probes, limits.probesMax), PROBES_OPEN_AT));
  mergeBlock(book, record, row, scale, now);
  if (trouble.isDown !== wasDown) book.onTransition(key, wasDown ? "up" : "down", Math.max(0, merged.nextRetry - now) / NS_PER_MS, "heard from another process");
  book.reconsider(record);
}

function mergeSites(book: PeerBook, record: PeerRecord, { sites }: PeerRow, scale: TimeScale, { sitesMax }: MergeLimits): void {
  for (const { name, updatedMs, data } of sites) {
    const site = record.site(name, sitesMax);
    const lastUpdatedAt = scale.past(updatedMs);
    if ((book.learned(site)?.lastUpdatedAt ?? -1) >= lastUpdatedAt) continue;
    // Damage shows before anything is replaced.
    const restored = new Float64Array(SITE_CELLS);
    restoreLearned(new LearnedSite(PRODUCT_LEARNING).over(restored, new Uint16Array(restored.buffer), 0), { ...data, lastUpdatedAt });
    const { cells, at } = book.learn(record, site);
    cells.set(restored, at);
  }
}

function mergedBackoff(known: BackoffEntry, row: PeerRow, isOver: boolean, scale: TimeScale, limits: MergeLimits): BackoffEntry {
  const coolUntil = row.coolUntilMs === 0 ? 0 : scale.coming(row.coolUntilMs, limits.cooldownMaxMs);
  const advisedUntil = row.advisedUntilMs === 0 ? 0 : scale.coming(row.advisedUntilMs, limits.adviceTotalMaxMs);
  const theirs = scale.past(row.failedMs);
  return {
    attempts: isOver ? 0 : Math.max(row.step, known.attempts),
    nextRetry: isOver ? 0 : Math.max(coolUntil, known.nextRetry),
    failedAt: isOver ? 0 : Math.max(theirs, known.failedAt),
    lastAttempt: Math.max(theirs, known.lastAttempt),
    delayNs: isOver ? 0 : Math.max(row.delayMs * NS_PER_MS, known.delayNs),
    advisedUntil: Math.max(advisedUntil, known.advisedUntil),
    advisedSince: known.advisedSince === 0 ? scale.past(row.advisedSinceMs) : known.advisedSince,
  };
}

/** The last word counts. Of a row from the future, by a clock that was set back since, so much is left as was when it was written. */
function mergeBlock(book: PeerBook, record: PeerRecord, { policyMs, writtenMs, block }: PeerRow, scale: TimeScale, now: number): void {
  if (policyMs <= (record.block?.saidMs ?? 0)) return;
  const fastMs = Math.max(0, writtenMs - Math.round(scale.wallMs));
  const until = block === null ? 0 : block.untilMs === null ? Infinity : scale.coming(block.untilMs - fastMs, 100 * 365 * 24 * 3600 * 1000);
  book.setBlock(record, { until: until <= now ? 0 : until, reason: block?.reason ?? "", saidMs: policyMs });
}

/** After a restart: much may have changed meanwhile. What was learned carries its age, and fades by itself. */
export function widenAll(book: PeerBook): void {
  for (const record of book.records.values()) {
    for (const site of record.sites) {
      const learned = book.learned(site);
      if (learned !== undefined) widenLearned(learned);
    }
  }
}

function isWhole(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
