import { NS_PER_S } from "@holdfast/core";
import { SILENCE_DEFAULTS, type DetectionGoal } from "@holdfast/core/peer";
import { measureAll } from "./measure.ts";
import { Holdfast } from "./rules/holdfast.ts";
import type { Trace } from "./traces/trace.ts";

const HOUR_NS = 3600 * NS_PER_S;
const DAY_NS = 24 * HOUR_NS;
/** A bound on time that never binds. */
const NO_BOUND_NS = 365 * DAY_NS;
/** The cold start: a tail that has seen n arrivals promises no more than 1/n, whatever the goal. */
export const COLD_NS = HOUR_NS;

/** Pairs that one run can have: `down` never comes before `suspect`. */
const PAIRS = [
  { suspect: { name: "10 min", everyNs: HOUR_NS / 6 }, down: { name: "1 h", everyNs: HOUR_NS } },
  { suspect: { name: "1 day", everyNs: DAY_NS }, down: { name: "30 days", everyNs: 30 * DAY_NS } },
] as const;

/** Mistakes of one goal, and how many it allows in that time. */
export interface Count {
  readonly mistakes: number;
  readonly promised: number;
}

/** One goal on one trace. */
export interface Kept {
  /** One mistake in. */
  readonly goal: string;
  /** Is a late peer asked? Without, the mistakes are those of the learned tail alone. */
  readonly asks: boolean;
  /** The first hour of each peer, and all that follows. */
  readonly cold: Count;
  readonly steady: Count;
}

/** Runs ours with goals whose bound on time does not bind, and counts what they keep. */
export function calibrate(trace: Trace, { seed, peers }: { readonly seed: string; readonly peers: number }): Kept[] {
  return [false, true].flatMap((asks) => PAIRS.flatMap((pair) => {
    const goal = ({ everyNs }: { everyNs: number }): DetectionGoal => ({ withinNs: NO_BOUND_NS, mistakeEveryNs: everyNs });
    const detector = { ...SILENCE_DEFAULTS, suspect: goal(pair.suspect), down: goal(pair.down) } as const;
    const mistakes = { suspect: { cold: 0, steady: 0 }, down: { cold: 0, steady: 0 } };
    let steadyNs = 0;
    for (let index = 0; index < peers; index++) {
      const peer = trace.peer(`${seed} calibration`, index);
      const answers = asks ? peer.answers : () => Infinity;
      const coldUntil = peer.beginsAt + COLD_NS;
      steadyNs += Math.max(0, peer.diedAt - coldUntil);
      measureAll(peer, new Holdfast({ answers, others: [] }, { detector }), {
        drainsFirst: true, verdicts: ["suspect", "down"],
        onMistake: (at, verdict = "suspect") => void mistakes[verdict][at < coldUntil ? "cold" : "steady"]++,
      });
    }
    return (["suspect", "down"] as const).map((verdict) => ({
      goal: pair[verdict].name, asks,
      cold: { mistakes: mistakes[verdict].cold, promised: (peers * COLD_NS) / pair[verdict].everyNs },
      steady: { mistakes: mistakes[verdict].steady, promised: steadyNs / pair[verdict].everyNs },
    }));
  }));
}
