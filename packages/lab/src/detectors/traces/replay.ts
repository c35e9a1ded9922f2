import { Random } from "@holdfast/core";
import { beats, between, lifeOf } from "./beats.ts";
import { NEIGHBOURS, PEERS, type Trace } from "./trace.ts";

/** (f) A queue on the way holds the last beats back and hands them out after the death (scylladb/scylladb#8488). */
export const REPLAY: Trace = {
  name: "f-replay",
  title: "delayed queue replayed after death",
  says: "In the last 5 to 30 s before it dies the peer's beats get stuck; 10 s after the death they arrive, 1 to 8 s apart. No probe is answered from when they get stuck.",
  canBeProbed: true,
  peers: PEERS,
  peer(seed, index) {
    const random = Random.fromSeed(`${seed} f ${index}`);
    const life = lifeOf(random);
    const stuckFrom = life.diedAt - between(random, 5e9, 30e9);
    let released = life.diedAt + 10e9;
    return beats(random, life, {
      deliversAt(arrival, sentAt) {
        if (sentAt < stuckFrom) return arrival;
        released += between(random, 1e9, 8e9);
        return released;
      },
      losesAnswer: (at) => at >= stuckFrom,
      neighbours: (at) => (at < stuckFrom ? NEIGHBOURS.relayed : NEIGHBOURS.confirmed),
    });
  },
};
