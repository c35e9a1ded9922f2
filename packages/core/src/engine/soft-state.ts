import { encodeValue } from "../base/value-codec.ts";
import type { PeerId, SiteId } from "../base/ids.ts";
import type { Value } from "../base/value.ts";
import { LINK_SITE } from "../base/ids.ts";
import type { SiteData } from "../peer/deadlines/rtt-site.ts";
import type { PriorData } from "../peer/deadlines/rtt-tracker.ts";
import type { WatchData } from "../peer/detection/site-watch.ts";
import { ROW, type Encoded } from "./rows.ts";
import { RowReader } from "./row-reader.ts";
import type { EngineState } from "./engine-state.ts";
import { SingleRow, type Row } from "./journal.ts";
import type { Peer } from "./peer.ts";

/**
 * What may be some seconds stale after a crash: round trips, detectors' windows, counts for people. It rides on a commit
 * that happens anyway, and never causes one.
 */
export function touchSoftState(state: EngineState): void {
  for (const peer of state.peers.values()) {
    if (peer.references.size === 0 && !peer.persisted) continue;
    state.journal.touch(softRow(state, peer));
  }
  state.journal.touch(priorsRow(state));
}

/** All soft rows as they stand; changes nothing. */
export function captureSoftState(state: EngineState): Encoded[] {
  const rows = [...state.peers.values()].map((peer) => softRow(state, peer)).filter((row) => !row.isEmpty);
  return [...rows, priorsRow(state)].map((row) => [row.key, row.encode()]);
}

function softRow(state: EngineState, peer: Peer): SoftRow {
  peer.soft.capture = (site) => [state.tracker.captureSite(site), state.tracker.watch.capture(site)];
  return peer.soft;
}

/** Round trips and counts of one peer. */
export class SoftRow implements Row {
  readonly key: string;
  removed = false;
  persisted = false;
  readonly #peer: Peer;
  /** Set with the first touch: the tracker's sites are captured when the record is taken. */
  capture: (site: SiteId) => [SiteData | undefined, WatchData | undefined] = () => [undefined, undefined];

  constructor(peer: Peer) {
    this.#peer = peer;
    this.key = ROW.soft + peer.id;
  }

  get isEmpty(): boolean {
    return this.#sites().length === 0 && Object.values(this.#peer.counts).every((count) => count === 0);
  }

  encode(): Uint8Array {
    const { counts } = this.#peer;
    return encodeValue([
      [counts.calls, counts.replies, counts.failures, counts.downs, counts.refusedEnvelopes, counts.redelivered], this.#sites(),
    ]);
  }

  #sites(): Value[] {
    const sites: Value[] = [];
    for (const asked of [LINK_SITE, ...this.#peer.flowsAsked]) {
      const [data, watched] = this.capture(this.#peer.site(asked));
      if (data !== undefined || watched !== undefined) sites.push([asked, (data ?? null) as unknown as Value, (watched ?? null) as unknown as Value]);
    }
    return sites;
  }
}

function priorsRow(state: EngineState): SingleRow {
  return new SingleRow(ROW.priors, () => encodeValue([state.tracker.capturePriors() as unknown as Value]));
}

/** One row, `soft/…` or `soft-priors`. Throws SNAPSHOT_INVALID. */
export function restoreSoftState(state: EngineState, [key, bytes]: Encoded): void {
  const reader = RowReader.of(key, bytes);
  if (key === ROW.priors) {
    state.tracker.restorePriors(reader.any() as unknown as PriorData);
    return reader.end();
  }
  const peer = state.peer(key.slice(ROW.soft.length) as PeerId);
  const counts = reader.list();
  for (const name of ["calls", "replies", "failures", "downs", "refusedEnvelopes", "redelivered"] as const) {
    peer.counts[name] = counts.whole();
  }
  counts.end();
  for (const site of reader.lists()) {
    const id = peer.site(site.text());
    const data = site.any();
    const watched = site.any();
    if (data !== null) state.tracker.restoreSite(id, data as unknown as SiteData);
    if (watched !== null) state.tracker.watch.restore(id, watched as unknown as WatchData);
    site.end();
  }
  reader.end();
  peer.soft.persisted = true;
}
