import { NS_PER_MS, NS_PER_S } from "@holdfast/core";
import { Dice } from "../choice/dice.ts";
import { drawMix, drawWish, effortOf, type Mix, QUIET_MIX, type Wish } from "../workload/request.ts";
import { WINDOW_MAX } from "../world/small-window.ts";
import { drawTroubles, type Trouble, TROUBLES, type TroubleKind } from "./trouble.ts";

const KIB = 1024;

/** What a world is like all along, while there is trouble; the rest of it comes in moments (see Trouble). */
export const CONDITIONS = [
  "seam-crashes", "failing-fsync", "slow-disk", "slow-network", "drift", "slow-work", "failing-work", "repeated-answers", "lossy-links",
  "wrong-clocks", "work-done-twice", "lost-answers", "late-answers",
] as const;
export type Condition = (typeof CONDITIONS)[number];

/** An application asks for something, at a time. */
export interface PlannedRequest extends Wish {
  readonly atNs: number;
}

/** So much may be asked for in one run, in calls; a large fleet gets half. */
const EFFORT_MAX = 80;
const NODES_FEW = 8;

/** Everything that is decided before the world begins. Plain data: it is stored with a failure, and made smaller. */
export interface Plan {
  readonly seed: string;
  readonly nodes: number;
  readonly requests: readonly PlannedRequest[];
  /** How long the trouble lasts, and the requests come. */
  readonly chaosNs: number;
  readonly troubles: readonly Trouble[];
  /** When it turns calm, these machines alone have power at first, and must do without the others; null: all have. */
  readonly core: readonly number[] | null;
  readonly conditions: readonly Condition[];
  /** Configuration wants a link between every two nodes. */
  readonly keepLinks: boolean;
  /** Probability of a crash at each seam, with `seam-crashes`. */
  readonly seamCrashes: number;
  /** Crash once, at the seam of this number. */
  readonly crashAtSeam: number | null;
  /** And once more, so many seams of the same machine later. */
  readonly crashAgainAfter: number | null;
  /** Power cuts happen, too, where a process dies at a seam. */
  readonly seamPowerCuts: boolean;
  /** One way over a link: at least, and on the average beyond that. */
  readonly delayMinNs: number;
  readonly delayMeanNs: number;
  /** Probability that what is written at once is cut somewhere. */
  readonly cuts: number;
  /** What one direction of a link holds, on its way and unread. */
  readonly socketBytes: number;
  /** What a process buffers for one link beyond that, before it gives it up; without a bound once it is calm. */
  readonly linkBufferMax: number;
  /** How likely each is for an envelope, with `lossy-links`. */
  readonly tampering: { readonly lost: number; readonly doubled: number; readonly replayed: number; readonly overtaken: number };
  /** The most envelopes that any peer grants beyond what it acknowledged. */
  readonly windowMax: number;
}

/** Kinds of trouble, all together: what a seed enables (swarm testing: fewer kinds at once reach further). */
export function faultsOf({ conditions, troubles }: Plan): (Condition | TroubleKind)[] {
  return [...conditions, ...new Set(troubles.map(({ kind }) => kind))];
}

