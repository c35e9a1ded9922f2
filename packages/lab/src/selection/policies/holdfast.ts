import { ENGINE_DEFAULTS, type Random } from "@holdfast/core";
import { PeerGroup, SiteLoad } from "@holdfast/core/peer";
import type { End, Policy, PolicyEntry } from "./policy.ts";

const { latencyMemoryNs, setAsideNs, selectByLatency, setAside } = ENGINE_DEFAULTS;

/** Core's own group, fed as the engine feeds it. */
class Holdfast implements Policy {
  readonly #random: Random;
  readonly #loads: SiteLoad[];
  readonly #group: PeerGroup<number>;

  constructor(servers: number, random: Random, outliers: boolean) {
    this.#random = random;
    this.#loads = Array.from({ length: servers }, () => new SiteLoad(latencyMemoryNs));
    const load = (server: number) => this.#loads[server] as SiteLoad;
    this.#group = new PeerGroup(load, (server) => load(server).latency.inFlight, { byLatency: selectByLatency, outliers, outlier: { asideNs: setAsideNs } });
  }

  pick(members: readonly number[], now: number): number {
    this.#group.clear();
    for (const server of members) this.#group.add(server, 0, now);
    return this.#group.pick(now, this.#random) as number;
  }

  began(server: number, now: number): void {
    (this.#loads[server] as SiteLoad).latency.began(now);
  }

  ended(server: number, end: End, latencyNs: number, now: number): void {
    const { latency } = this.#loads[server] as SiteLoad;
    if (end === "ok") latency.answered(latencyNs, now);
    else if (end === "error") latency.turnedDown(latencyNs, this.#group.latencyNs, now);
    else latency.gaveUp(latencyNs, this.#group.latencyNs, now);
    const outcome = end === "error" ? "failed" : this.#group.outcomeOf(latencyNs);
    if (end !== "cancelled" || outcome === "slow") this.#group.record(server, outcome, now, this.#random);
  }

  isAside(server: number, now: number): boolean {
    return this.#group.asideUntil(server, now) !== undefined;
  }
}

const settings = "the defaults: time constant 10 s, towards the group's median, silence counts, two drawn";

export const OURS: PolicyEntry = {
  name: "ours", settings: `${settings}; outliers aside for 10 s and more`, isOurs: true,
  begin: (servers, random) => new Holdfast(servers, random, setAside),
};

export const OURS_WITHOUT_OUTLIERS: PolicyEntry = {
  name: "ours, none aside", settings: "as ours, with `setAside` off", isOurs: true,
  begin: (servers, random) => new Holdfast(servers, random, false),
};
