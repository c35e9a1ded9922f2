import { RetryBudget } from "@holdfast/core/peer";
import type { RetryBudgetOptions } from "@holdfast/core/peer";

/** Who was asked for what: the unit in which round trips are learned. */
export interface Site {
  /** Within its peer; empty where nobody said. */
  readonly name: string;
  /** Among all peers. */
  readonly id: string;
}

/** The name of the site that all share which are beyond the bound. */
export const OTHER_SITES = "*";
/** No peer's key contains it, or two sites could have one id. */
const SEPARATOR = "\n";

/**
 * What is held of one peer beside the tables of the peer components: those hold peers in trouble alone, so that one which
 * is well costs a look at this record.
 */
export class PeerRecord {
  readonly key: string;
  readonly budget: RetryBudget;
  readonly sites = new Map<string, Site>();
  /** Has the peer failures, advice, a cooldown or probes under way? Otherwise nothing needs to be asked. */
  isTroubled = false;
  /** Rises when the peer is given up: what was sent before says nothing new by failing. */
  epoch = 0;
  /** Overload in a row without a word about when to come back. */
  overloads = 0;
  /** Did the body of an answer break off last? Then headers alone prove nothing. */
  bodiesBreak = false;
  /** Attempts under way. */
  inFlight = 0;
  /** When somebody last asked for it, and when there was last evidence of up or down; ns, 0 = never. */
  usedAt = 0;
  evidenceAt = 0;
  /** When somebody last blocked or unblocked it, in wall ms, 0 = never: processes that share a state go by the last word. */
  policyMs = 0;
  /** What is not yet written: `hard` as soon as may be, `soft` when there is time. */
  unwritten: "nothing" | "soft" | "hard" = "nothing";
  /** When it was last written, in ns. */
  writtenAt = 0;

  constructor(key: string, budget: Partial<RetryBudgetOptions>) {
    this.key = key;
    this.budget = new RetryBudget(budget);
  }

  /** The site of this name; the one that all share where there are too many. */
  site(name: string, sitesMax: number): Site {
    const known = this.sites.get(name);
    if (known !== undefined) return known;
    if (this.sites.size >= sitesMax && name !== OTHER_SITES) return this.site(OTHER_SITES, sitesMax);
    const site = { name, id: `${this.key}${SEPARATOR}${name}` };
    this.sites.set(name, site);
    return site;
  }
}
