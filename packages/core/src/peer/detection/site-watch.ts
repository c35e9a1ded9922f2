import { assert } from "../../base/assert.ts";
import { Heap } from "../../base/heap.ts";
import type { SiteId } from "../../base/ids.ts";
import { NS_PER_S } from "../../base/time.ts";
import { BRAKE_DEFAULTS, type BrakeOptions, IsolationBrake } from "./isolation-brake.ts";
import { MAX_ENTRIES, makeRoom } from "../make-room.ts";
import { REFERENCE_DETECTOR } from "./phi-accrual-detector.ts";
import { NumberRows } from "../number-rows.ts";
import { isQuantity } from "../quantity.ts";
import { readObject, readQuantity, readText, wholeOption } from "../read-quantity.ts";
import { type Beat, SILENCE_DEFAULTS, type Verdict } from "./silence-detector.ts";
import { type DetectorCells, detectorCells, type DetectorData, type DetectorModel, restoreSiteDetector, type SiteDetector, siteDetector } from "./site-detector.ts";

export interface SiteWatchOptions<S extends string = SiteId> {
  readonly detector: DetectorModel;
  /** When most sites fall silent together it is we who are cut off: convictions wait. Reference: never. */
  readonly brake: BrakeOptions;
  /** Sites watched, at least 1. At the bound those least recently seen go. Default 16384. */
  readonly maxEntries: number;
  /** Told each site that the bound drops, so that its stored state can go too. */
  readonly onEvict: ((site: S) => void) | undefined;
}

/** The behaviour that the vectors record (spec/peers.md §4). */
export const REFERENCE_WATCH: SiteWatchOptions<string> = {
  detector: { model: "exponential", ...REFERENCE_DETECTOR },
  brake: { ...BRAKE_DEFAULTS, holdNs: 0 },
  maxEntries: MAX_ENTRIES,
  onEvict: undefined,
};

/** What the product runs with, and the default. */
export const PRODUCT_WATCH: SiteWatchOptions<string> = {
  ...REFERENCE_WATCH,
  detector: SILENCE_DEFAULTS,
  brake: BRAKE_DEFAULTS,
};

/** A verdict that differs from the one last announced. `phi` comes with suspicion only. */
export type SiteTransition<S extends string = SiteId> =
  | Readonly<{ site: S; to: "live" }>
  | Readonly<{ site: S; to: "suspect" | "down"; phi: number }>;

/** When a verdict comes if the silence goes on. */
export interface Crossing<S extends string = SiteId> {
  readonly site: S;
  readonly at: number;
  readonly to: "suspect" | "down";
}

/** All of one site, as plain data. */
export interface WatchData {
  readonly detector: DetectorData;
  /** Last sign of life in awake time, 0 = never. */
  readonly lastSeenAt: number;
  /** The verdict last announced. */
  readonly state: Verdict;
}

/** What is behind a site's verdict, for people. */
export interface WatchExplanation<S extends string = SiteId> {
  /** The verdict last announced, and the one that `now` gives. */
  readonly announced: Verdict;
  readonly state: Verdict;
  readonly phi: number;
  readonly suspectPhi: number;
  readonly downPhi: number;
  /** Arrivals learned from, and the interval that φ reckons with, in ns. */
  readonly samples: number;
  readonly intervalNs: number;
  readonly lastSeenAt: number;
  /** Most sites are silent: convictions wait. */
  readonly isIsolated: boolean;
  readonly next: Crossing<S> | undefined;
}

interface Watched<S> {
  readonly site: S;
  readonly detector: SiteDetector;
  /** Of the detector's numbers; −1 = the site was dropped, and another may have them. */
  row: number;
  lastSeenAt: number;
  announced: Verdict;
  /** When the site was last asked whether it is there, 0 = never. */
  askedAt: number;
  /** The brake holds the verdict back until then. */
  heldUntil: number;
  /** For when it is queued to be looked at, Infinity = it is not. Later entries of the queue are stale. */
  queuedAt: number;
}

/** Entries of the queue, for each site and beyond that, at which stale ones are swept out. */
const STALE_FACTOR = 2;
const QUEUE_MIN = 64;

interface Queued<S> {
  readonly entry: Watched<S>;
  /** Changes outside the queue only. */
  at: number;
}

/**
 * SiteWatch says which sites have fallen silent.
 *
 * Every `now` is *awake* time: the engine's clock minus the pauses it recognised as its own. So a suspended machine
 * wakes to the silences it left, and nothing learns from the pause.
 *
 * Invariants:
 *   W1. A verdict is announced once, when it differs from the last one announced.
 *   W2. Only heartbeats are samples of a detector; whatever else proves life moves last-seen.
 *   W3. At most `maxEntries` sites are watched.
 *   W4. A silence of which part fell into our own isolation is no sample.
 *   W5. The queue has at most twice as many entries as there are sites, and a few.
 */
