/**
 * Bytes that an operation leaves behind once all tables are full: what the heap grows by over so many of them, with no
 * collection in between. The instants are made beforehand, as are the keys: a caller's own numbers are not counted.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type BenchOptions, type Figure, figure } from "../harness.ts";
import { CHAIN, DEFAULT_NS, filledGovernor, filledTracker, filledWatch, inRandomOrder, NOW, peerIds, PEERS, roundTrips, sitesOf } from "./crowd.ts";

/** Less than one young generation, if each leaves a hundred bytes. */
const COUNT = 50_000;
const WARM_UP = 8;
/** What the measurement itself leaves, spread over all. */
const NOTHING_BYTES = 0.5;

export function measureGarbage(_options: BenchOptions): Figure[] {
  const peers = peerIds(PEERS);
  const sites = sitesOf(peers);
  const { governor, backoff } = filledGovernor(peers);
  const tracker = filledTracker(sites);
  const watch = filledWatch(sites);
  const [asked, askedSites] = [inRandomOrder(peers, COUNT), inRandomOrder(sites, COUNT)];
  // Texts keep the numbers boxed, as they come to a caller that keeps them.
  const trips: unknown[] = ["", ...roundTrips().slice(0, COUNT)];
  trips.shift();
  const context = { now: NOW };
  let sink = 0;
  const subjects: Readonly<Record<string, (at: number) => void>> = {
    checkInbound: (at) => void (sink |= governor.checkInbound(asked[at]!).allow ? 1 : 0),
    checkOutbound: (at) => void (sink |= governor.checkOutbound(asked[at]!, backoff, NOW).allow ? 1 : 0),
    observeRoundTrip: (at) => tracker.observeRoundTrip(askedSites[at]!, CHAIN, trips[at] as number, NOW),
    estimateBudget: (at) => void (sink |= tracker.estimateBudget(askedSites[at]!, CHAIN, DEFAULT_NS, context)),
    recordHeartbeat: (at) => watch.recordHeartbeat(askedSites[at]!, NOW),
    phi: (at) => void (sink |= watch.phi(askedSites[at]!, NOW)),
  };
  const empty = bytesEach((at) => void (sink |= trips[at] as number));
  return Object.entries(subjects).map(([name, work]) => {
    const bytes = bytesEach(work);
    return figure({
      figure: `garbage of one ${name}`, value: bytes, unit: "bytes", comparison: "an empty loop", other: empty,
      target: "0", met: bytes < NOTHING_BYTES,
    });
  });
}

function bytesEach(work: (at: number) => void): number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  for (let round = 0; round < WARM_UP; round++) for (let at = 0; at < COUNT; at++) work(at);
  collect();
  const before = process.memoryUsage().heapUsed;
  for (let at = 0; at < COUNT; at++) work(at);
  return Math.max(0, process.memoryUsage().heapUsed - before) / COUNT;
}
