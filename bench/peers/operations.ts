/**
 * What one question or one observation costs, in ns, beside a bare lookup of the same keys in the same order and rounds.
 * The published original's figures, on a machine of its own, stand in brackets.
 */
import { PhiAccrualDetector, SilenceDetector } from "@holdfast/core/peer";
import { type BenchOptions, type Figure, figure, interleave, median, rounds } from "../harness.ts";
import {
  ASKED, CHAIN, DEFAULT_NS, filledGovernor, filledTracker, filledWatch, inRandomOrder, NOW, peerIds, PEERS, roundTrips, sitesOf,
} from "./crowd.ts";

const PHI_TARGET_NS = 15;

/** So that no loop is dropped for doing nothing. */
let sink = 0;

export async function measureOperations(options: BenchOptions): Promise<Figure[]> {
  const peers = peerIds(PEERS);
  const sites = sitesOf(peers);
  const { governor, backoff } = filledGovernor(peers);
  const tracker = filledTracker(sites);
  const kept = filledTracker(sites);
  const watch = filledWatch(sites);
  const known = new Map(peers.map((peer, at) => [peer, { at }]));
  const knownSites = new Map(sites.map((site, at) => [site, { at }]));
  const asked = inRandomOrder(peers);
  const askedSites = inRandomOrder(sites);
  const handles = inRandomOrder(sites.map((site) => tracker.site(site)));
  const keptHandles = inRandomOrder(sites.map((site) => kept.site(site)));
  const gates = inRandomOrder(peers.map((peer) => governor.peer(peer, backoff)));
  const trips = roundTrips();
  const learned = new SilenceDetector();
  const reference = new PhiAccrualDetector({ historyCapacity: 1000 });
  for (let at = 1; at <= 1000; at++) {
    learned.recordHeartbeat(at * 1e9 + trips[at]!, (at - 1) * 1e9 + trips[at - 1]!, undefined);
    reference.recordHeartbeat(at * 1e9 + trips[at]!, (at - 1) * 1e9 + trips[at - 1]!);
  }
  const context = { now: NOW };
  const samples = await interleave(rounds(options), {
    lookup: each(() => { for (const peer of asked) sink |= known.get(peer)!.at; }),
    siteLookup: each(() => { for (const site of askedSites) sink |= knownSites.get(site)!.at; }),
    checkInbound: each(() => { for (const peer of asked) sink |= governor.checkInbound(peer).allow ? 1 : 0; }),
    checkOutbound: each(() => { for (const peer of asked) sink |= governor.checkOutbound(peer, backoff, NOW).allow ? 1 : 0; }),
    gateInbound: each(() => { for (const gate of gates) sink |= gate.checkInbound().allow ? 1 : 0; }),
    gateOutbound: each(() => { for (const gate of gates) sink |= gate.checkOutbound(NOW).allow ? 1 : 0; }),
    observe: each(() => { for (let at = 0; at < ASKED; at++) tracker.observeRoundTrip(askedSites[at]!, CHAIN, trips[at]!, NOW); }),
    observeHandle: each(() => { for (let at = 0; at < ASKED; at++) handles[at]!.observeRoundTrip(CHAIN, trips[at]!, NOW); }),
    estimate: each(() => { for (const site of askedSites) sink |= kept.estimateBudget(site, CHAIN, DEFAULT_NS, context); }),
    estimateHandle: each(() => { for (const handle of keptHandles) sink |= handle.estimateBudget(CHAIN, DEFAULT_NS, context); }),
    observeEstimate: each(() => {
      for (let at = 0; at < ASKED; at++) {
        handles[at]!.observeRoundTrip(CHAIN, trips[at]!, NOW);
        sink |= handles[at]!.estimateBudget(CHAIN, DEFAULT_NS, context);
      }
    }),
    phiLearned: each(() => { for (let at = 0; at < ASKED; at++) sink |= learned.phi(1000e9 + at, 1000e9); }),
    phiReference: each(() => { for (let at = 0; at < ASKED; at++) sink |= reference.phi(1000e9 + at, 1000e9); }),
    watchPhi: each(() => { for (const site of askedSites) sink |= watch.phi(site, NOW + 5e8); }),
    beat: each(() => { for (const site of askedSites) watch.recordHeartbeat(site, NOW + 1e9); }),
  });
  const [lookup, siteLookup] = [median(samples.lookup), median(samples.siteLookup)];
  const inLookups = (name: string, of: number[], other: number, most: number | undefined): Figure => figure({
    figure: name, value: median(of), unit: "ns", comparison: "a bare Map.get of the same keys", other,
    target: most === undefined ? "none" : `≤ ${most} lookups`, met: most === undefined || median(of) <= most * other,
  });
  const inNs = (name: string, of: number[]): Figure => figure({
    figure: name, value: median(of), unit: "ns", comparison: "a bare Map.get", other: siteLookup,
    target: `≤ ${PHI_TARGET_NS} ns`, met: median(of) <= PHI_TARGET_NS,
  });
  return [
    inLookups("checkInbound, both lists (9–18 ns)", samples.checkInbound, lookup, 1.5),
    inLookups("the same, by handle", samples.gateInbound, lookup, 1.5),
    inLookups("checkOutbound (29–37 ns)", samples.checkOutbound, lookup, 2.5),
    inLookups("the same, by handle", samples.gateOutbound, lookup, 2.5),
    inLookups("observeRoundTrip with a chain (68 ns)", samples.observe, siteLookup, 4),
    inLookups("the same, by handle", samples.observeHandle, siteLookup, 4),
    inLookups("estimateBudget (22–51 ns)", samples.estimate, siteLookup, 2.5),
    inLookups("the same, by handle", samples.estimateHandle, siteLookup, 2.5),
    inLookups("observe and then estimate, by handle", samples.observeEstimate, siteLookup, undefined),
    inNs("φ of the product's detector (470 ns)", samples.phiLearned),
    inNs("φ of the reference, 1000 samples (470 ns)", samples.phiReference),
    inLookups("φ of one of the watched sites", samples.watchPhi, siteLookup, undefined),
    inLookups("recordHeartbeat of one of the watched sites", samples.beat, siteLookup, undefined),
  ];
}

/** Nanoseconds each. Every subject has a loop of its own: a shared one would call what it cannot inline. */
function each(loop: () => void): () => number {
  return () => {
    const startedAt = performance.now();
    loop();
    return ((performance.now() - startedAt) * 1e6) / ASKED;
  };
}
