import { Random } from "@holdfast/core";
import { beats, lifeOf, periodically, spanAt } from "./beats.ts";
import { MORE_OF_OURS, NEIGHBOURS, type Pause, PEERS, type Trace } from "./trace.ts";

const HOUR_NS = 3600 * 1e9;
const SHORTEST_NS = 0.5e9;
const LONGEST_NS = 120e9;

/** (e) The observer's process stops, by a collection of garbage, a debugger, a host under load; its sockets take what comes. */
export const STALL = observerPause("e-stall", "observer stalls", "The observer stands still once an hour for 0.5 to 120 s (uniform in the logarithm); what arrived meanwhile lies in its socket and is read at once on resuming.", (pause) => pause.to);

/** (e) The observer's machine is suspended: what arrives meanwhile is lost. */
export const SUSPEND = observerPause("e-suspend", "observer suspends", "The observer's machine is suspended once an hour for 0.5 to 120 s (uniform in the logarithm); its clock goes on, what arrives meanwhile is lost.", () => Infinity);

function observerPause(name: string, title: string, says: string, fate: (pause: Pause) => number): Trace {
  return {
    name, title, says,
    canBeProbed: true,
    peers: PEERS,
    moreOfOurs: MORE_OF_OURS,
    peer(seed, index) {
      const random = Random.fromSeed(`${seed} ${name} ${index}`);
      const life = lifeOf(random);
      const pauses: Pause[] = [];
      periodically(random, HOUR_NS, life.diedAt + HOUR_NS, (from) => {
        const lastsNs = SHORTEST_NS * (LONGEST_NS / SHORTEST_NS) ** random.nextFraction();
        pauses.push({ from, to: from + Math.floor(lastsNs) });
      });
      return beats(random, life, {
        pauses,
        deliversAt(arrival) {
          const pause = spanAt(pauses, arrival);
          return pause === undefined ? arrival : fate(pause);
        },
        neighbours: () => NEIGHBOURS.relayed,
      });
    },
  };
}
