import { Random } from "@holdfast/core";
import { beats, between, isWithin, lifeOf, periodically } from "./beats.ts";
import { PEERS, type Pause, type Trace } from "./trace.ts";

const HOUR_NS = 3600 * 1e9;
const YEAR_NS = 365 * 86_400 * 1e9;

/** (m) The observer is started anew, the last time while the peer lies dead. */
export const RESTARTS: Trace = {
  name: "m-restart",
  title: "the observer restarts in mid-outage",
  says: "The observer is stopped once an hour for 1 to 30 s and started anew, the last time 0.2 to 10 s after the death; with each start the wall clock is a year off, forward and back in turn. What arrives meanwhile is lost. Ours restores its watch from what it stored; the system of none of the others stores its intervals, so they begin with nothing, and of a peer that they do not hear again they never know. Two are helped by what surrounds them: Cassandra stores who there is, and holds them for down until it hears them; to SWIM the other members tell, on joining, what they know.",
  canBeProbed: true,
  peers: PEERS,
  peer(seed, index) {
    const random = Random.fromSeed(`${seed} m restart ${index}`);
    const life = lifeOf(random);
    const restarts: Pause[] = [];
    periodically(random, HOUR_NS, life.diedAt - HOUR_NS / 2, (from) => restarts.push({ from, to: from + between(random, 1e9, 30e9) }));
    const last = life.diedAt + between(random, 0.2e9, 10e9);
    restarts.push({ from: last, to: last + between(random, 1e9, 30e9) });
    return beats(random, life, {
      restarts,
      deliversAt: (arrival) => (isWithin(restarts, arrival) ? Infinity : arrival),
      wallJumps: restarts.map(({ to }, place) => ({ at: to, byNs: place % 2 === 0 ? YEAR_NS : -YEAR_NS })),
    });
  },
};
