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
  /** One direction of such a link carries nothing for a while, then everything at once. */
  | { readonly kind: "stall"; readonly machine: number; readonly nth: number; readonly inbound: boolean; readonly forNs: number }
  /** The way of one direction of such a link becomes a narrow one. */
  | { readonly kind: "clog"; readonly machine: number; readonly nth: number; readonly inbound: boolean; readonly bytesPerS: number; readonly forNs: number }
  /** The machine loses its end of such a link, and the other end is not told; mute: not even when it sends. */
  | { readonly kind: "half-open"; readonly machine: number; readonly nth: number; readonly isMute: boolean }
  | { readonly kind: "partition"; readonly shape: "split" | "isolate" | "one-way"; readonly ways: readonly Way[]; readonly forNs: number }
  | { readonly kind: "pause"; readonly machine: number; readonly forNs: number }
  /** The process sleeps, another one claims its store, and it wakes up. */
  | { readonly kind: "takeover"; readonly machine: number; readonly forNs: number }
  | { readonly kind: "wall-step"; readonly machine: number; readonly byMs: number }
  /** A power cut, after which the wall clock is behind. */
  | { readonly kind: "dead-battery"; readonly machine: number; readonly byMs: number }
  /** The monotonic clock stands still. */
  | { readonly kind: "frozen-clock"; readonly machine: number; readonly forNs: number }
  | { readonly kind: "full-disk"; readonly machine: number; readonly forNs: number }
  /** A bit that was durable changes; `kills`: somebody will read it soon. */
  | { readonly kind: "bit-flip"; readonly machine: number; readonly kills: boolean }
  /** The machine goes on with newer programs: asked to stop before, or not. */
  | { readonly kind: "upgrade"; readonly machine: number; readonly stops: boolean }
  /**
   * The operator, or the configuration at the next start, keeps peers out, or lets in only them; they are counted on from the machine.
   * `byRange`: by the range that their address is; `expires`: the operator's block ends by itself, and is not taken back.
   */
  | {
      readonly kind: "policy"; readonly machine: number; readonly source: "operator" | "configuration"; readonly list: "block" | "allow"; readonly peers: readonly number[];
      readonly forNs: number; readonly byRange: boolean; readonly expires: boolean;
    }
  | { readonly kind: "snapshot"; readonly machine: number }
  /** The machine is stopped, and started again from a snapshot of what was durable then. */
  | { readonly kind: "restore"; readonly machine: number }
);
export type TroubleKind = Trouble["kind"];
type Drawn<T> = T extends unknown ? Omit<T, "atNs"> : never;

/** How each kind of trouble is drawn, for a fleet of so many machines. */
const DRAW: { readonly [Kind in TroubleKind]: (dice: Dice, machines: number) => Drawn<Extract<Trouble, { kind: Kind }>> } = {
  "kill": (dice, machines) => ({ kind: "kill", machine: dice.below("machine", machines) }),
  "power-cut": (dice, machines) => ({ kind: "power-cut", machine: dice.below("machine", machines) }),
  "reset": (dice, machines) => ({ kind: "reset", machine: dice.below("machine", machines), nth: dice.below("link", 100) }),
  "stall": (dice, machines) => ({ kind: "stall", ...drawDirection(dice, machines), forNs: dice.exponential("stall", 2 * NS_PER_S) }),
  "clog": (dice, machines) => {
    return { kind: "clog", ...drawDirection(dice, machines), bytesPerS: dice.pick("bytes per second", [10_000, 1000, 100]), forNs: dice.exponential("clog", 3 * NS_PER_S) };
  },
  "half-open": (dice, machines) => ({ kind: "half-open", machine: dice.below("machine", machines), nth: dice.below("link", 100), isMute: dice.chance("mute", 0.5) }),
  "partition": drawPartition,
  "pause": (dice, machines) => {
    const forNs = dice.chance("long pause", 0.2) ? dice.between("pause", NS_PER_S, 60 * NS_PER_S) : dice.between("pause", 10 * NS_PER_MS, NS_PER_S);
    return { kind: "pause", machine: dice.below("machine", machines), forNs };
  },
  "takeover": (dice, machines) => ({ kind: "takeover", machine: dice.below("machine", machines), forNs: dice.between("sleep", 20 * NS_PER_MS, 5 * NS_PER_S) }),
  "wall-step": (dice, machines) => ({ kind: "wall-step", machine: dice.below("machine", machines), byMs: dice.between("step", -HOUR_MS, HOUR_MS) }),
  "dead-battery": (dice, machines) => ({ kind: "dead-battery", machine: dice.below("machine", machines), byMs: dice.between("back by", 1, HOUR_MS) }),
  "frozen-clock": (dice, machines) => ({ kind: "frozen-clock", machine: dice.below("machine", machines), forNs: dice.between("frozen", 10 * NS_PER_MS, 10 * NS_PER_S) }),
  "full-disk": (dice, machines) => ({ kind: "full-disk", machine: dice.below("machine", machines), forNs: dice.exponential("full", NS_PER_S) }),
  "bit-flip": (dice, machines) => ({ kind: "bit-flip", machine: dice.below("machine", machines), kills: dice.chance("read soon", 0.5) }),
  "upgrade": (dice, machines) => ({ kind: "upgrade", machine: dice.below("machine", machines), stops: dice.chance("stops", 0.3) }),
  "policy": (dice, machines) => ({
    kind: "policy", machine: dice.below("machine", machines), source: dice.chance("configured", 0.2) ? "configuration" : "operator", list: dice.chance("allowlist", 0.25) ? "allow" : "block",
    peers: Array.from({ length: machines - 1 }, (_, at) => at + 1).filter(() => dice.chance("listed", 0.4)), forNs: dice.exponential("policy", NS_PER_S),
    byRange: dice.chance("by range", 0.3), expires: dice.chance("expires", 0.4),
  }),
  "snapshot": (dice, machines) => ({ kind: "snapshot", machine: dice.below("machine", machines) }),
  "restore": (dice, machines) => ({ kind: "restore", machine: dice.below("machine", machines) }),
};
export const TROUBLES = Object.keys(DRAW) as readonly TroubleKind[];

function drawDirection(dice: Dice, machines: number): { machine: number; nth: number; inbound: boolean } {
  return { machine: dice.below("machine", machines), nth: dice.below("link", 100), inbound: dice.chance("inbound", 0.5) };
}

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
