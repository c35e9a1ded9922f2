import { PeerGroup, type PeerGroupOptions } from "../peer/peer-group.ts";
import { SiteLoad } from "../peer/site-load.ts";
import type { Peer } from "./peer.ts";

interface FlowLoads {
  readonly loads: WeakMap<Peer, SiteLoad>;
  readonly groups: Map<string, PeerGroup<Peer>>;
}

/**
 * How quick each site is and how its requests ended, and what follows for the groups of which it is a member. By flow,
 * since quick answers and long computations of one peer are told apart; the flows are those that our own programs ask, a load goes with its peer.
 *
 * None of it is stored: latencies fade within seconds, and a new process has no request in flight but those that it resumes.
 */
export class SiteLoads {
  readonly #timeConstantNs: number;
  readonly #options: PeerGroupOptions;
  readonly #flows = new Map<string, FlowLoads>();

  constructor(timeConstantNs: number, options: PeerGroupOptions) {
    this.#timeConstantNs = timeConstantNs;
    this.#options = options;
  }

  /** The load of one peer asked one flow, made on first use. */
  load(peer: Peer, flow: string): SiteLoad {
    const { loads } = this.#flow(flow);
    let load = loads.get(peer);
    if (load === undefined) {
      load = new SiteLoad(this.#timeConstantNs);
      loads.set(peer, load);
    }
    return load;
  }

  group(name: string, flow: string): PeerGroup<Peer> {
    const { loads, groups } = this.#flow(flow);
    let group = groups.get(name);
    if (group === undefined) {
      group = new PeerGroup<Peer>((peer) => loads.get(peer), (peer) => peer.inFlight, this.#options);
      groups.set(name, group);
    }
    return group;
  }

  #flow(flow: string): FlowLoads {
    let found = this.#flows.get(flow);
    if (found === undefined) {
      found = { loads: new WeakMap(), groups: new Map() };
      this.#flows.set(flow, found);
    }
    return found;
  }
}
