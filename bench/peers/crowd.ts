/**
 * Ten thousand peers, as a node knows them: ids of 52 characters, on both of the policy's lists or none, one in eight
 * cooling down, each with a site that has answered a hundred times. Questions come for all of them in random order.
 */
import { peerIdFromEd25519, type PeerId, type SiteId } from "@holdfast/core";
import { BackoffTable, type Chain, chainIdFromTargets, PeerGovernor, RttTracker, type RttTrackerOptions, SiteWatch, type SiteWatchOptions } from "@holdfast/core/peer";
import { dice } from "../harness.ts";

export const PEERS = 10_000;
/** Questions in one round: the same ones for every subject. */
export const ASKED = 1 << 18;
export const CHAIN: Chain = { chainId: chainIdFromTargets("resize,store"), hopIndex: 1 };
export const DEFAULT_NS = 2e9;
export const NOW = 3_600e9;
const BEAT_NS = 1e9;

export function peerIds(count: number, from = 0): PeerId[] {
  return Array.from({ length: count }, (_, at) => {
    const key = new Uint8Array(32);
    const random = dice(from + at + 1);
    for (let byte = 0; byte < key.length; byte++) key[byte] = random() * 256;
    return peerIdFromEd25519(key);
  });
}

/** As the engine makes them, and flat: a text that was never looked up is still in pieces. */
export function sitesOf(peers: readonly PeerId[]): SiteId[] {
  const sites = peers.map((peer) => `${peer}/thumbnail` as SiteId);
  return [...new Set(sites)];
}

export function inRandomOrder<Item>(items: readonly Item[], count = ASKED): Item[] {
  const random = dice(7);
  return Array.from({ length: count }, () => items[Math.floor(random() * items.length)]!);
}

export function filledGovernor(peers: readonly PeerId[]): { readonly governor: PeerGovernor; readonly backoff: BackoffTable } {
  const governor = new PeerGovernor();
  const backoff = new BackoffTable();
  governor.setAllowlist(peers);
  for (const peer of peerIds(peers.length / 10, 1e6)) governor.block(peer);
  for (const [at, peer] of peers.entries()) {
    if (at % 8 === 0) {
      governor.recordFailure(peer, NOW);
      backoff.recordFailure(peer, NOW);
    } else governor.recordSuccess(peer, NOW);
  }
  return { governor, backoff };
}

/** Round trips around 40 ms, lognormal enough. */
export function roundTrips(): number[] {
  const random = dice(11);
  return Array.from({ length: ASKED }, () => Math.floor(40e6 * Math.exp((random() + random() + random() - 1.5) / 2)));
}

export function filledTracker(sites: readonly SiteId[], options: Partial<RttTrackerOptions> = {}): RttTracker {
  const tracker = new RttTracker<SiteId>(options);
  const trips = roundTrips();
  for (let round = 0; round < 100; round++) {
    for (const [at, site] of sites.entries()) tracker.observeRoundTrip(site, CHAIN, trips[(round * sites.length + at) % ASKED]!, NOW - 100 + round);
  }
  return tracker;
}

export function filledWatch(sites: readonly SiteId[], options: Partial<SiteWatchOptions> = {}, beats = 60): SiteWatch {
  const watch = new SiteWatch<SiteId>(options);
  const random = dice(13);
  for (let beat = 1; beat <= beats; beat++) {
    for (const site of sites) watch.recordHeartbeat(site, NOW - (beats - beat) * BEAT_NS - Math.floor(random() * 20e6));
  }
  return watch;
}
