import { NS_PER_S } from "../../base/time.ts";
import { decay } from "../decay.ts";
import { wholeOption } from "../read-quantity.ts";
import { RuntimeError } from "../../base/errors.ts";

export interface OutlierOptions {
  /** Requests, decayed, that must speak about a member before it is judged, 2 … 24. Default 10. */
  readonly requestsMin: number;
  /** How far a share of failures must lie above the median of the group: 0 … 1. Default 0.15. */
  readonly failureMargin: number;
  /** The same for the share of slow answers. Default 0.5: a slow member serves as well, at its own pace. */
  readonly slowMargin: number;
  /** An answer that took so many times the group's median latency was slow. Default 5. */
  readonly slowFactor: number;
  /** How long a member is set aside the first time, in ns; each repetition doubles it. Default 10 s. */
  readonly asideNs: number;
  /** The longest, in ns, before jitter. Default 5 min. */
  readonly asideMaxNs: number;
}

export const OUTLIER_DEFAULTS: OutlierOptions = {
  requestsMin: 10, failureMargin: 0.15, slowMargin: 0.5, slowFactor: 5, asideNs: 10 * NS_PER_S, asideMaxNs: 300 * NS_PER_S,
};

/** Fills defaults and checks once. Throws OPTION_INVALID. */
export function outlierOptions(given: Partial<OutlierOptions> = {}): OutlierOptions {
  const options = { ...OUTLIER_DEFAULTS, ...given };
  for (const name of ["failureMargin", "slowMargin"] as const) {
    if (!(options[name] >= 0 && options[name] <= 1)) throw new RuntimeError("OPTION_INVALID", { option: name, expected: "0 to 1" });
  }
  if (!(options.slowFactor >= 1)) throw new RuntimeError("OPTION_INVALID", { option: "slowFactor", expected: "at least 1" });
  const asideNs = wholeOption("asideNs", options.asideNs, 1);
  return {
    ...options, asideNs,
    requestsMin: wholeOption("requestsMin", options.requestsMin, 2, REQUESTS_MAX),
    asideMaxNs: wholeOption("asideMaxNs", options.asideMaxNs, asideNs),
  };
}

/** Below this many members nobody can say who is the outlier. */
const GROUP_MIN = 3;
/** At most one of so many members is set aside. */
const ASIDE_ONE_OF = 3;
/** About so many of the last requests count: a site that fails from now on is found by its next requests, however long it served. */
const REQUESTS_REMEMBERED = 32;
/** Three quarters of what a window holds when it is full. */
const REQUESTS_MAX = 24;
/** And they count for about so long. */
const MEMORY_NS = 60 * NS_PER_S;
/** Deviations by which the events must exceed what the median member would have had: about one false verdict in 10^5 windows. */
const DEVIATIONS = 4;
/** Upward, so that members that were set aside together do not come back together. */
const JITTER = 0.25;

/** What became of an attempt, as far as it says something about the peer. */
export type AttemptOutcome = "answered" | "slow" | "failed";

/**
 * OutcomeWindow counts what became of the last requests to one site. Each one makes the earlier ones weigh a little less,
 * and so does time. Shares are 0 … 1, counts are fractions.
 */
export class OutcomeWindow {
  #requests = 0;
  #failures = 0;
  #slow = 0;
  #at = 0;

  record(outcome: AttemptOutcome, now: number): void {
    const left = decay(now - this.#at, MEMORY_NS) * (1 - 1 / REQUESTS_REMEMBERED);
    this.#requests = this.#requests * left + 1;
    this.#failures = this.#failures * left + (outcome === "failed" ? 1 : 0);
    this.#slow = this.#slow * left + (outcome === "slow" ? 1 : 0);
    this.#at = now;
  }

  /** How many requests speak, now. */
  requests(now: number): number {
    return this.#requests * decay(now - this.#at, MEMORY_NS);
  }

  get failureShare(): number {
    return this.#requests === 0 ? 0 : this.#failures / this.#requests;
  }

  get slowShare(): number {
    return this.#requests === 0 ? 0 : this.#slow / this.#requests;
  }

