import { RuntimeError } from "../../base/errors.ts";
import { NS_MAX, NS_PER_MS, NS_PER_S } from "../../base/time.ts";
import type { SiteId } from "../../base/ids.ts";
import { MAX_ENTRIES } from "../make-room.ts";
import { wholeOption } from "../read-quantity.ts";
import { PRODUCT_LEARNING } from "./budget-blend.ts";
import { PRODUCT_WATCH, REFERENCE_WATCH, type SiteWatchOptions } from "../detection/site-watch.ts";

export interface RttTrackerOptions<S extends string = SiteId> {
  /** Least budget that an estimate gives, in ns. Reference 0, product 5 ms: below it timers and a turn dominate. */
  readonly budgetFloorNs: number;
  /** Largest budget that an estimate gives, in ns; at least the floor. Reference: none, product 60 s. */
  readonly budgetCeilingNs: number;
  /**
   * Least deviation that a budget reckons with, in ns. Reference 0, product 5 ms: the budget lies 20 ms above the
   * mean at least, which a commit to a busy disk or one collection of garbage does not use up.
   */
  readonly minDeviationNs: number;
  /** A round trip of no time is a clock that stood still: it proves life and is no sample. Reference: false. */
  readonly refuseZeroSamples: boolean;
  /**
   * Samples after which an estimate counts as much as what it is a part of, where both stray alike; 0 = the first tier
   * with three samples answers alone. Reference 0, product 3.
   */
  readonly blendSamples: number;
  /** Age at which an estimate counts for half of what it did, its parent for the rest, in ns. Reference: never, product 10 min. */
  readonly halfLifeNs: number;
  /** Whether sites learn how long their slowest round trips take, in 152 bytes each. Reference false, product true. */
  readonly tails: boolean;
  /** Samples after which a site's own tail counts as much as its parents' shape. Product 32. */
  readonly tailSamples: number;
  /**
   * What each spurious timeout adds to the budget, as a share of it; four times that at most, and it fades with the
   * next hundred round trips. Reference 0, product 0.5.
   */
  readonly widening: number;
  /** Whether a site's budget doubles with every further timeout while nothing answers. Reference false, product true. */
  readonly backsOff: boolean;
  /** Whether a round trip feeds the site's detector where the caller does not say. Reference true, product false. */
  readonly roundTripsAreHeartbeats: boolean;
  /** How silences are judged; what is left out is the product's. */
  readonly watch: Partial<SiteWatchOptions<S>>;
  /** Sites held, at least 1. At the bound those least recently seen or updated go. Default 16384. */
  readonly maxEntries: number;
  /** Chains with a prior, at least 1. At the bound those least recently observed go. Default 4096. */
  readonly maxChains: number;
  /** Chains with edges of one site, and reports of one site, at least 1; the least recent go. Default 256. */
  readonly maxPerSite: number;
  /** Told each site that the bound drops, so that its stored state can go too. */
  readonly onEvict: ((site: S) => void) | undefined;
}

/** The behaviour that the vectors record (spec/peers.md §3). */
export const REFERENCE_RTT: RttTrackerOptions<string> = {
  budgetFloorNs: 0,
  budgetCeilingNs: NS_MAX,
  minDeviationNs: 0,
  refuseZeroSamples: false,
  blendSamples: 0,
  halfLifeNs: NS_MAX,
  tails: false,
  tailSamples: 32,
  widening: 0,
  backsOff: false,
  roundTripsAreHeartbeats: true,
  watch: REFERENCE_WATCH,
  maxEntries: MAX_ENTRIES,
  maxChains: 4096,
  maxPerSite: 256,
  onEvict: undefined,
};

/** What the product runs with, and the default. */
export const PRODUCT_RTT: RttTrackerOptions<string> = {
  ...REFERENCE_RTT,
  ...PRODUCT_LEARNING,
  budgetFloorNs: 5 * NS_PER_MS,
  budgetCeilingNs: 60 * NS_PER_S,
  refuseZeroSamples: true,
  roundTripsAreHeartbeats: false,
  watch: PRODUCT_WATCH,
};

/** Fills defaults and checks once. Throws OPTION_INVALID. The watch checks its own. */
export function rttTrackerOptions<S extends string>(given: Partial<RttTrackerOptions<S>>): RttTrackerOptions<S> {
  const options: RttTrackerOptions<S> = { ...PRODUCT_RTT, ...given };
  const budgetFloorNs = wholeOption("budgetFloorNs", options.budgetFloorNs, 0);
  return {
    ...options,
    budgetFloorNs,
    budgetCeilingNs: wholeOption("budgetCeilingNs", options.budgetCeilingNs, budgetFloorNs),
    minDeviationNs: wholeOption("minDeviationNs", options.minDeviationNs, 0),
    blendSamples: wholeOption("blendSamples", options.blendSamples, 0),
    halfLifeNs: wholeOption("halfLifeNs", options.halfLifeNs, 1),
    tailSamples: wholeOption("tailSamples", options.tailSamples, 1),
    widening: shareOption("widening", options.widening),
    maxEntries: wholeOption("maxEntries", options.maxEntries, 1),
    maxChains: wholeOption("maxChains", options.maxChains, 1),
    maxPerSite: wholeOption("maxPerSite", options.maxPerSite, 1),
  };
}

function shareOption(option: string, value: number): number {
  if (typeof value === "number" && value >= 0 && value <= 1) return value;
  throw new RuntimeError("OPTION_INVALID", { option, value, max: 1 });
}
