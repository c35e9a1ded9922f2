import { NS_PER_MS, NS_PER_S } from "@holdfast/core";
import type { Dice } from "../choice/dice.ts";
import { CHAIN_MAX } from "./chain.ts";
import { ITEMS } from "./spread.ts";
import { BATCHES, batchName } from "./text-index.ts";

/** What can be asked for; each kind is a file here. */
export const KINDS = ["chain", "tell", "spread", "hurried", "hasty", "index", "approval", "approval-soon"] as const;
export type Kind = (typeof KINDS)[number];

/** What to ask: `at` counts, and the rest follows from the kind. Times are ns. */
export interface Wish {
  readonly id: string;
  readonly at: number;
  readonly kind: Kind;
  readonly length: number;
  readonly fails: boolean;
  /** The application's own deadline. Left out: none. */
  readonly deadlineNs?: number;
  /** The application gives it up so long after it asked. Left out: never. */
  readonly cancelAfterNs?: number;
  /** For approvals: the application approves so long after it asked. */
  readonly approveAfterNs?: number;
}

/** What a seed asks for: a few kinds, or all, with more or fewer deadlines and cancellations. */
export interface Mix {
  readonly kinds: readonly Kind[];
  readonly deadlines: number;
  readonly cancels: number;
}

/** The kinds of a mixed seed: most requests are chains. */
const USUAL: readonly Kind[] = ["chain", "chain", "chain", "chain", "chain", "tell", "spread", "hurried", "hasty", "index", "approval", "approval-soon"];
export const QUIET_MIX: Mix = { kinds: ["chain", "chain", "chain", "tell", "spread", "approval", "index"], deadlines: 0, cancels: 0 };

/** Fewer kinds at once reach further (swarm testing). */
export function drawMix(dice: Dice): Mix {
  const few = dice.chance("few kinds", 0.3);
  return {
    kinds: few ? Array.from({ length: dice.between("kinds", 1, 3) }, () => dice.pick("kind", KINDS)) : USUAL,
    deadlines: dice.pick("deadlines", [0, 0.2, 0.8]), cancels: dice.pick("cancels", [0, 0.15, 0.5]),
  };
}

export function drawWish(dice: Dice, given: { id: string; nodes: number; mayFail: boolean; mix: Mix }): Wish {
  const { id, nodes, mayFail, mix } = given;
  const kind = dice.pick("kind", mix.kinds);
  return {
    id, at: dice.below("asked", nodes), kind, length: dice.between("length", 1, CHAIN_MAX), fails: mayFail && dice.chance("fails", 0.2),
    ...(dice.chance("deadline", mix.deadlines) ? { deadlineNs: drawDeadline(dice) } : {}),
    ...(dice.chance("cancel", mix.cancels) ? { cancelAfterNs: dice.exponential("cancel after", dice.pick("cancel", [20, 500]) * NS_PER_MS) } : {}),
    ...(kind.startsWith("approval") ? { approveAfterNs: dice.exponential("approve after", NS_PER_S) } : {}),
  };
}

/** From 20 s down to nothing at all. */
function drawDeadline(dice: Dice): number {
  if (dice.chance("long deadline", 0.3)) return dice.between("deadline", NS_PER_S, 20 * NS_PER_S);
  return dice.chance("no time", 0.15) ? 0 : dice.between("deadline", 100 * NS_PER_MS, NS_PER_S);
}

/** What a request of that kind costs to simulate, beside one call. */
export function effortOf({ kind, length }: Wish): number {
  return kind === "spread" ? ITEMS : kind === "index" ? BATCHES + 2 : kind === "chain" ? length : 1;
}

/** One thing that an application asks of its node, and how far it has come with it. */
export interface Request extends Wish {
  readonly flow: string;
  /** Who counts it, in order. */
  readonly path: readonly number[];
  /** Pieces of outside work, each done if it ends well. */
  readonly items: readonly string[];
  /** When it was first asked for, ns. */
  askedAtNs: number;
  acknowledged: boolean;
  finished: boolean;
  finishedAtNs: number;
  /** `wanted`: the application has given it up. `asked`: it has said so. `won`: it was told that this is durable. `late`: it had ended. */
  cancel: "no" | "wanted" | "asked" | "won" | "late";
  approve: "no" | "wanted" | "asked" | "taken" | "late";
  /** Policy stood, at some time, between two nodes that it needs. */
  isCut: boolean;
}

export function makeRequest(wish: Wish, nodes: number): Request {
  const { id, at, kind, length } = wish;
  const [next, begun] = [(at + 1) % nodes, { ...wish, askedAtNs: 0, acknowledged: false, finished: false, finishedAtNs: 0, cancel: "no", approve: "no", isCut: false } as const];
  switch (kind) {
    case "tell": case "hurried": return { ...begun, flow: `${kind}-${at}`, path: [at, next], items: [id] };
    case "hasty": return { ...begun, flow: kind, path: [at], items: [id] };
    case "approval": case "approval-soon": return { ...begun, flow: kind, path: [at], items: [] };
    case "spread": return { ...begun, flow: kind, path: [], items: Array.from({ length: ITEMS }, (_, item) => `${id}/${item}`) };
    case "index": return { ...begun, flow: kind, path: [], items: [id, ...Array.from({ length: BATCHES }, (_, number) => batchName(id, number))] };
    case "chain": return { ...begun, flow: `chain-${at}-${length}`, path: Array.from({ length }, (_, step) => (at + step) % nodes), items: [id] };
  }
}