  /** Half of it is paid for: whoever goes on as before is found by half as many requests, whoever has recovered is not held to its past. */
  discount(): void {
    this.#requests /= 2;
    this.#failures /= 2;
    this.#slow /= 2;
  }
}

/** The median member of a group, of those that enough requests speak about. */
export interface GroupShares {
  /** Members that could be asked. */
  readonly size: number;
  /** Members that enough requests speak about. */
  readonly judged: number;
  readonly failureShare: number;
  readonly slowShare: number;
}

interface Aside {
  until: number;
  /** Of the last time. */
  lastedNs: number;
  times: number;
}

/**
 * RelativeOutliers says which members of one group are set aside: those that fail, or are slow, far more often than their
 * group. To be set aside is no verdict about a peer: it is asked last.
 *
 * The measure is the median member, not the mean: in a group of three a bad member moves the mean, and the deviation, by
 * so much that no rule of mean and deviation can name it. When all fail nobody is an outlier.
 *
 * Invariants:
 *   R1. Nobody is set aside in a group below three, by fewer than `requestsMin` requests, or by one event.
 *   R2. At most a third of a group is aside at once, so that at least two thirds stay.
 *   R3. Each time ends by itself: at most `asideMaxNs` and a quarter. It doubles when it comes again soon; each stretch in
 *       which the member stays as long as it was last aside takes one doubling back.
 */
export class RelativeOutliers<M> {
  readonly #options: OutlierOptions;
  readonly #asides = new Map<M, Aside>();

  constructor(given: Partial<OutlierOptions> = {}) {
    this.#options = outlierOptions(given);
  }

  isAside(member: M, now: number): boolean {
    const aside = this.#asides.get(member);
    return aside !== undefined && now < aside.until;
  }

  /** Until when; undefined: it is not aside. */
  asideUntil(member: M, now: number): number | undefined {
    const aside = this.#asides.get(member);
    return aside !== undefined && now < aside.until ? aside.until : undefined;
  }

  asideCount(now: number): number {
    let count = 0;
    for (const { until } of this.#asides.values()) if (now < until) count++;
    return count;
  }

  /** Judges a member that has just failed or been slow. `fraction`: drawn for this, in [0, 1). True if it is set aside by that. */
  judge(member: M, window: OutcomeWindow, group: GroupShares, now: number, fraction: () => number): boolean {
    const { requestsMin, failureMargin, slowMargin } = this.#options;
    if (group.size < GROUP_MIN || group.judged < GROUP_MIN) return false; // R1
    const requests = window.requests(now);
    if (requests < requestsMin || this.isAside(member, now)) return false;
    const stands = exceeds(window.failureShare, group.failureShare, requests, failureMargin)
      || exceeds(window.slowShare, group.slowShare, requests, slowMargin);
    if (!stands || (this.asideCount(now) + 1) * ASIDE_ONE_OF > group.size) return false; // R2
    this.#setAside(member, now, fraction());
    window.discount();
    return true;
  }

  #setAside(member: M, now: number, fraction: number): void {
    const { asideNs, asideMaxNs } = this.#options;
    // Who is pardoned is forgotten, so that the table holds no more than the group.
    for (const [other, aside] of this.#asides) if (timesLeft(aside, now) === 0) this.#asides.delete(other);
    const before = this.#asides.get(member);
    const times = 1 + (before === undefined ? 0 : timesLeft(before, now));
    let lastedNs = asideNs;
    for (let doubled = 1; doubled < times && lastedNs < asideMaxNs; doubled++) lastedNs *= 2;
    lastedNs = Math.floor(Math.min(lastedNs, asideMaxNs) * (1 + JITTER * fraction));
    this.#asides.set(member, { until: now + lastedNs, lastedNs, times });
  }
}

/** How often it was set aside, less what good conduct has taken back. */
function timesLeft({ until, lastedNs, times }: Aside, now: number): number {
  return now <= until ? times : Math.max(0, times - Math.floor((now - until) / lastedNs));
}

/** Does a share lie beyond what chance gives a member that is like the median one? By a normal bound of the binomial. */
function exceeds(share: number, median: number, requests: number, margin: number): boolean {
  if (share - median < margin) return false;
  // The variance of one event at least: a group without any failure has none, and one failure would stand out.
  const variance = Math.max(1, requests * median * (1 - median));
  const excess = requests * (share - median);
  return excess * excess > DEVIATIONS * DEVIATIONS * variance;
}
