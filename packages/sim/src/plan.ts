import { NS_PER_MS, NS_PER_S } from "@holdfast/core";
import { Dice } from "./world/dice.ts";

/** The kinds of trouble. Each seed enables some of them (swarm testing: fewer kinds at once reach further). */
export const FAULTS = [
  "seam-crashes", "kills", "power-cuts", "failing-fsync", "slow-disk", "partitions", "resets", "slow-network", "pauses",
  "takeovers", "drift", "wall-steps", "slow-work", "failing-work", "repeated-answers", "lossy-links",
] as const;
export type Fault = (typeof FAULTS)[number];

/** Everything that a seed decides before the world begins. */
export interface Plan {
  readonly seed: string;
  readonly nodes: number;
  readonly requests: number;
  /** How long the trouble lasts, and the requests come. */
  readonly chaosNs: number;
  /** Configuration wants a link between every two nodes. */
  readonly keepLinks: boolean;
  readonly faults: ReadonlySet<Fault>;
  /** Probability of a crash at each seam, with `seam-crashes`. */
  readonly seamCrashes: number;
  /** Crash once, at the seam of this number. */
  readonly crashAtSeam: number | null;
  /** Mean time between two of one kind of trouble. */
  readonly troubleEveryNs: number;
  /** One way over a link: at least, and on the average beyond that. */
  readonly delayMinNs: number;
  readonly delayMeanNs: number;
}

/** Decides everything from the seed. */
export function planFromSeed(seed: number): Plan {
  const dice = new Dice(`plan ${seed}`);
  const enabled = dice.pick([0.15, 0.35, 0.6, 0.9]);
  return {
    seed: String(seed),
    nodes: dice.between(3, 8),
    requests: dice.between(8, 40),
    chaosNs: dice.between(2, 8) * NS_PER_S,
    keepLinks: dice.chance(0.3),
    faults: new Set(FAULTS.filter(() => dice.chance(enabled))),
    seamCrashes: dice.pick([0.001, 0.003, 0.01, 0.02]),
    crashAtSeam: null,
    troubleEveryNs: dice.pick([300, 1000, 3000]) * NS_PER_MS,
    delayMinNs: dice.pick([20_000, 200_000, 5_000_000]),
    delayMeanNs: dice.pick([50_000, 1_000_000, 20_000_000]),
  };
}

/** The same small piece of work without any trouble, for crashing once at every seam. */
export function quietPlan(seed: number): Plan {
  return {
    seed: `quiet ${seed}`, nodes: 3, requests: 4, chaosNs: NS_PER_S, keepLinks: false, faults: new Set(["power-cuts"]), seamCrashes: 0, crashAtSeam: null,
    troubleEveryNs: NS_PER_S, delayMinNs: 200_000, delayMeanNs: 1_000_000,
  };
}
