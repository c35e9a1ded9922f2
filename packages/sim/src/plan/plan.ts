import { NS_PER_MS, NS_PER_S } from "@holdfast/core";
import { Dice } from "../choice/dice.ts";
import { drawWish, type Wish } from "../workload/request.ts";
import { drawTroubles, type Trouble, TROUBLES, type TroubleKind } from "./trouble.ts";

/** What a world is like all along, while there is trouble; the rest of it comes in moments (see Trouble). */
export const CONDITIONS = [
  "seam-crashes", "failing-fsync", "slow-disk", "slow-network", "drift", "slow-work", "failing-work", "repeated-answers", "lossy-links",
] as const;
export type Condition = (typeof CONDITIONS)[number];

/** An application asks for something, at a time. */
export interface PlannedRequest extends Wish {
  readonly atNs: number;
}

/** Everything that is decided before the world begins. Plain data: it is stored with a failure, and made smaller. */
export interface Plan {
  readonly seed: string;
  readonly nodes: number;
  readonly requests: readonly PlannedRequest[];
  /** How long the trouble lasts, and the requests come. */
  readonly chaosNs: number;
  readonly troubles: readonly Trouble[];
  readonly conditions: readonly Condition[];
  /** Configuration wants a link between every two nodes. */
  readonly keepLinks: boolean;
  /** Probability of a crash at each seam, with `seam-crashes`. */
  readonly seamCrashes: number;
  /** Crash once, at the seam of this number. */
  readonly crashAtSeam: number | null;
  /** Power cuts happen, too, where a process dies at a seam. */
  readonly seamPowerCuts: boolean;
  /** One way over a link: at least, and on the average beyond that. */
  readonly delayMinNs: number;
  readonly delayMeanNs: number;
}

/** Kinds of trouble, all together: what a seed enables (swarm testing: fewer kinds at once reach further). */
export function faultsOf({ conditions, troubles }: Plan): (Condition | TroubleKind)[] {
  return [...conditions, ...new Set(troubles.map(({ kind }) => kind))];
}

/** Decides everything from the seed. */
export function planFromSeed(seed: number): Plan {
  const dice = new Dice({ seed: `plan ${seed}` }, "plan");
  const enabled = dice.pick("enabled", [0.15, 0.35, 0.6, 0.9]);
  // Most faults need few nodes; now and then there are many.
  const nodes = dice.chance("large fleet", 0.05) ? dice.between("nodes", 9, 30) : dice.between("nodes", 3, 8);
  const chaosNs = dice.between("chaos", 2, 8) * NS_PER_S;
  const everyNs = dice.pick("trouble every", [300, 1000, 3000]) * NS_PER_MS;
  const conditions = CONDITIONS.filter(() => dice.chance("condition", enabled));
  const kinds = TROUBLES.filter(() => dice.chance("trouble", enabled));
  const troubles = kinds.flatMap((kind) => drawTroubles(new Dice({ seed: `plan ${seed}` }, kind), kind, { machines: nodes, everyNs, untilNs: chaosNs }));
  return {
    seed: String(seed), nodes, chaosNs, conditions, troubles: troubles.sort((a, b) => a.atNs - b.atNs),
    requests: drawRequests(new Dice({ seed: `plan ${seed}` }, "requests"), { nodes, chaosNs, conditions, count: dice.between("requests", 8, 40) }),
    keepLinks: dice.chance("keep links", 0.3),
    seamCrashes: dice.pick("seam crashes", [0.001, 0.003, 0.01, 0.02]),
    crashAtSeam: null,
    seamPowerCuts: kinds.includes("power-cut"),
    delayMinNs: dice.pick("least delay", [20_000, 200_000, 5_000_000]),
    delayMeanNs: dice.pick("mean delay", [50_000, 1_000_000, 20_000_000]),
  };
}

function drawRequests(dice: Dice, given: { nodes: number; chaosNs: number; conditions: readonly Condition[]; count: number }): PlannedRequest[] {
  return Array.from({ length: given.count }, (_, number) => {
    const wish = drawWish(dice, { id: `r${number}`, nodes: given.nodes, mayFail: given.conditions.includes("failing-work") });
    return { ...wish, atNs: dice.between("request at", 0, given.chaosNs) };
  }).sort((a, b) => a.atNs - b.atNs);
}

/** The same small piece of work without any trouble, for crashing once at every seam. */
export function quietPlan(seed: number, requests = 4): Plan {
  const [nodes, chaosNs] = [3, NS_PER_S];
  return {
    seed: `quiet ${seed}`, nodes, chaosNs, conditions: [], troubles: [], keepLinks: false, seamCrashes: 0, crashAtSeam: null, seamPowerCuts: true,
    requests: drawRequests(new Dice({ seed: `quiet ${seed}` }, "requests"), { nodes, chaosNs, conditions: [], count: requests }),
    delayMinNs: 200_000, delayMeanNs: 1_000_000,
  };
}
