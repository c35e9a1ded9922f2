import type { Clock } from "./clock.ts";
import { aCount, aDuration, aShare, aText, checkOptions, either, having, texts, withDefaults } from "./option-check.ts";
import type { Rules } from "./option-check.ts";
import { systemClock } from "./clock.ts";
import type { StateStore } from "./state/state-store.ts";

export interface PeersOptions {
  /** Where peers are remembered: a path (`*.json` is a plain file, anything else a SQLite database), or a store. Default: nowhere. */
  readonly state?: string | StateStore;
  /** Failures in a row that make a peer down. Default 5. */
  readonly failureThreshold?: number;
  /** How long a peer that is down is left alone at first, in ms; doubles with each failed probe, with jitter. Default 100 ms. */
  readonly cooldownBaseMs?: number;
  /** The longest cooldown, in ms, also of what a peer advises (on top comes jitter of up to half of it). Default 60 s. */
  readonly cooldownMaxMs?: number;
  /** The longest that advice upon advice keeps us away, in ms. Default 300 s. */
  readonly adviceTotalMaxMs?: number;
  /** Probes at a time to a peer that was down; one more with each success. Default 1. */
  readonly probesMax?: number;
  /** How long a probe's place is kept for it without an outcome, in ms. Default 5 s. */
  readonly probeLeaseMs?: number;
  /** The deadline where nothing is learned, in ms. Default 10 s. */
  readonly deadlineInitialMs?: number;
  /** The least learned deadline, in ms. Default 250 ms. */
  readonly deadlineFloorMs?: number;
  /** The largest learned deadline, in ms. Default 60 s. */
  readonly deadlineCeilingMs?: number;
  /** What one success earns of a further attempt. Default 0.1. */
  readonly retryShare?: number;
  /** Further attempts that need not be earned; one comes back every 2 s. Default 10. */
  readonly retryReserve?: number;
  /** Peers held. At the bound those that were asked longest ago and are well go first. Default 10 000. */
  readonly peersMax?: number;
  /** Sites of one peer; what is beyond shares one. Default 64. */
  readonly sitesMax?: number;
  /** Peers that are denied. */
  readonly block?: readonly string[];
  /** The only peers that are admitted. Default: everybody. */
  readonly allowOnly?: readonly string[];
  /** Time and chance. Default: the machine's own. */
  readonly clock?: Clock;
}

/** All of them, as they are used; optional ones have no default. */
export type CheckedPeersOptions = Required<Omit<PeersOptions, "state" | "allowOnly">> & Pick<PeersOptions, "state" | "allowOnly">;

/** What a peer is given where nothing else is said. */
export const PEERS_DEFAULTS: CheckedPeersOptions = Object.freeze({
  failureThreshold: 5, cooldownBaseMs: 100, cooldownMaxMs: 60_000, adviceTotalMaxMs: 300_000, probesMax: 1, probeLeaseMs: 5000,
  deadlineInitialMs: 10_000, deadlineFloorMs: 250, deadlineCeilingMs: 60_000, retryShare: 0.1, retryReserve: 10,
  peersMax: 10_000, sitesMax: 64, block: Object.freeze([]), clock: systemClock,
});

const RULES: Rules<Required<PeersOptions>> = {
  state: either(aText, having("read", "exchange", "close")),
  failureThreshold: aCount(1, 1_000_000), cooldownBaseMs: aDuration, cooldownMaxMs: aDuration, adviceTotalMaxMs: aDuration,
  probesMax: aCount(1, 1000), probeLeaseMs: aDuration,
  deadlineInitialMs: aDuration, deadlineFloorMs: aDuration, deadlineCeilingMs: aDuration,
  retryShare: aShare, retryReserve: aCount(0, 1_000_000), peersMax: aCount(1, 1_000_000), sitesMax: aCount(1, 10_000),
  block: texts, allowOnly: texts, clock: having("nowMs", "wallMs", "setTimer", "clearTimer", "random"),
};

/** Fills defaults and checks once. Throws OPTION_INVALID. */
export function peersOptions(given: PeersOptions): CheckedPeersOptions {
  checkOptions("openPeers", given as Required<PeersOptions>, RULES);
  return withDefaults(PEERS_DEFAULTS, given as CheckedPeersOptions);
}
