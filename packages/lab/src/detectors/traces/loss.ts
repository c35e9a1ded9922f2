import { Random } from "@holdfast/core";
import { beats, lifeOf } from "./beats.ts";
import { MORE_OF_OURS, NEIGHBOURS, PEERS, type Trace } from "./trace.ts";

/** (b) Each datagram is lost with the same probability, whatever became of the last. */
export function loss(percent: number): Trace {
  const p = percent / 100;
  return {
    name: `b-loss-${percent}`,
    title: `${percent} % independent loss`,
    says: `Each beat is lost with probability ${p}, independently. Relays lose as much on each of their four datagrams.`,
    canBeProbed: true,
    peers: PEERS,
    moreOfOurs: MORE_OF_OURS,
    peer(seed, index) {
      const random = Random.fromSeed(`${seed} b ${percent} ${index}`);
      const neighbourhood = Random.fromSeed(`${seed} b ${percent} neighbours ${index}`);
      return beats(random, lifeOf(random), {
        isLost: () => random.nextFraction() < p,
        losesAnswer: (_at, chance) => chance.nextFraction() < p,
        neighbours: () => lossyNeighbours(neighbourhood, p),
      });
    },
  };
}

/** Three relays and a second transport (memberlist's TCP), four datagrams each; another member has all of that too. */
export function lossyNeighbours(random: Random, p: number): number {
  const detourFails = 1 - (1 - p) ** 4;
  const detoursFail = detourFails ** 4;
  const otherFails = (1 - (1 - p) ** 2) * detoursFail;
  const relayed = random.nextFraction() >= detoursFail ? NEIGHBOURS.relayed : 0;
  return relayed | (random.nextFraction() < otherFails ? NEIGHBOURS.confirmed : 0);
}