/** Decides everything from the seed. With `only`, these kinds of trouble are enabled, and no other fault. */
export function planFromSeed(seed: number, only?: readonly TroubleKind[]): Plan {
  const dice = new Dice({ seed: `plan ${seed}` }, "plan");
  const enabled = dice.pick("enabled", [0.15, 0.35, 0.6, 0.9]);
  // Most faults need few nodes; now and then there are many.
  const nodes = dice.chance("large fleet", 0.05) ? dice.between("nodes", 9, 30) : dice.between("nodes", 3, 8);
  // Dense trouble finds most; pauses and deadlines of a minute need a longer time.
  const isLong = dice.chance("long", 0.3);
  const chaosNs = (isLong ? dice.between("chaos", 20, 90) : dice.between("chaos", 2, 8)) * NS_PER_S;
  const everyNs = dice.pick("trouble every", [300, 1000, 3000]) * NS_PER_MS * (isLong ? 10 : 1);
  const conditions = only === undefined ? CONDITIONS.filter(() => dice.chance("condition", enabled)) : [];
  const kinds = only ?? TROUBLES.filter(() => dice.chance("trouble", enabled));
  const troubles = kinds.flatMap((kind) => drawTroubles(new Dice({ seed: `plan ${seed}` }, kind), kind, { machines: nodes, everyNs, untilNs: chaosNs }));
  return {
    seed: String(seed), nodes, chaosNs, conditions, troubles: troubles.sort((a, b) => a.atNs - b.atNs),
    requests: drawRequests(new Dice({ seed: `plan ${seed}` }, "requests"), { nodes, chaosNs, conditions, count: dice.between("requests", 8, 40), mix: drawMix(new Dice({ seed: `plan ${seed}` }, "mix")) }),
    core: dice.chance("core", 0.3) ? drawCore(dice, nodes) : null,
    keepLinks: dice.chance("keep links", 0.3),
    seamCrashes: dice.pick("seam crashes", [0.001, 0.003, 0.01, 0.02]),
    crashAtSeam: null, crashAgainAfter: null,
    seamPowerCuts: kinds.includes("power-cut"),
    delayMinNs: dice.pick("least delay", [20_000, 200_000, 5_000_000]),
    delayMeanNs: dice.pick("mean delay", [50_000, 1_000_000, 20_000_000]),
    cuts: dice.pick("cuts", [0, 0.01, 0.1, 0.5]),
    socketBytes: dice.pick("socket", [256 * KIB, 4 * KIB, KIB / 2]),
    linkBufferMax: dice.pick("link buffer", [512 * KIB * KIB, KIB, KIB / 8]),
    tampering: {
      lost: dice.between("lost %", 0, 30) / 100, doubled: dice.between("doubled %", 0, 30) / 100,
      replayed: dice.between("replayed %", 0, 50) / 100, overtaken: dice.between("overtaken %", 0, 30) / 100,
    },
    windowMax: dice.pick("window", [WINDOW_MAX, WINDOW_MAX, WINDOW_MAX, 4, 1]),
  };
}

/** Neighbours, since it is those who ask each other. */
function drawCore(dice: Dice, nodes: number): number[] {
  const from = dice.below("core from", nodes);
  return Array.from({ length: dice.between("core size", 2, nodes - 1) }, (_, at) => (from + at) % nodes);
}

function drawRequests(dice: Dice, given: { nodes: number; chaosNs: number; conditions: readonly Condition[]; count: number; mix: Mix }): PlannedRequest[] {
  const { nodes, chaosNs, conditions, count, mix } = given;
  const requests: PlannedRequest[] = [];
  let effort = nodes > NODES_FEW ? EFFORT_MAX / 2 : EFFORT_MAX;
  for (let number = 0; number < count && effort > 0; number++) {
    const wish = drawWish(dice, { id: `r${number}`, nodes, mayFail: conditions.includes("failing-work"), mix });
    effort -= effortOf(wish);
    requests.push({ ...wish, atNs: dice.between("request at", 0, chaosNs) });
  }
  return requests.sort((a, b) => a.atNs - b.atNs);
}

/** A world in which nothing of itself stands in anybody's way. */
export const TAME = {
  core: null, keepLinks: false, seamCrashes: 0, crashAtSeam: null, crashAgainAfter: null, seamPowerCuts: true, delayMinNs: 200_000, delayMeanNs: 1_000_000,
  cuts: 0, socketBytes: 256 * KIB, linkBufferMax: 512 * KIB * KIB, tampering: { lost: 0, doubled: 0, replayed: 0, overtaken: 0 }, windowMax: WINDOW_MAX,
} as const satisfies Partial<Plan>;

/** The same small piece of work without any trouble, for crashing once at every seam. */
export function quietPlan(seed: number, requests = 4): Plan {
  const [nodes, chaosNs] = [3, NS_PER_S];
  return {
    seed: `quiet ${seed}`, nodes, chaosNs, conditions: [], troubles: [], ...TAME,
    requests: drawRequests(new Dice({ seed: `quiet ${seed}` }, "requests"), { nodes, chaosNs, conditions: [], count: requests, mix: QUIET_MIX }),
  };
}
