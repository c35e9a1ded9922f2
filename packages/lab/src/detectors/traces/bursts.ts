import { Random } from "@holdfast/core";
import { beats, isWithin, lifeOf } from "./beats.ts";
import { lossyNeighbours } from "./loss.ts";
import { type Pause, PEERS, PERIOD_NS, type Trace } from "./trace.ts";

/** Gilbert (1960): a burst begins after a beat with probability 1/2000 and loses 6 beats on average; else 0.5 % is lost. */
const BEGINS = 1 / 2000;
const ENDS = 1 / 6;
const LOSS = 0.005;

/** (c) Losses come together. */
export const BURSTS: Trace = {
  name: "c-bursts",
  title: "Gilbert bursts",
  says: "A burst begins with probability 1/2000 a beat and loses 6 beats on average; outside, 0.5 % is lost. The burst is the link's: in it relays reach the peer, and other members do.",
  canBeProbed: true,
  peers: PEERS,
  peer(seed, index) {
    const random = Random.fromSeed(`${seed} c ${index}`);
    const neighbourhood = Random.fromSeed(`${seed} c neighbours ${index}`);
    const bursts: Pause[] = [];
    let inBurst = false;
    return beats(random, lifeOf(random), {
      isLost(at) {
        const wasInBurst = inBurst;
        inBurst = random.nextFraction() < (inBurst ? 1 - ENDS : BEGINS);
        if (inBurst) bursts.push({ from: wasInBurst ? (bursts.pop() as Pause).from : at, to: at + PERIOD_NS });
        return inBurst || random.nextFraction() < LOSS;
      },
      losesAnswer: (at, chance) => isWithin(bursts, at) || chance.nextFraction() < LOSS,
      neighbours: () => lossyNeighbours(neighbourhood, LOSS),
    });
  },
};
