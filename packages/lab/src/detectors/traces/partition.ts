import { Random } from "@holdfast/core";
import { beats, between, isWithin, lifeOf, periodically } from "./beats.ts";
import { MORE_OF_OURS, NEIGHBOURS, type Pause, PEERS, type Trace } from "./trace.ts";

const HOUR_NS = 3600 * 1e9;
/** Past every death, so that all peers share one schedule. */
const UNTIL_NS = 10 * HOUR_NS;
/** Peers beside the one that is judged. */
const OTHERS = 3;

/** (i) The observer's own link is cut: all its peers fall silent together, and are well. */
export const PARTITION: Trace = {
  name: "i-partition",
  title: "the observer is cut off",
  says: "Once an hour the observer's link is cut for 5 to 60 s, at the same times for all its peers: nothing arrives, no relay answers, no other member can be heard. The peers are alive, so each suspicion is a mistake. The observer has three more peers.",
  canBeProbed: true,
  peers: PEERS,
  moreOfOurs: MORE_OF_OURS,
  peer(seed, index) {
    const schedule = Random.fromSeed(`${seed} i`);
    const cuts: Pause[] = [];
    periodically(schedule, HOUR_NS, UNTIL_NS, (from) => cuts.push({ from, to: from + between(schedule, 5e9, 60e9) }));
    const random = Random.fromSeed(`${seed} i ${index}`);
    const life = lifeOf(random);
    const isCut = (at: number) => isWithin(cuts, at);
    const others = Array.from({ length: OTHERS }, (_, which) =>
      beats(Random.fromSeed(`${seed} i ${index} ${which}`), { ...life, diedAt: life.diedAt + 120e9 }, { isLost: isCut }).arrivals);
    return beats(random, life, {
      others,
      isLost: isCut,
      losesAnswer: isCut,
      neighbours: (at) => (isCut(at) ? NEIGHBOURS.silent : NEIGHBOURS.relayed),
    });
  },
};
