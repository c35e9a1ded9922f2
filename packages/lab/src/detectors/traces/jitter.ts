import { Random } from "@holdfast/core";
import { beats, lifeOf, periodically } from "./beats.ts";
import { MORE_OF_OURS, PEERS, type PeerTrace, type Trace } from "./trace.ts";

const HOUR_NS = 3600 * 1e9;
export const YEAR_NS = 365 * 24 * HOUR_NS;

/** (a) Nothing but the delay. */
export const JITTER: Trace = {
  name: "a-jitter",
  title: "jitter only",
  says: "Every beat arrives. Delay: lognormal, median 40 ms, σ 0.5.",
  canBeProbed: true,
  peers: PEERS,
  moreOfOurs: MORE_OF_OURS,
  peer: (seed, index) => jitter(seed, index, () => []),
};

/** (m) The very beats of (a), on a host whose wall clock is set wrong and right again. */
export const WALL_CLOCK: Trace = {
  name: "m-wall-clock",
  title: "wall clock ± 1 year",
  says: "The beats of (a), the same ones; every two hours the wall clock jumps, forward and back by a year in turn. Rules count monotonic time, so each row has to equal (a)'s; the control, a fixed timeout on the wall clock, shows what it spares them.",
  canBeProbed: true,
  peers: PEERS,
  peer(seed, index) {
    return jitter(seed, index, (until) => {
      const jumps: { at: number; byNs: number }[] = [];
      const random = Random.fromSeed(`${seed} m ${index}`);
      periodically(random, 2 * HOUR_NS, until, (at) => jumps.push({ at, byNs: jumps.length % 2 === 0 ? YEAR_NS : -YEAR_NS }));
      return jumps;
    });
  },
};

function jitter(seed: string, index: number, jumpsUntil: (until: number) => PeerTrace["wallJumps"]): PeerTrace {
  const random = Random.fromSeed(`${seed} a ${index}`);
  const life = lifeOf(random);
  return beats(random, life, { wallJumps: jumpsUntil(life.diedAt) });
}
