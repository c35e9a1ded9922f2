import { PeerGroup, type PeerGroupOptions } from "../peer/selection/peer-group.ts";
import { SiteLoad } from "../peer/selection/site-load.ts";
import type { Peer } from "./peer.ts";

interface FlowLoads {
  readonly loads: WeakMap<Peer, SiteLoad>;
  readonly groups: Map<string, PeerGroup<Peer>>;
}

/** One peer asked one flow. Times are awake ns; `requests` are those that its shares speak of, decayed. */
export interface LoadExplanation {
  readonly flow: string;
  /** Undefined: nothing was measured and nothing is waited for. */
  readonly latencyNs: number | undefined;
  readonly inFlight: number;
  readonly requests: number;
  readonly failureShare: number;
  readonly slowShare: number;
  /** The groups in which it is asked last, and until when. */
  readonly aside: readonly Readonly<{ group: string; until: number }>[];
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

  /** What is known of one peer, by the flows it was asked since the start; for people. */
  explain(peer: Peer, now: number): LoadExplanation[] {
    const explained: LoadExplanation[] = [];
    for (const [flow, { loads, groups }] of this.#flows) {
      const load = loads.get(peer);
      if (load === undefined) continue;
      const aside = [...groups].flatMap(([group, members]) => {
        const until = members.asideUntil(peer, now);
        return until === undefined ? [] : [{ group, until }];
      });
      const { latency, outcomes } = load;
      explained.push({
        flow, aside, latencyNs: latency.hasSample || latency.inFlight > 0 ? latency.latencyNs(now, this.#prior(groups)) : undefined,
        inFlight: latency.inFlight, requests: outcomes.requests(now), failureShare: outcomes.failureShare, slowShare: outcomes.slowShare,
      });
    }
    return explained;
  }

  /** Towards what a load fades: one group's median; a peer of several groups is shown by the first. */
  #prior(groups: FlowLoads["groups"]): number {
    for (const { latencyNs } of groups.values()) if (latencyNs > 0) return latencyNs;
    return 0;
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
