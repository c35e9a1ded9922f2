import { RuntimeError } from "../base/errors.ts";
import { NS_PER_MS, NS_PER_S } from "../base/time.ts";

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
  /** Dials that time out say nothing of peers for so long, if nothing of ours got through to anybody. Default 30 s. */
  readonly isolationMaxNs: number;
  /** Failures in a row until a peer counts as down. Default 5. */
  readonly failureThreshold: number;
  /** φ at which a silent peer is suspect, and down. Defaults 8 and 16. */
  readonly suspectPhi: number;
  readonly downPhi: number;
  /** Samples that a detector keeps. Default 256. */
  readonly detectorWindow: number;
  /** A poll that comes this much later than asked for is our own pause. Default 200 ms. */
  readonly pauseMinNs: number;
  /** How long a finished execution's result is kept. Default 24 h, and never more than `resultsMax`. */
  readonly retentionNs: number;
  readonly resultsMax: number;
  /** Soft state rides on a commit when the last such ride is this old. Default 5 s. */
  readonly softEveryNs: number;
  /** An acknowledgement of a reply may wait this long for something to ride on. Default 10 ms. */
  readonly acknowledgeDelayNs: number;
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
  isolationMaxNs: 30 * NS_PER_S,
  failureThreshold: 5,
  suspectPhi: 8,
  downPhi: 16,
  detectorWindow: 256,
  pauseMinNs: 200 * NS_PER_MS,
  retentionNs: 24 * 3600 * NS_PER_S,
  resultsMax: 10_000,
  softEveryNs: 5 * NS_PER_S,
  acknowledgeDelayNs: 10 * NS_PER_MS,
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