export class SiteWatch<S extends string = SiteId> {
  readonly #options: SiteWatchOptions<S>;
  readonly #sites = new Map<S, Watched<S>>();
  readonly #rows: NumberRows;
  readonly #brake: IsolationBrake;
  /** Sites announced live that were seen. */
  #live = 0;
  /** When a verdict may come, by site. Arrivals put verdicts off without touching it: whoever comes up is asked again. */
  #queue = new Heap<Queued<S>>(sooner);
  /** Sites that showed life since they were announced suspect or down. */
  readonly #returning = new Map<S, Watched<S>>();
  #scannedAt = 0;
  #version = 0;

  constructor(given: Partial<SiteWatchOptions<S>> = {}) {
    const options: SiteWatchOptions<S> = { ...PRODUCT_WATCH, ...given };
    this.#options = { ...options, maxEntries: wholeOption("maxEntries", options.maxEntries, 1) };
    const intervalNs = options.detector.model === "exponential" ? options.detector.expectedIntervalNs : options.detector.intervalNs;
    this.#brake = new IsolationBrake(options.brake, intervalNs || NS_PER_S);
    siteDetector(options.detector); // checks its options
    this.#rows = new NumberRows(detectorCells(options.detector));
  }

  get size(): number {
    return this.#sites.size;
  }

  /** Are convictions held back, since it seems to be we who are cut off? */
  get isIsolated(): boolean {
    return this.#brake.isEngaged;
  }

  /** Verdicts that are waited for, stale ones among them. */
  get queueSize(): number {
    return this.#queue.size;
  }

  /** Changes with every site that comes or goes. */
  get version(): number {
    return this.#version;
  }

  has(site: S): boolean {
    return this.#sites.has(site);
  }

  /** An arrival that was due: a sample for the site's detector. `beat` is what it says of itself. */
  recordHeartbeat(site: S, now: number, beat?: Beat): void {
    const entry = this.#watch(site);
    const learns = entry.lastSeenAt >= this.#brake.clearSince; // W4
    const heardAt = learns ? entry.detector.recordHeartbeat(now, entry.lastSeenAt, beat) : entry.detector.recordLife(now, entry.lastSeenAt, beat);
    this.#seen(entry, heardAt);
  }

  /** Any other arrival: it proves life and is no sample. The site is watched from now on. */
  recordLife(site: S, now: number): void {
    assert(isQuantity(now), "an instant is a quantity");
    const entry = this.#watch(site);
    this.#seen(entry, entry.detector.recordLife(now, entry.lastSeenAt, undefined)); // W2
  }

  /**
   * The answer to what we sent at `askedAt`: the site was there then, however late the answer is. A sample if the
   * site was overdue. A site that is not watched is not watched now.
   */
  recordAnswer(site: S, now: number, askedAt: number): void {
    const entry = this.#sites.get(site);
    if (entry === undefined) return;
    const { detector, lastSeenAt } = entry;
    const wasOverdue = lastSeenAt >= this.#brake.clearSince && now - lastSeenAt > detector.intervalNs;
    if (wasOverdue) detector.recordHeartbeat(now, lastSeenAt, undefined);
    else detector.recordLife(now, lastSeenAt, undefined);
    this.#seen(entry, Math.max(lastSeenAt, askedAt));
  }

  /** The site's clock, or its way to us, is another from now on: a new connection. */
  forgetOffset(site: S): void {
    this.#sites.get(site)?.detector.forgetOffset();
  }

  /** φ of the site's silence; 0 for a site that is not watched. */
  phi(site: S, now: number): number {
    const entry = this.#sites.get(site);
    return entry === undefined ? 0 : entry.detector.phi(now, entry.lastSeenAt);
  }

  lastSeenAt(site: S): number {
    return this.#sites.get(site)?.lastSeenAt ?? 0;
  }

  /** The verdict last announced. A site never heard of counts as live. */
  siteState(site: S): Verdict {
    return this.#sites.get(site)?.announced ?? "live";
  }

  /** Judges one site, as `scan` does all: ask after each arrival, and when a crossing is due. */
  judge(site: S, now: number): SiteTransition<S> | undefined {
    const entry = this.#sites.get(site);
    return entry && this.#judge(entry, now);
  }

