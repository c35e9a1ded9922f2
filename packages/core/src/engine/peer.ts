import { encodeValue } from "../base/value-codec.ts";
import { LINK_SITE, siteId, type PeerId, type SiteId } from "../base/ids.ts";
import { ADDRESSES_MAX } from "../wire/limits.ts";
import type { BackoffState } from "../peer/failure/backoff-schedule.ts";
import type { PeerEvent } from "../peer/failure/outcome.ts";
import type { RetryBudget } from "../peer/failure/retry-budget.ts";
import type { RttTracker, SiteHandle } from "../peer/deadlines/rtt-tracker.ts";
import type { PeerHealth } from "../peer/policy/peer-governor.ts";
import { ROW } from "./rows.ts";
import { RowReader } from "./row-reader.ts";
import type { Command } from "./command.ts";
import type { Row } from "./journal.ts";
import { Session } from "./session.ts";
import { SoftRow } from "./soft-state.ts";
import type { TimerEntry, TimerSubject } from "./timer-table.ts";
import type { LinkId } from "./engine-events.ts";

/** A live connection to a peer. Gone with the process; what must survive is in the session. */
export interface PeerLink {
  readonly id: LinkId;
  readonly dialled: boolean;
  /** The other end's multiaddr, where the host knows it. */
  readonly remote: string | undefined;
  /** Awake time. */
  readonly openedAt: number;
  /** The peer's Hello has agreed with our memory: envelopes may go out. */
  sendReady: boolean;
  /** The peer's stream is the one we follow: its envelopes may come in. */
  receiveReady: boolean;
  incarnation: number;
  lastSentAt: number;
  lastReceivedAt: number;
  beat: number;
  /** When the last heartbeats left, by beat: at most `BEATS_MAX`. */
  readonly beatsSentAt: Map<number, number>;
  /** Our acknowledgement has changed and must go out with this turn, or within the delay. */
  acknowledge: "none" | "later" | "now";
  /** The turn in which everything unacknowledged was last sent again. */
  resentTurn: number;
}

/** Counts for people: since the node's first start; as stale as soft state after a crash. */
export interface PeerCounts {
  calls: number;
  replies: number;
  failures: number;
  downs: number;
  refusedEnvelopes: number;
  redelivered: number;
}

export type SiteVerdict = "live" | "suspect" | "down";

/**
 * Everything the engine keeps about one peer, besides what the peer components hold by id (health, cooldown, round trips).
 */
export class Peer implements Row, TimerSubject {
  readonly key: string;
  removed = false;
  persisted = false;
  timers: TimerEntry | undefined = undefined;

  readonly id: PeerId;
  /** The site of everything about the link itself. */
  readonly linkSite: SiteId;
  readonly #sites = new Map<string, SiteId>();
  /** The tracker's handles of them, the link's among them. */
  readonly #timings = new Map<string, SiteHandle>();
  /** What the fleet calls it; null for a peer known by id only. Configuration, not stored. */
  name: string | null = null;
  /** Configuration wants a link to it at all times. */
  keepLink = false;
  /** Ordered, distinct. */
  readonly addresses: string[] = [];
  /** Who relies on this peer, by reason; peers nobody holds are the first to go at the bound. */
  readonly references = new Set<string>();
  readonly session: Session;
  link: PeerLink | null = null;
  dialing = false;
  /** From where its last link came, whether policy let it in or not; not stored. */
  lastRemote: string | null = null;
  /** The two streams contradict each other: no session until an operator decides. */
  historyLost = false;
  /** Requests that wait for room in the peer's window. */
  readonly queue: Command[] = [];
  /** Live attempts on this peer. Follows from the live commands; not stored. */
  inFlight = 0;
  /** The detector's verdict last announced. */
  siteVerdict: SiteVerdict = "live";
  readonly counts: PeerCounts = { calls: 0, replies: 0, failures: 0, downs: 0, refusedEnvelopes: 0, redelivered: 0 };
  /** What its last failure was, and when; for people, not stored. */
  lastFailure: { readonly event: PeerEvent; readonly at: number } | null = null;
  /** Round trips and counts: stored when a record is due anyway. */
  readonly soft: SoftRow;
  /** When the last back-off notice went to it. */
  noticeSentAt = 0;
  /** For retries, hedges and probes; made when it is first needed, and not stored. */
  retryBudget: RetryBudget | undefined = undefined;

  constructor(id: PeerId, session = new Session(id)) {
    this.id = id;
    this.linkSite = siteId(id, LINK_SITE);
    this.key = ROW.peer + id;
    this.session = session;
    this.soft = new SoftRow(this); // needs the id
  }

  /** The site of one flow asked of this peer. */
  site(flow: string): SiteId {
    if (flow === LINK_SITE) return this.linkSite;
    let site = this.#sites.get(flow);
    if (site === undefined) {
      site = siteId(this.id, flow);
      this.#sites.set(flow, site);
    }
    return site;
  }

  /** How long the flow's answers take: the site as the tracker finds it without looking up. */
  timing(flow: string, tracker: RttTracker): SiteHandle {
    let timing = this.#timings.get(flow);
    if (timing === undefined) {
      timing = tracker.site(this.site(flow));
      this.#timings.set(flow, timing);
    }
    return timing;
  }

  /** The flows asked of this peer since the start. */
  get flowsAsked(): Iterable<string> {
    return this.#sites.keys();
  }

  /** Adds an address at the end; the oldest goes at the bound. True if it was new. */
  learnAddress(address: string): boolean {
    if (this.addresses.includes(address)) return false;
    this.addresses.push(address);
    if (this.addresses.length > ADDRESSES_MAX) this.addresses.shift();
    return true;
  }

  /** The hard half of health, as the engine collects it. */
  hard: PeerHard = { health: undefined, backoff: undefined };

  encode(): Uint8Array {
    const { health, backoff } = this.hard;
    return encodeValue([
      // A link does not survive the process, so neither does its reference.
      [...this.addresses], [...this.references].filter((reason) => reason !== "link").sort(), this.siteVerdict,
      health === undefined ? null : [health.consecutiveFailures, health.lastEvent, health.down],
      backoff === undefined ? null
        : [backoff.attempts, backoff.lastAttempt, backoff.nextRetry, backoff.failedAt, backoff.advisedUntil, backoff.advisedSince, backoff.delayNs],
    ]);
  }

  static restore(id: PeerId, bytes: Uint8Array, session: Session): Peer {
    const peer = new Peer(id, session);
    const reader = RowReader.of(peer.key, bytes);
    peer.addresses.push(...reader.texts());
    for (const reference of reader.texts()) peer.references.add(reference);
    const verdict = reader.text();
    reader.check(verdict === "live" || verdict === "suspect" || verdict === "down", "a verdict");
    peer.siteVerdict = verdict as SiteVerdict;
    const health = reader.nullOr(() => reader.list());
    const backoff = reader.nullOr(() => reader.list());
    peer.hard = {
      health: health === null ? undefined : { consecutiveFailures: health.whole(), lastEvent: health.whole(), down: health.flag() },
      backoff: backoff === null ? undefined : {
        attempts: backoff.whole(), lastAttempt: backoff.whole(), nextRetry: backoff.whole(),
        failedAt: backoff.whole(), advisedUntil: backoff.whole(), advisedSince: backoff.whole(), delayNs: backoff.whole(),
      },
    };
    reader.end();
    peer.persisted = true;
    return peer;
  }
}

/** What of a peer's health every record holds; the components keep the live values by id. */
export interface PeerHard {
  readonly health: PeerHealth | undefined;
  readonly backoff: BackoffState | undefined;
}
