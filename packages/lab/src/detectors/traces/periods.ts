import { Random } from "@holdfast/core";
import { beats, lifeOf } from "./beats.ts";
import { PEERS, type Trace } from "./trace.ts";

const PHASE_NS = 1200e9;

/** (g) The peer beats more slowly for a while. */
export const PERIODS: Trace = {
  name: "g-periods",
  title: "beat period 1 → 5 → 1 s",
  says: "The peer beats every second for 20 min, every 5 s for 20 min, and so on; nobody tells the observer, and the peer answers no questions.",
  canBeProbed: false,
  peers: PEERS,
  peer(seed, index) {
    const random = Random.fromSeed(`${seed} g ${index}`);
    return beats(random, lifeOf(random), { losesAnswer: () => true, periodNs: (at) => (Math.floor(at / PHASE_NS) % 2 === 0 ? 1e9 : 5e9) });
  },
};
