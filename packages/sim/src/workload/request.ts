import type { Dice } from "../choice/dice.ts";
import { jobValue } from "../world/outside.ts";
import { CHAIN_MAX, ITEMS } from "./flows.ts";

/** One thing that an application asks of its node, again and again until it is told that it is durable. */
export interface Request {
  readonly id: string;
  readonly flow: string;
  readonly fails: boolean;
  /** Who counts it, in order. */
  readonly path: readonly number[];
  /** The jobs of its map, whose values its node adds up, each once. */
  readonly items: readonly string[];
  /** The value it must come to; null for one that must fail. */
  readonly expected: number | null;
  acknowledged: boolean;
  finished: boolean;
}

/** What to ask: `at` counts, and the rest follows from the kind. */
export interface Wish {
  readonly id: string;
  readonly at: number;
  readonly kind: "chain" | "tell" | "spread";
  readonly length: number;
  readonly fails: boolean;
}

const KINDS = ["chain", "chain", "chain", "chain", "chain", "tell", "spread"] as const;

export function drawWish(dice: Dice, { id, nodes, mayFail }: { id: string; nodes: number; mayFail: boolean }): Wish {
  return {
    id, at: dice.below("asked", nodes), kind: dice.pick("kind", KINDS), length: dice.between("length", 1, CHAIN_MAX),
    fails: mayFail && dice.chance("fails", 0.2),
  };
}

export function makeRequest({ id, at, kind, length, fails }: Wish, nodes: number): Request {
  const begun = { id, fails, items: [], acknowledged: false, finished: false };
  switch (kind) {
    case "tell": return { ...begun, flow: `tell-${at}`, path: [at, (at + 1) % nodes], expected: 1 };
    case "spread": return { ...begun, flow: "spread", path: [], items: Array.from({ length: ITEMS }, (_, item) => `${id}/${item}`), expected: ITEMS };
    case "chain": {
      const path = Array.from({ length }, (_, step) => (at + step) % nodes);
      return { ...begun, flow: `chain-${at}-${length}`, path, expected: fails ? null : length + jobValue(id) };
    }
  }
}
