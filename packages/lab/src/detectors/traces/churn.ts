import { Random } from "@holdfast/core";
import { beats, between } from "./beats.ts";
import { lossyNeighbours } from "./loss.ts";
import { PERIOD_NS, type Trace } from "./trace.ts";

/** Beats that a peer sends in its life, at most. */
const BEATS_MAX = 20;
const LOSS = 0.05;

/** (n) Peers that come and go: each is new to its observer, and dies soon. */
export const CHURN: Trace = {
  name: "n-churn",
  title: "100 000 young peers",
  says: `100 000 peers, each of which dies after 1 to ${BEATS_MAX} beats. The first arrives, of the others ${100 * LOSS} % are lost. So every rule judges with what it assumes of somebody of whom it knows little.`,
  canBeProbed: true,
  peers: 100_000,
  peer(seed, index) {
    const random = Random.fromSeed(`${seed} n ${index}`);
    const neighbourhood = Random.fromSeed(`${seed} n neighbours ${index}`);
    const beginsAt = between(random, 1, PERIOD_NS);
    const diedAt = beginsAt + between(random, 1, BEATS_MAX * PERIOD_NS);
    return beats(random, { beginsAt, diedAt }, {
      isLost: (at) => at > beginsAt && random.nextFraction() < LOSS,
      losesAnswer: (_at, chance) => chance.nextFraction() < LOSS,
      neighbours: () => lossyNeighbours(neighbourhood, LOSS),
    });
  },
};
