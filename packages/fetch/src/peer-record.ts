import type { BackoffEntry, HalfOpen } from "@holdfast/core/peer";

/** Who was asked for what: the unit in which round trips are learned. */
export interface Site {
  /** Within its peer; empty where nobody said. */
  readonly name: string;
  /** Where its numbers are; `NO_ROW` until something is learned. */
  row: number;
}

/** The name of the site that all share which are beyond the bound. */
export const OTHER_SITES = "*";
export const NO_ROW = -1;
/** Instants in which the order of use is kept: 2^27 ns, so that a small whole number holds nine years. */
const USE_NS = 134_217_728;

/** What is held of a peer while something is the matter with it. */
export class Trouble {
  /** In a row. */
  failures = 0;
  isDown = false;
  /** Overload in a row without a word about when to come back. */
  overloads = 0;
  /** Rises with each cooldown of any peer: what was sent at an earlier one says nothing new by failing. */
  epoch = 0;
  /** Did the body of an answer break off last? Then headers alone prove nothing. */
  bodiesBreak = false;
  /** Cooldown and advice. */
  backoff: BackoffEntry | undefined;
  /** It failed, and has not shown since that it works as before. */
  probes: HalfOpen<number> | undefined;

  /** Is nothing the matter any more? */
  get isOver(): boolean {
    return this.failures === 0 && this.overloads === 0 && !this.isDown && !this.bodiesBreak && this.backoff === undefined && this.probes === undefined;
  }
}

/** An attempt under way, and its neighbours among those of its peer. */
export interface InFlight {
  readonly site: Site;
  /** Ns. */
  readonly startedAt: number;
  next: InFlight | undefined;
  previous: InFlight | undefined;
}

/** What was decided about a peer at run time. */
export interface PeerBlock {
  /** When somebody last blocked or unblocked it, in wall ms: processes that share a state go by the last word. */
  readonly saidMs: number;
  /** Until when it is denied, in ns; Infinity = for good, 0 = not at all. */
  readonly until: number;
  readonly reason: string;
}

/**
 * What is held of one peer. It is small while the peer is well, and is the first of its peer's sites itself: most peers
 * have no other. Numbers with fractions, and those beyond 2^31, are in rows that the book lends.
 */
export class PeerRecord {
  readonly key: string;
  /** Of the first site; undefined until one is asked for. */
  name: string | undefined = undefined;
  row = NO_ROW;
  others: Map<string, Site> | undefined = undefined;
  /** Where its own numbers are; `NO_ROW` once it was forgotten: then nothing may be learned of it any more. */
  numbers: number;
  /** Of the attempts under way the one that began last; the others hang on it. */
  newest: InFlight | undefined = undefined;
  /** In which of the 2^27 ns somebody last asked for it. */
  usedAt = 0;
  trouble: Trouble | undefined = undefined;
  block: PeerBlock | undefined = undefined;

  constructor(key: string, numbers: number) {
    this.key = key;
    this.numbers = numbers;
  }

  get bodiesBreak(): boolean {
    return this.trouble?.bodiesBreak ?? false;
  }

  /** Something is the matter with it from now on. */
  troubled(): Trouble {
    return (this.trouble ??= new Trouble());
  }

  enter(attempt: InFlight): void {
    attempt.next = this.newest;
    if (this.newest !== undefined) this.newest.previous = attempt;
    this.newest = attempt;
  }

  leave(attempt: InFlight): void {
    const { next, previous } = attempt;
    if (previous === undefined) this.newest = next;
    else previous.next = next;
    if (next !== undefined) next.previous = previous;
    // Who is learned from long after must not keep the others.
    attempt.next = attempt.previous = undefined;
  }

  /** The attempts under way, from the newest to the oldest. */
  *inFlight(): IterableIterator<InFlight> {
    for (let attempt = this.newest; attempt !== undefined; attempt = attempt.next) yield attempt;
  }

  use(now: number): void {
    this.usedAt = (now / USE_NS) | 0;
  }

  /** The site of this name; the one that all share where there are too many. */
  site(name: string, sitesMax: number): Site {
    if (this.name === undefined) this.name = name;
    if (this.name === name) return this as Site;
    const known = this.others?.get(name);
    if (known !== undefined) return known;
    const others = (this.others ??= new Map());
    if (others.size >= sitesMax - 1 && name !== OTHER_SITES) return this.site(OTHER_SITES, sitesMax);
    const site = { name, row: NO_ROW };
    others.set(name, site);
    return site;
  }

  get sites(): Site[] {
    return this.name === undefined ? [] : [this as Site, ...(this.others?.values() ?? [])];
  }
}
