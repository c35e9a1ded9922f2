import { Random } from "@holdfast/core";
import { beats, between, isWithin, lifeOf } from "./beats.ts";
import { NEIGHBOURS, type Pause, PEERS, type Trace } from "./trace.ts";

/** (j) A peer that is silent about as long as it takes to be suspected, over and over. */
export const FLAPPING: Trace = {
  name: "j-flapping",
  title: "flapping at the threshold",
  says: "The peer beats for 30 s, then is silent to everybody for 2 to 40 s (the range in which the rules' thresholds lie), and so on; it is alive, so each suspicion is a mistake.",
  canBeProbed: true,
  peers: PEERS,
  peer(seed, index) {
    const random = Random.fromSeed(`${seed} j ${index}`);
    const life = lifeOf(random);
    const gaps: Pause[] = [];
    for (let at = life.beginsAt; at < life.diedAt; at = (gaps.at(-1) as Pause).to) {
      gaps.push({ from: at + 30e9, to: at + 30e9 + between(random, 2e9, 40e9) });
    }
    return beats(random, life, {
      isLost: (at) => isWithin(gaps, at),
      losesAnswer: (at) => isWithin(gaps, at),
      neighbours: (at) => (isWithin(gaps, at) ? NEIGHBOURS.confirmed : NEIGHBOURS.relayed),
    });
  },
};