  /** The verdicts that changed since they were last announced, by site. Costs nothing while no verdict is due. */
  scan(now: number): SiteTransition<S>[] {
    const transitions: SiteTransition<S>[] = [];
    const look = (entry: Watched<S>, queued?: Queued<S>): void => {
      const transition = this.#judge(entry, now);
      if (transition !== undefined) transitions.push(transition);
      this.#enqueue(entry, now + 1, queued);
    };
    // Of a clock that went back everybody may look different.
    for (const entry of (now < this.#scannedAt ? this.#sites : this.#returning).values()) look(entry);
    this.#scannedAt = now;
    this.#returning.clear();
    for (let next = this.#queue.peek(); next !== undefined && next.at <= now; next = this.#queue.peek()) {
      this.#queue.pop();
      if (next.at !== next.entry.queuedAt || next.entry.row < 0) continue;
      next.entry.queuedAt = Infinity;
      look(next.entry, next);
    }
    return transitions.sort((a, b) => (a.site < b.site ? -1 : 1));
  }

  /**
   * When the next verdict comes if this site's silence goes on: the timer to arm. Undefined once it is down, and for
   * a site not watched. Reckons from the verdict announced: after an arrival, `judge` first.
   */
  nextCrossing(site: S): Crossing<S> | undefined {
    const entry = this.#sites.get(site);
    if (entry === undefined) return undefined;
    const at = nextVerdictAt(entry);
    return at === Infinity ? undefined : { site, at, to: nextVerdict(entry) };
  }

  /** The first of all sites' crossings: one timer for all of them. */
  earliestCrossing(): Crossing<S> | undefined {
    for (let next = this.#queue.peek(); next !== undefined; next = this.#queue.peek()) {
      const { entry, at } = next;
      const isCurrent = at === entry.queuedAt && entry.row >= 0;
      if (isCurrent && nextVerdictAt(entry) <= at) return this.nextCrossing(entry.site);
      this.#queue.pop();
      if (!isCurrent) continue;
      entry.queuedAt = Infinity;
      this.#enqueue(entry, 0, next);
    }
    return undefined;
  }

  /** When the site should be asked whether it is there, if its silence goes on; undefined = not at all. */
  nextAsk(site: S): number | undefined {
    const entry = this.#sites.get(site);
    return entry === undefined || entry.announced === "down" ? undefined : entry.detector.askAt(entry.lastSeenAt, entry.askedAt);
  }

  recordAsked(site: S, now: number): void {
    const entry = this.#sites.get(site);
    if (entry !== undefined) entry.askedAt = now;
  }

  forget(site: S): void {
    const entry = this.#sites.get(site);
    if (entry === undefined) return;
    if (entry.announced === "live" && entry.lastSeenAt > 0) this.#live--;
    this.#sites.delete(site);
    this.#drop(entry);
  }

  explain(site: S, now: number): WatchExplanation<S> | undefined {
    const entry = this.#sites.get(site);
    if (entry === undefined) return undefined;
    const { detector, lastSeenAt, announced } = entry;
    const { suspectPhi, downPhi, samples, intervalNs } = detector;
    return {
      announced, state: detector.verdict(now, lastSeenAt), phi: detector.phi(now, lastSeenAt), suspectPhi, downPhi, samples, intervalNs,
      lastSeenAt, isIsolated: this.isIsolated, next: this.nextCrossing(site),
    };
  }

  /** A copy of all that is held of the site. */
  capture(site: S): WatchData | undefined {
    const entry = this.#sites.get(site);
    return entry && { detector: entry.detector.capture(), lastSeenAt: entry.lastSeenAt, state: entry.announced };
  }

  /** Takes a site over, in place of what is held of it. Throws SNAPSHOT_INVALID. */
  restore(site: S, data: WatchData): void {
    const { detector, lastSeenAt, state } = readObject("watch", data);
    const announced = readText<Verdict>("watch", "state", state, ["live", "suspect", "down"]);
    const seenAt = readQuantity("watch", "lastSeenAt", lastSeenAt);
    const row = this.#takeRow();
    let restored: SiteDetector;
    try {
      restored = restoreSiteDetector(detector, this.#options.detector, this.#placeOf(row));
    } catch (error) {
      this.#rows.giveBack(row);
      throw error;
    }
    this.forget(site);
    const entry = this.#add(site, restored, row);
    entry.lastSeenAt = seenAt;
    entry.announced = announced;
    if (announced === "live" && seenAt > 0) this.#live++;
    this.#enqueue(entry, 0);
  }

  #judge(entry: Watched<S>, now: number): SiteTransition<S> | undefined {
    const { site, detector, lastSeenAt, announced } = entry;
    const to = detector.verdict(now, lastSeenAt);
    if (to === announced) return undefined; // W1
    if (to !== "live" && !(announced === "down" && to === "suspect")) {
      const heldUntil = this.#brake.holdsUntil(lastSeenAt + detector.intervalNs, now, this.#live);
      if (heldUntil !== undefined) {
        entry.heldUntil = heldUntil;
        return undefined;
      }
      detector.recordDoubt(now);
    }
    if (announced === "live") this.#live--;
    if (to === "live") this.#live++;
    entry.announced = to;
    entry.heldUntil = 0;
    return to === "live" ? { site, to } : { site, to, phi: detector.phi(now, lastSeenAt) };
  }

  #seen(entry: Watched<S>, at: number): void {
    if (entry.lastSeenAt === 0 && at > 0 && entry.announced === "live") this.#live++;
    this.#brake.heard(entry.lastSeenAt, at, this.#live);
    entry.lastSeenAt = at;
    entry.heldUntil = 0;
    if (entry.announced !== "live") this.#returning.set(entry.site, entry);
    this.#enqueue(entry, 0);
  }

  /** Sees to it that the site is looked at when its next verdict is due, and not before the instant. */
  #enqueue(entry: Watched<S>, notBefore: number, queued?: Queued<S>): void {
    const at = Math.max(nextVerdictAt(entry), notBefore);
    if (at >= entry.queuedAt) return;
    if (queued === undefined && this.#queue.size >= STALE_FACTOR * this.#sites.size + QUEUE_MIN) this.#sweep();
    entry.queuedAt = at;
    if (queued === undefined) return this.#queue.push({ entry, at });
    queued.at = at; // it has just come out of the queue
    this.#queue.push(queued);
  }

  #makeRoom(): void {
    makeRoom(this.#sites, this.#options.maxEntries, ({ lastSeenAt }) => lastSeenAt, (site, entry) => {
      this.#drop(entry);
      this.#options.onEvict?.(site);
    });
    this.#live = 0;
    for (const { announced, lastSeenAt } of this.#sites.values()) if (announced === "live" && lastSeenAt > 0) this.#live++;
  }

