import { Random } from "@holdfast/core";
import { beats, between, isWithin, lifeOf, periodically } from "./beats.ts";
import { type Pause, PEERS, type Trace } from "./trace.ts";

const HOUR_NS = 3600 * 1e9;

/** (d) The way from the peer to us is cut now and then, ours to it is not. */
export const ONE_WAY: Trace = {
  name: "d-one-way",
  title: "one-way loss",
  says: "Once an hour the way from the peer to the observer is cut for 5 to 60 s; the way to the peer works, and so do those of everybody else. Questions arrive and their answers do not; relays reach both ends and bring the answer, so a rule that asks relays sees a peer that is well. The peer is alive, so each suspicion is a mistake.",
  canBeProbed: true,
  peers: PEERS,
  peer(seed, index) {
    const random = Random.fromSeed(`${seed} d ${index}`);
    const life = lifeOf(random);
    const cuts: Pause[] = [];
    periodically(random, HOUR_NS, life.diedAt, (from) => cuts.push({ from, to: from + between(random, 5e9, 60e9) }));
    return beats(random, life, {
      isLost: (at) => isWithin(cuts, at),
      losesAnswer: (at, _chance, way) => way === "back" && isWithin(cuts, at),
    });
  },
};
