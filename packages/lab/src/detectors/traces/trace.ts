import { NS_PER_S } from "@holdfast/core";

/** What the peer's neighbours see in the period of one beat; only rules that ask neighbours read it. */
export const NEIGHBOURS = {
  /** A relay or a second transport brings the answer. */
  relayed: 1,
  /** Another member's own probe of the peer fails too, and the observer hears of it. */
  confirmed: 2,
  /** No relay answers the observer at all. */
  silent: 4,
} as const;

/** The interval at which peers beat, where a trace says nothing else. */
export const PERIOD_NS = NS_PER_S;

/** Peers of a trace at an effort of 1, each of a quarter of a day. */
export const PEERS = 200;
/** Where ours makes no mistake it takes more to say so: with the other seeds, 300 peer-days; 3 / 300 = 0.01. */
export const MORE_OF_OURS = 750;

export interface Pause {
  readonly from: number;
  readonly to: number;
}

/** One peer as its observer meets it. Times are whole ns on the observer's monotonic clock, which never stops. */
export interface PeerTrace {
  /** When beat k reaches the observer, Infinity = never. What arrives, arrives in order. */
  readonly arrivals: Float64Array;
  /** When beat 0 is sent; beat k follows k periods later unless the trace changes the period. */
  readonly beginsAt: number;
  /** When beat k was sent, on the peer's clock. */
  readonly sentAt: Float64Array;
  /** When the answer to a question sent to the peer at this instant arrives, Infinity = never; always the same one. */
  readonly answers: (askedAt: number) => number;
  /** When something arrived from other peers of the same observer, one list each; empty = it has no others. */
  readonly others: readonly Float64Array[];
  /** Bits of `NEIGHBOURS` for each beat. */
  readonly neighbours: Uint8Array;
  /** When the observer does not run, in order; nothing arrives within one. */
  readonly pauses: readonly Pause[];
  /** When the observer's process is stopped and started anew, in order, apart from the pauses; nothing arrives within one. */
  readonly restarts?: readonly Pause[];
  /** When the wall clock jumps, and by how much. */
  readonly wallJumps: readonly Readonly<{ at: number; byNs: number }>[];
  /** When the peer dies. */
  readonly diedAt: number;
}

export interface Trace {
  /** Also the name of its files. */
  readonly name: string;
  readonly title: string;
  /** What happens, with every number. */
  readonly says: string;
  /** False: the peer sets the pace, so a rule that probes has nothing to probe. */
  readonly canBeProbed: boolean;
  /** Peers at an effort of 1; and how many more are run for ours alone, to bound a rate of which nothing was seen. */
  readonly peers: number;
  readonly moreOfOurs?: number;
  peer(seed: string, index: number): PeerTrace;
}
