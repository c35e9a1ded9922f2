import { RuntimeError } from "../base/errors.ts";
import { NS_PER_MS, NS_PER_S } from "../base/time.ts";
import { BRAKE_DEFAULTS } from "../peer/detection/isolation-brake.ts";
import { SILENCE_DEFAULTS } from "../peer/detection/silence-detector.ts";

/** Durations are whole ns. Every field has a default; the host converts people's milliseconds. */
export interface EngineOptions {
  /** Silence on our side of a link before a heartbeat goes out. Default 1 s. */
  readonly heartbeatNs: number;
  /** What one hop may take when nothing is known. Default 100 ms (design: perHopBudgetMs). */
  readonly perHopBudgetNs: number;
  /** Bounds of a learned budget. Defaults 20 ms and 60 s. */
  readonly budgetFloorNs: number;
  readonly budgetCeilingNs: number;
  /** Redials of a peer for which work is pending are at most this far apart. Default 5 s. */
  readonly redialMaxNs: number;
  /** First and longest cooldown of a failing peer. Defaults 10 ms and 60 s. */
  readonly backoffBaseNs: number;
  readonly backoffMaxNs: number;
  /** How cooldowns are spread: `none`, `full`, `equal` or `decorrelated` (BackoffOptions). Default `equal`. */
  readonly backoffJitter: "none" | "full" | "equal" | "decorrelated";
  /** By how much of itself advice is lengthened at most; above 0. Default 0.5. */
  readonly adviceSpread: number;
  /** How long advice upon advice may keep us away while nothing is sent. Default 300 s. */
  readonly adviceTotalMaxNs: number;
  /** Sends that go out at a time to a peer that failed, one more with each success, from `probesOpenAt` on without limit. Defaults 1 and 64. */
  readonly probesMax: number;
  readonly probesOpenAt: number;
  /** How long a probe may go without an outcome before another may go out. Default 5 s. */
  readonly probeLeaseNs: number;
  /** Of retries, hedges and probes, for each peer and for the node: what a success earns, and what is there without. Defaults 0.1 and 10. */
  readonly retryShare: number;
  readonly retryReserve: number;
  /** Failures in a row until a peer counts as down. Default 5. */
  readonly failureThreshold: number;
  /** Silence at which a peer is suspect at the latest, and how rarely that may be a mistake. Defaults 5.5 s, one day. */
  readonly suspectWithinNs: number;
  readonly suspectMistakeEveryNs: number;
  /** The same for `down`, which ends the link. Defaults 30 s, thirty days. */
  readonly downWithinNs: number;
  readonly downMistakeEveryNs: number;
  /** Arrivals until an old one counts for 1/e to a detector. Default 16384. */
  readonly detectorMemory: number;
  /** When most peers fall silent together, or nobody we dial answers, it is we who are cut off: verdicts wait, and failures do not count, for at most this long. Default 60 s. */
  readonly isolationHoldNs: number;
  /** A poll that comes this much later than asked for is our own pause. Default 200 ms. */
  readonly pauseMinNs: number;
  /** How long a finished execution's result is kept. Default 24 h, and never more than `resultsMax`. */
  readonly retentionNs: number;
  readonly resultsMax: number;
  /** Soft state rides on a commit when the last such ride is this old. Default 5 s. */
  readonly softEveryNs: number;
  /** An acknowledgement of a reply may wait this long for something to ride on. Default 10 ms. */
  readonly acknowledgeDelayNs: number;
  /** Of a group's peers ask the one that answers sooner, by peak-EWMA and what is in flight; false: who has least in flight. Default true. */
  readonly selectByLatency: boolean;
  /** How long a slow answer is remembered there: to 37 %. Default 10 s. */
  readonly latencyMemoryNs: number;
  /** Ask peers last, for a bounded time, that fail or are slow far more often than their group. Default true. */
  readonly setAside: boolean;
  /** For how long the first time; each repetition doubles it, to 5 min at most. Default 10 s. */
  readonly setAsideNs: number;
  /** Ask a second peer of the group where a repeatable flow is not answered within the learned budget. Default true. */
  readonly hedging: boolean;
  /** Start although programs in flight miss definitions; their executions stay parked, visibly. Default false. */
  readonly parkMissing: boolean;
}

export const ENGINE_DEFAULTS: EngineOptions = {
  heartbeatNs: NS_PER_S,
  perHopBudgetNs: 100 * NS_PER_MS,
  budgetFloorNs: 20 * NS_PER_MS,
  budgetCeilingNs: 60 * NS_PER_S,
  redialMaxNs: 5 * NS_PER_S,
  backoffBaseNs: 10 * NS_PER_MS,
  backoffMaxNs: 60 * NS_PER_S,
  backoffJitter: "equal",
  adviceSpread: 0.5,
  adviceTotalMaxNs: 300 * NS_PER_S,
  probesMax: 1,
  probesOpenAt: 64,
  probeLeaseNs: 5 * NS_PER_S,
  retryShare: 0.1,
  retryReserve: 10,
  failureThreshold: 5,
  suspectWithinNs: SILENCE_DEFAULTS.suspect.withinNs,
  suspectMistakeEveryNs: SILENCE_DEFAULTS.suspect.mistakeEveryNs,
  downWithinNs: SILENCE_DEFAULTS.down.withinNs,
  downMistakeEveryNs: SILENCE_DEFAULTS.down.mistakeEveryNs,
  detectorMemory: SILENCE_DEFAULTS.memory,
  isolationHoldNs: BRAKE_DEFAULTS.holdNs,
  pauseMinNs: 200 * NS_PER_MS,
  retentionNs: 24 * 3600 * NS_PER_S,
  resultsMax: 10_000,
  softEveryNs: 5 * NS_PER_S,
  acknowledgeDelayNs: 10 * NS_PER_MS,
  selectByLatency: true,
  latencyMemoryNs: 10 * NS_PER_S,
  setAside: true,
  setAsideNs: 10 * NS_PER_S,
  hedging: true,
  parkMissing: false,
};

/** Fills defaults and checks once, so the engine never sees a bad value. Throws OPTION_INVALID. */
export function engineOptions(given: Partial<EngineOptions> = {}): EngineOptions {
  for (const [name, value] of Object.entries(given)) {
    const usual = ENGINE_DEFAULTS[name as keyof EngineOptions];
    if (usual === undefined) throw new RuntimeError("OPTION_INVALID", { option: name, reason: "unknown" });
    if (typeof value !== typeof usual) throw new RuntimeError("OPTION_INVALID", { option: name, expected: typeof usual });
    if (typeof value === "number" && !(value > 0)) throw new RuntimeError("OPTION_INVALID", { option: name, expected: "above 0" });
    if (name.endsWith("Ns") && !Number.isInteger(value)) throw new RuntimeError("OPTION_INVALID", { option: name, expected: "whole ns" });
  }
  return { ...ENGINE_DEFAULTS, ...given };
}
