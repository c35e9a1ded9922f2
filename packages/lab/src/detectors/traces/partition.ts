import { Random } from "@holdfast/core";
import { beats, between, isWithin, lifeOf, periodically } from "./beats.ts";
import { NEIGHBOURS, type Pause, type Trace } from "./trace.ts";

const HOUR_NS = 3600 * 1e9;
/** Past every death, so that all peers share one schedule. */
const UNTIL_NS = 10 * HOUR_NS;

/** (i) The observer's own link is cut: all its peers fall silent together, and are well. */
export const PARTITION: Trace = {
  name: "i-partition",
  title: "the observer is cut off",
  says: "Once an hour the observer's link is cut for 5 to 60 s, at the same times for all its peers: nothing arrives, no relay answers, no other member can be heard. The peers are alive, so each suspicion is a mistake.",
  canBeProbed: true,
  peer(seed, index) {
    const schedule = Random.fromSeed(`${seed} i`);
    const cuts: Pause[] = [];
    periodically(schedule, HOUR_NS, UNTIL_NS, (from) => cuts.push({ from, to: from + between(schedule, 5e9, 60e9) }));
    const random = Random.fromSeed(`${seed} i ${index}`);
    return beats(random, lifeOf(random), {
      isLost: (at) => isWithin(cuts, at),
      neighbours: (at) => (isWithin(cuts, at) ? NEIGHBOURS.silent : NEIGHBOURS.relayed),
    });
  },
};