  /** Leaves in the queue what is not stale (W5): whoever asks about single sites only never takes anything out. */
  #sweep(): void {
    this.#queue = new Heap<Queued<S>>(sooner);
    for (const entry of this.#sites.values()) if (entry.queuedAt < Infinity) this.#queue.push({ entry, at: entry.queuedAt });
  }

  /** What is queued of it is stale from now on. */
  #drop(entry: Watched<S>): void {
    this.#version++;
    this.#returning.delete(entry.site);
    if (this.#options.detector.model === "learned") this.#rows.giveBack(entry.row);
    entry.row = -1;
  }

  #takeRow(): number {
    return this.#options.detector.model === "learned" ? this.#rows.take() : 0;
  }

  #placeOf(row: number): DetectorCells | undefined {
    return this.#options.detector.model === "learned" ? { cells: this.#rows.cells(row), at: this.#rows.at(row) } : undefined;
  }

  #watch(site: S): Watched<S> {
    const known = this.#sites.get(site);
    if (known !== undefined) return known;
    const row = this.#takeRow();
    return this.#add(site, siteDetector(this.#options.detector, this.#placeOf(row)), row);
  }

  #add(site: S, detector: SiteDetector, row: number): Watched<S> {
    if (this.#sites.size >= this.#options.maxEntries) this.#makeRoom(); // W3
    this.#version++;
    const entry: Watched<S> = { site, detector, row, lastSeenAt: 0, announced: "live", askedAt: 0, heldUntil: 0, queuedAt: Infinity };
    this.#sites.set(site, entry);
    return entry;
  }
}

function sooner(a: Queued<unknown>, b: Queued<unknown>): number {
  return a.at - b.at;
}

/** Which verdict follows the one announced. */
function nextVerdict({ announced, detector, lastSeenAt }: Watched<unknown>): "suspect" | "down" {
  if (announced === "suspect") return "down";
  return (detector.verdictAt("down", lastSeenAt) ?? Infinity) <= (detector.verdictAt("suspect", lastSeenAt) ?? Infinity) ? "down" : "suspect";
}

/** Infinity = none. */
function nextVerdictAt(entry: Watched<unknown>): number {
  if (entry.announced === "down") return Infinity;
  const at = entry.detector.verdictAt(nextVerdict(entry), entry.lastSeenAt);
  return at === undefined ? Infinity : Math.max(at, entry.heldUntil);
}
