/**
 * Bytes that a peer takes, its id not counted, and whether they stay the same while a million others come and go.
 * Counted with all garbage collected, on the heap and beside it.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { PeerId, SiteId } from "@holdfast/core";
import { BackoffTable, PeerGovernor, PRODUCT_RTT, PRODUCT_WATCH, RttTracker, SiteWatch } from "@holdfast/core/peer";
import { type BenchOptions, type Figure, figure } from "../harness.ts";
import { filledTracker, filledWatch, NOW, peerIds, PEERS, sitesOf } from "./crowd.ts";

const MANY = 100_000;
const COME_AND_GO = 1_000_000;
const AT_ONCE = 50_000;

export function measureMemory(options: BenchOptions): Figure[] {
  const peers = peerIds(PEERS);
  const sites = sitesOf(peers);
  const health = bytesPer(PEERS, () => {
    const governor = new PeerGovernor();
    governor.setAllowlist(peers);
    for (const peer of peers) governor.recordSuccess(peer, NOW);
    for (const peer of peers) governor.checkInbound(peer);
    return governor;
  });
  const backoff = bytesPer(PEERS, () => {
    const table = new BackoffTable();
    for (const peer of peers) table.recordFailure(peer, NOW);
    return table;
  });
  const watched = bytesPer(PEERS, () => filledWatch(sites));
  const learned = bytesPer(PEERS, () => filledTracker(sites));
  const exponential = bytesPer(PEERS, () => filledWatch(sites, { detector: { model: "exponential" } }, 300));
  const bare = bytesPer(PEERS, () => new Map(peers.map((peer) => [peer, {}])));
  const line = (name: string, value: number, most: number | undefined): Figure => figure({
    figure: name, value, unit: "bytes", comparison: "an empty object in a map", other: bare,
    target: most === undefined ? "none" : `≤ ${most}`, met: most === undefined || value <= most,
  });
  const all = health + backoff + watched + learned;
  const figures = [
    line("a peer with policy and health", health, 256),
    line("back-off of a peer that fails", backoff, undefined),
    line("the watch of a peer's link", watched, undefined),
    line("round trips of a site, with an edge and its tail", learned, undefined),
    line("a peer with all of these", all, 2560),
    line("the watch with the exponential's window of 256", exponential, 2560),
  ];
  return options.quick ? figures : [...figures, comeAndGo()];
}

/** Tables of a hundred thousand, then ten times as many strangers. */
function comeAndGo(): Figure {
  const tables = {
    governor: new PeerGovernor({ maxEntries: MANY }), backoff: new BackoffTable({ maxEntries: MANY }),
    tracker: new RttTracker({ ...PRODUCT_RTT, maxEntries: MANY }), watch: new SiteWatch({ ...PRODUCT_WATCH, maxEntries: MANY }),
  } as const;
  let now = NOW;
  const meet = (peer: PeerId): void => {
    const site = `${peer}/link` as SiteId;
    tables.governor.recordFailure(peer, (now += 1e6));
    tables.backoff.recordFailure(peer, now);
    tables.tracker.observeRoundTrip(site, undefined, 40e6, now);
    tables.watch.recordHeartbeat(site, now);
  };
  const start = bytesHeld();
  for (let from = 0; from < MANY; from += AT_ONCE) peerIds(AT_ONCE, from).forEach(meet);
  const before = bytesHeld() - start;
  for (let from = 0; from < COME_AND_GO; from += AT_ONCE) peerIds(AT_ONCE, MANY + from).forEach(meet);
  const after = bytesHeld() - start;
  return figure({
    figure: "after a million more identities", value: after / 1e6, unit: "MB", comparison: "tables of 100 000 peers, full for the first time",
    other: before / 1e6, target: "≤ 1.1", met: after <= 1.1 * before,
  });
}

function bytesPer(count: number, make: () => unknown): number {
  const before = bytesHeld();
  const held = make();
  const bytes = (bytesHeld() - before) / count;
  if (held === undefined) throw new Error("something is held");
  return bytes;
}

function bytesHeld(): number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
