import { NS_PER_MS, NS_PER_S } from "@holdfast/core";
import type { Dice } from "../choice/dice.ts";

const HOUR_MS = 3_600_000;

/** One direction between two machines, by their numbers. */
export type Way = readonly [from: number, to: number];

/** Something that happens to the fleet at one moment. Times are ns since the world began, spans ns. */
export type Trouble = { readonly atNs: number } & (
  | { readonly kind: "kill"; readonly machine: number }
  | { readonly kind: "power-cut"; readonly machine: number }
  /** One of the machine's links: the `nth`, counted round. */
  | { readonly kind: "reset"; readonly machine: number; readonly nth: number }
  | { readonly kind: "partition"; readonly shape: "split" | "isolate" | "one-way"; readonly ways: readonly Way[]; readonly forNs: number }
  | { readonly kind: "pause"; readonly machine: number; readonly forNs: number }
  /** The process sleeps, another one claims its store, and it wakes up. */
  | { readonly kind: "takeover"; readonly machine: number; readonly forNs: number }
  | { readonly kind: "wall-step"; readonly machine: number; readonly byMs: number }
);
export type TroubleKind = Trouble["kind"];
type Drawn<T> = T extends unknown ? Omit<T, "atNs"> : never;

/** How each kind of trouble is drawn, for a fleet of so many machines. */
const DRAW: { readonly [Kind in TroubleKind]: (dice: Dice, machines: number) => Drawn<Extract<Trouble, { kind: Kind }>> } = {
  "kill": (dice, machines) => ({ kind: "kill", machine: dice.below("machine", machines) }),
  "power-cut": (dice, machines) => ({ kind: "power-cut", machine: dice.below("machine", machines) }),
  "reset": (dice, machines) => ({ kind: "reset", machine: dice.below("machine", machines), nth: dice.below("link", 100) }),
  "partition": drawPartition,
  "pause": (dice, machines) => {
    const forNs = dice.chance("long pause", 0.2) ? dice.between("pause", NS_PER_S, 60 * NS_PER_S) : dice.between("pause", 10 * NS_PER_MS, NS_PER_S);
    return { kind: "pause", machine: dice.below("machine", machines), forNs };
  },
  "takeover": (dice, machines) => ({ kind: "takeover", machine: dice.below("machine", machines), forNs: dice.between("sleep", 20 * NS_PER_MS, 5 * NS_PER_S) }),
  "wall-step": (dice, machines) => ({ kind: "wall-step", machine: dice.below("machine", machines), byMs: dice.between("step", -HOUR_MS, HOUR_MS) }),
};
export const TROUBLES = Object.keys(DRAW) as readonly TroubleKind[];

/** Splits the machines in two, or cuts one off, or takes away one direction between one and some others. */
function drawPartition(dice: Dice, machines: number): Drawn<Extract<Trouble, { kind: "partition" }>> {
  const shape = dice.pick("shape", ["split", "isolate", "one-way"] as const);
  const one = dice.below("machine", machines);
  const side = Array.from({ length: machines }, () => dice.chance("side", 0.5));
  const ways: Way[] = [];
  for (let from = 0; from < machines; from++) {
    for (let to = 0; to < machines; to++) {
      if (from === to) continue;
      const isCut = shape === "split" ? side[from] !== side[to] : shape === "isolate" ? from === one || to === one : from === one && side[to] === true;
      if (isCut) ways.push([from, to]);
    }
  }
  return { kind: "partition", shape, ways, forNs: dice.exponential("partition", 2 * NS_PER_S) };
}

/** Draws the moments of one kind of trouble, on the average so far apart, until that time. */
export function drawTroubles(dice: Dice, kind: TroubleKind, given: { machines: number; everyNs: number; untilNs: number }): Trouble[] {
  const troubles: Trouble[] = [];
  for (let atNs = dice.exponential(`${kind} after`, given.everyNs); atNs < given.untilNs; atNs += dice.exponential(`${kind} after`, given.everyNs)) {
    troubles.push({ atNs, ...DRAW[kind](dice, given.machines) } as Trouble);
  }
  return troubles;
}
