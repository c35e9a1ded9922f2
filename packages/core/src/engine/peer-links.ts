import { comparePeerIds } from "../base/peer-id.ts";
import type { PeerId } from "../base/ids.ts";
import { elapsedNs, NS_PER_S } from "../base/time.ts";
import { RuntimeError } from "../base/errors.ts";
import { ADDRESSES_MAX, EXECUTIONS_MAX, OUTBOX_BYTES_MAX, WINDOW_MAX } from "../wire/limits.ts";
import { PROTOCOL_VERSION, type Acknowledge, type BackoffNotice, type Heartbeat, type HeartbeatEcho, type Hello } from "../wire/message.ts";
import { encodeEnvelopeFrame, encodeMessageFrame } from "../wire/message-codec.ts";
import type { Value } from "../base/value.ts";
import type { DialFault, LinkId } from "./engine-events.ts";
import type { EngineState } from "./engine-state.ts";
import type { Peer, PeerLink } from "./peer.ts";
import type { OutboxEntry, UnnumberedBody } from "./session.ts";
import type { Due } from "../base/time.ts";

/** Heartbeats whose echo is still awaited; older ones give no round trip. */
const BEATS_MAX = 8;
/** How long we leave a peer alone whose memory contradicts ours. */
const HISTORY_LOST_REDIAL_NS = 60 * NS_PER_S;
/**
 * Dials that cross end within this. A link as old gives way to a new one, whoever dialled it: the peer would not dial if it knew of
 * the old one, so it is a new process, or has lost the link without our noticing (decision 10).
 */
const CROSSING_NS = 3 * NS_PER_S;
/** The peer has a link to us already that we do not know of (we were restarted): it must find out first. */
const DUPLICATE_REDIAL_NS = CROSSING_NS / 10;
/** A link on which the peer has not said where it stands by then is of no use: it may have died before it could (decision 11). */
const HELLO_NS_MAX = 5 * NS_PER_S;
/** Goodbyes that say nothing against the peer. */
const MILD_GOODBYES: ReadonlySet<string> = new Set(["shutdown", "duplicate-link", "stale", "overtaken"]);
/** Below this many envelopes the window counts as closed, and its reopening is announced unprompted. */
const WINDOW_LOW = 16;

/** Who learns what became of the envelopes that were sent. */
export interface StreamListener {
  acknowledged(peer: Peer, entries: readonly OutboxEntry[]): void;
  /** The stream ended: these, and everything the peer had accepted, have an unknown outcome. */
  streamLost(peer: Peer, entries: readonly OutboxEntry[], reason: string): void;
  /** The detector found the peer down. */
  peerFailing(peer: Peer): void;
  /** There may be room for new requests. */
  windowOpened(peer: Peer): void;
}

/**
 * PeerLinks keeps one link to each peer that needs one: dials, shakes hands, sends what the session holds,
 * acknowledges, beats, and tells the peer components what the link says about the peer.
 *
 *     none ──dial / link-opened──▶ open ──their Hello agrees──▶ ready ──link-closed──▶ none ──back-off──▶ dial …
 */
export class PeerLinks {
  readonly #state: EngineState;
  readonly #listener: StreamListener;
  /** Peers whose acknowledgement is due with this turn or later. */
  #owing = new Set<Peer>();
  readonly #windowLow = new Set<Peer>();

  constructor(state: EngineState, listener: StreamListener) {
    this.#state = state;
    this.#listener = listener;
  }

  // ── links come and go ──

  handleLinkOpened(link: LinkId, id: PeerId, dialled: boolean, remote?: string): void {
    const state = this.#state;
    const known = state.peers.get(id);
    if (dialled && known !== undefined) known.dialing = false;
    if (known !== undefined && known.link === null) known.lastRemote = remote ?? null;
    const decision = state.governor.policy.checkAddress(id, remote);
    if (!decision.allow) {
      state.publish("peer-blocked", id, { direction: "in", reason: decision.reason });
      this.#farewell(link, "denied");
      if (known !== undefined && known.link === null) this.#handleDeniedLink(known);
      return;
    }
    if (known === undefined && state.peersFull) {
      state.count("peers-refused");
      return this.#farewell(link, "full");
    }
    const peer = state.peer(id);
    if (peer.link !== null) {
      if (!this.#prefers(peer, peer.link, dialled)) return this.#farewell(link, "duplicate-link");
      this.#dropLink(peer, "duplicate-link");
    }
    const { now } = state;
    peer.link = {
      id: link, dialled, remote, openedAt: state.awake, sendReady: false, receiveReady: false, incarnation: 0, lastSentAt: now, lastReceivedAt: now,
      beat: 0, beatsSentAt: new Map(), acknowledge: "none", resentTurn: 0,
    };
    peer.lastRemote = remote ?? null;
    state.judgeAddresses(peer);
    state.links.set(link, peer);
    peer.references.add("link");
    state.timers.clear("dial", peer);
    state.timers.set("unacknowledged", peer, now + HELLO_NS_MAX);
    this.#sendHello(peer);
  }

  handleLinkClosed(link: LinkId, reason: string, blamesPeer: boolean): void {
    const state = this.#state;
    const peer = state.links.get(link);
    state.links.delete(link);
    if (peer === undefined || peer.link?.id !== link) return; // one we let go ourselves
    // A link that was of use may have gone with the network, a restart or the peer.
    const evidence = blamesPeer ? "protocol-violated" : peer.link.sendReady ? "link-lost" : "link-refused";
    this.#forgetLink(peer);
    if (blamesPeer) peer.counts.refusedEnvelopes++;
    state.publish("link-down", peer.id, { name: peer.name, reason });
    state.recordOutcome(peer, evidence);
    this.dialIfNeeded(peer);
  }

  /** `fault`: what the host can tell; our own machine's trouble, an answer that was no, or none at all. */
  handleDialFailed(id: PeerId, reason: string, fault: DialFault): void {
    const peer = this.#state.peers.get(id);
    if (peer === undefined) return;
    peer.dialing = false;
    if (peer.link !== null) return;
    this.#state.publish("address-unknown", id, { name: peer.name, reason });
    const state = this.#state;
    if (state.blamesUs(peer, fault)) {
      state.recordOutcome(peer, "local-fault");
      return this.dialIfNeeded(peer, state.ownRetryAt);
    }
    state.recordOutcome(peer, "dial-refused");
    this.dialIfNeeded(peer);
  }

  /** Dials now, or when the cooldown is over, if configuration or pending work wants a link. */
  dialIfNeeded(peer: Peer, notBefore = 0): void {
    const state = this.#state;
    // Also for what was accepted: its reply comes over a link, or the peer says that it knows nothing of it any more.
    const pending = peer.session.outbox.length > 0 || peer.inFlight > 0;
    if (state.draining || peer.link !== null || peer.dialing || peer.addresses.length === 0) return;
    if (!peer.keepLink && !pending) return;
    if (!state.governor.checkInbound(peer.id).allow) return;
    const patience = peer.historyLost ? HISTORY_LOST_REDIAL_NS : state.options.redialMaxNs;
    const retryAt = Math.max(notBefore, Math.min(state.backoff.retryAt(peer.id), state.now + patience));
    if (retryAt > state.now || peer.historyLost) {
      return state.timers.set("dial", peer, peer.historyLost ? state.now + patience : retryAt);
    }
    this.#dial(peer);
  }

  /** Why the peer failed may be over: a new address, another network. What failed is tried again at once. */
  tryAnew(peer: Peer): void {
    const { timers } = this.#state;
    this.#state.endFailureBackoff(peer);
    // What was advised, and the wait for an operator, run their time.
    if (!peer.historyLost && timers.find("dial", peer) !== undefined) timers.clear("dial", peer);
    this.dialIfNeeded(peer);
  }

  handleDialTimer(peer: Peer): void {
    peer.historyLost = false;
    const state = this.#state;
    if (peer.link !== null || peer.dialing) return;
    // Due: the cap on redials may fire before the cooldown of new requests is over.
    if (state.draining || !state.governor.checkInbound(peer.id).allow) return;
    this.#dial(peer);
  }

  /** At those of its addresses that policy allows. */
  #dial(peer: Peer): void {
    const { governor: { policy } } = this.#state;
    const addresses = policy.hasRules ? peer.addresses.filter((address) => policy.checkAddress(peer.id, address).allow) : [...peer.addresses];
    if (addresses.length === 0) return;
    peer.dialing = true;
    this.#state.emit({ kind: "dial", peer: peer.id, addresses });
  }

  /** Policy does not let the peer in from where it is now. Without another way to it, it is denied altogether. */
  #handleDeniedLink(peer: Peer): void {
    const state = this.#state;
    if (!state.governor.policy.hasRules) return;
    if (state.judgeAddresses(peer).allow) return this.dialIfNeeded(peer, state.now + state.options.redialMaxNs);
    if (isInvolved(peer)) this.cutOff(peer);
  }

  /** Ends a link whose address policy now denies; the peer may be spoken with elsewhere. */
  dropDeniedLink(peer: Peer): void {
    this.#state.publish("link-down", peer.id, { name: peer.name, reason: "policy denies its address" });
    this.#dropLink(peer, "denied");
  }

  /** Ends session and link of a peer that policy now denies. */
  cutOff(peer: Peer): void {
    const state = this.#state;
    state.publish("peer-blocked", peer.id, { name: peer.name, direction: "both" });
    this.#dropLink(peer, "denied");
    state.timers.clear("dial", peer);
    state.withdrawFrom(peer);
    this.#listener.streamLost(peer, peer.session.end(state.journal), "the peer was blocked");
    state.touchPeer(peer);
  }

  /** A peer broke the protocol: its link goes, nobody else's. */
  handleMisbehaviour(peer: Peer, error: RuntimeError): void {
    peer.counts.refusedEnvelopes++;
    this.#state.publish("envelope-refused", peer.id, { name: peer.name, code: error.code, details: error.message });
    this.#dropLink(peer, "malformed");
    this.#state.recordOutcome(peer, "protocol-violated");
    this.dialIfNeeded(peer);
  }

  /** Says goodbye on every link: the node stops. */
  closeAll(): void {
    for (const peer of [...this.#state.links.values()]) this.#dropLink(peer, "shutdown");
  }

  // ── messages ──

  handleHello(peer: Peer, link: PeerLink, hello: Hello): void {
    const state = this.#state;
    if (hello.protocol !== PROTOCOL_VERSION) {
      state.publish("envelope-refused", peer.id, { name: peer.name, code: "VERSION_UNSUPPORTED", details: `speaks ${hello.protocol}` });
      this.#dropLink(peer, "malformed");
      state.recordOutcome(peer, "protocol-violated");
      return this.dialIfNeeded(peer);
    }
    this.#recordReturn(peer, hello);
    const verdict = peer.session.handleHello(hello, state.identity.lineage, state.journal);
    if (verdict.kind === "overtaken") {
      state.publish("link-down", peer.id, { name: peer.name, reason: `incarnation ${hello.incarnation} speaks, we know of ${peer.session.peerIncarnation}` });
      this.#dropLink(peer, "overtaken");
      return this.dialIfNeeded(peer, state.now + state.options.backoffBaseNs);
    }
    if (verdict.kind === "history-lost") {
      // A process that was overtaken has an old memory, and no reason to complain: only the store's owner does.
      state.journal.touch(state.node);
      peer.historyLost = true;
      state.publish("history-lost", peer.id, { name: peer.name, who: verdict.who, reason: verdict.reason });
      this.#dropLink(peer, "history-lost");
      return this.dialIfNeeded(peer);
    }
    link.incarnation = hello.incarnation;
    link.receiveReady = peer.session.peerLineage === hello.lineage && peer.session.peerEpoch === hello.epoch;
    for (const address of hello.addresses.slice(0, ADDRESSES_MAX)) if (peer.learnAddress(address)) state.touchPeer(peer);
    state.judgeAddresses(peer);
    if (verdict.kind === "behind") return;
    const first = !link.sendReady;
    if (verdict.kind === "restarted") {
      // Nothing of the new epoch may leave before the Hello that announces it.
      link.sendReady = false;
      if (verdict.lineageChanged) state.publish("lineage-changed", peer.id, { name: peer.name });
      this.#listener.streamLost(peer, verdict.lost, verdict.lineageChanged ? "the peer lost its history" : "the peer ended the session");
      this.#sendHello(peer);
    }
    this.#listener.acknowledged(peer, verdict.acknowledged);
    link.sendReady = true;
    if (first) {
      state.publish("link-up", peer.id, { name: peer.name, incarnation: hello.incarnation });
      state.timers.set("heartbeat", peer, state.now + state.options.heartbeatNs);
      this.#beat(peer, link);
      this.#armDetector(peer);
    }
    this.#resend(peer);
    this.#listener.windowOpened(peer);
    state.peersChanged = true;
  }

  /** A new link: its beats have their own way. A process that we took for dead and that is the same as before teaches us patience. */
  #recordReturn(peer: Peer, hello: Hello): void {
    const { awake, tracker: { watch } } = this.#state;
    watch.forgetOffset(peer.linkSite);
    if (peer.siteVerdict === "down" && hello.incarnation === peer.session.peerIncarnation) watch.recordHeartbeat(peer.linkSite, awake);
    else watch.recordLife(peer.linkSite, awake);
    if (peer.siteVerdict !== "live") this.judge(peer);
  }

  /**
   * Decides on an envelope before anything of it is stored: false if it must not be processed. Marks it accepted
   * otherwise, so the caller must process it in this turn.
   */
  admit(peer: Peer, link: PeerLink, sequence: number, redelivered: boolean): boolean {
    const state = this.#state;
    if (!link.receiveReady) return false; // a stream that we do not follow: its Hello comes first
    const decision = state.governor.checkInbound(peer.id);
    if (!decision.allow) {
      state.publish("peer-blocked", peer.id, { name: peer.name, direction: "in", reason: decision.reason });
      this.#dropLink(peer, "denied");
      return false;
    }
    if (redelivered) peer.counts.redelivered++;
    switch (peer.session.place(sequence)) {
      case "next":
        peer.session.advance(sequence, state.journal);
        return true;
      case "duplicate":
        this.owe(peer, link, "now");
        return false;
      case "gap":
        this.#send(peer, link, { kind: "acknowledge", acknowledged: peer.session.mark, window: this.#grant(peer), gap: true });
        return false;
    }
  }

  /** The peer is owed an acknowledgement. */
  owe(peer: Peer, link: PeerLink, when: "now" | "later"): void {
    if (link.acknowledge !== "now") link.acknowledge = when;
    this.#owing.add(peer);
  }

  handleAcknowledged(peer: Peer, link: PeerLink, mark: number, window: number): void {
    if (!link.sendReady) return; // it may mean a stream that has ended
    const { session } = peer;
    const state = this.#state;
    const entries = session.acknowledge(mark, state.journal);
    if (entries === undefined) {
      return this.handleMisbehaviour(peer, new RuntimeError("ENVELOPE_MALFORMED", { acknowledged: mark, sent: session.nextSequence - 1 }));
    }
    const opened = window > session.peerWindow || entries.length > 0;
    if (opened && state.parkedGates.size > 0) state.peersChanged = true; // one-way sends park until there is room
    session.peerWindow = Math.min(window, WINDOW_MAX);
    if (entries.length > 0) this.#listener.acknowledged(peer, entries);
    if (opened && peer.queue.length > 0) this.#listener.windowOpened(peer);
  }

  handleAcknowledge(peer: Peer, link: PeerLink, message: Acknowledge): void {
    this.handleAcknowledged(peer, link, message.acknowledged, message.window);
    if (message.gap) this.#resend(peer);
  }

  handleHeartbeat(peer: Peer, link: PeerLink, message: Heartbeat): void {
    const state = this.#state;
    const { sentAtUs, intervalUs } = message;
    state.tracker.watch.recordHeartbeat(peer.linkSite, state.awake, { sentAt: sentAtUs * 1e3, intervalNs: intervalUs * 1e3 });
    if (peer.siteVerdict !== "live") this.judge(peer); // which ends the link if the beat is old
    if (peer.link !== link) return;
    this.handleAcknowledged(peer, link, message.acknowledged, message.window);
    if (peer.link === link) {
      // An echo is no traffic of our own: our heartbeats go on beside it.
      state.emit({ kind: "send-frame", link: link.id, frame: encodeMessageFrame({ kind: "heartbeat-echo", beat: message.beat }) });
    }
    this.#armDetector(peer);
  }

  handleHeartbeatEcho(peer: Peer, link: PeerLink, message: HeartbeatEcho): void {
    const state = this.#state;
    const sentAt = link.beatsSentAt.get(message.beat);
    if (sentAt === undefined) return;
    link.beatsSentAt.delete(message.beat);
    state.tracker.watch.recordAnswer(peer.linkSite, state.awake, sentAt);
    if (peer.siteVerdict !== "live") this.judge(peer);
    this.observeLink(peer, state.awake - sentAt);
    state.recordOutcome(peer, "heartbeat-echo");
  }

  handleBackoffNotice(peer: Peer, message: BackoffNotice): void {
    const state = this.#state;
    state.backoff.recordRemoteAdvisory(peer.id, state.now, message.minBackoffNs);
    state.touchPeer(peer);
    state.publish("backoff-advised", peer.id, { name: peer.name, ms: Math.round(message.minBackoffNs / 1e6) });
  }

  handleGoodbye(peer: Peer, code: string): void {
    const state = this.#state;
    this.#dropLink(peer, undefined);
    state.publish("link-down", peer.id, { name: peer.name, reason: `the peer said goodbye: ${code}` });
    if (code === "history-lost") peer.historyLost = true;
    else if (code === "overtaken") peer.session.dispute(state.journal); // ends us if it is true
    else if (!MILD_GOODBYES.has(code)) state.recordOutcome(peer, "link-refused");
    // Whatever made the peer close may last a moment: dialling at once would only repeat it, as fast as both can.
    this.dialIfNeeded(peer, state.now + (code === "duplicate-link" ? DUPLICATE_REDIAL_NS : state.options.backoffBaseNs));
  }

  /** A round trip of the link itself: no sample for the detector, which lives on heartbeats. */
  observeLink(peer: Peer, elapsed: number): void {
    this.#state.tracker.observeRoundTrip(peer.linkSite, undefined, elapsed, this.#state.awake);
  }

  // ── sending ──

  /** Gives a body its number and sends it if the link is ready; otherwise it goes out with the next one. */
  sendBody(peer: Peer, body: UnnumberedBody, deadlineAt: Due): OutboxEntry {
    const entry = peer.session.enqueue(body, deadlineAt, this.#state.journal);
    if (peer.link?.sendReady === true) this.#transmit(peer, peer.link, entry);
    else this.dialIfNeeded(peer);
    return entry;
  }

  sendBackoffNotice(peer: Peer, minBackoffNs: number): void {
    if (peer.link === null) return;
    peer.noticeSentAt = this.#state.now;
    this.#send(peer, peer.link, { kind: "backoff-notice", minBackoffNs });
    this.#state.publish("backoff-sent", peer.id, { name: peer.name, ms: Math.round(minBackoffNs / 1e6) });
  }

  /** Ends a turn: what is owed and rode on nothing goes out by itself. */
  flush(): void {
    const { state, owing } = { state: this.#state, owing: this.#owing };
    for (const peer of owing) {
      const { link } = peer;
      if (link === null || link.acknowledge === "none") owing.delete(peer);
      else if (link.acknowledge === "now") {
        this.sendAcknowledge(peer);
        owing.delete(peer);
      } else if (state.timers.find("acknowledge", peer) === undefined) {
        state.timers.set("acknowledge", peer, state.now + state.options.acknowledgeDelayNs);
      }
    }
    for (const peer of this.#windowLow) {
      if (peer.link === null) this.#windowLow.delete(peer);
      else if (this.#window(peer) > WINDOW_LOW) this.sendAcknowledge(peer);
    }
  }

  sendAcknowledge(peer: Peer): void {
    const { link } = peer;
    if (link === null) return;
    link.acknowledge = "none";
    this.#send(peer, link, { kind: "acknowledge", acknowledged: peer.session.mark, window: this.#grant(peer), gap: false });
  }

  #sendHello(peer: Peer): void {
    const { state, link } = { state: this.#state, link: peer.link as PeerLink };
    const { session } = peer;
    this.#send(peer, link, {
      kind: "hello", protocol: PROTOCOL_VERSION, lineage: state.identity.lineage, incarnation: state.identity.incarnation + session.disputes,
      epoch: session.epoch, lowestUnacknowledged: session.acknowledged + 1, nextSequence: session.nextSequence,
      peerLineage: session.peerLineage, peerEpoch: session.peerEpoch, mark: session.mark,
      window: this.#grant(peer), addresses: state.ownAddresses.slice(0, ADDRESSES_MAX),
    });
  }

  #transmit(peer: Peer, link: PeerLink, entry: OutboxEntry): void {
    const { state } = { state: this.#state };
    const remainingNs = entry.deadlineAt === "never" ? "never" : Math.max(1, Math.floor(entry.deadlineAt - state.now));
    const header = { remainingNs, acknowledged: peer.session.mark, window: this.#grant(peer), redelivered: entry.redelivered } as const;
    state.emit({ kind: "send-frame", link: link.id, frame: encodeEnvelopeFrame(header, entry.sealed) });
    if (entry.sentAt === 0) entry.sentAt = Math.max(1, state.awake);
    link.lastSentAt = state.now;
    link.acknowledge = "none";
    if (state.timers.find("unacknowledged", peer) === undefined) state.timers.set("unacknowledged", peer, state.now + state.options.budgetCeilingNs);
  }

  /** Sends again, in order, whatever the peer has not acknowledged. */
  #resend(peer: Peer): void {
    const { link } = peer;
    if (link === null || !link.sendReady || link.resentTurn === this.#state.turn) return;
    link.resentTurn = this.#state.turn; // once a turn is enough, however often the peer asks
    for (const entry of peer.session.outbox) {
      if (entry.sentAt > 0) entry.redelivered = true;
      this.#transmit(peer, link, entry);
    }
  }

  #send(peer: Peer, link: PeerLink, message: Hello | Acknowledge | Heartbeat | BackoffNotice): void {
    this.#state.emit({ kind: "send-frame", link: link.id, frame: encodeMessageFrame(message) });
    link.lastSentAt = this.#state.now;
  }

  #window(peer: Peer): number {
    if (peer.session.outboxBytes >= OUTBOX_BYTES_MAX) return 0; // it does not take our replies
    const room = EXECUTIONS_MAX - this.#state.executions.size;
    return room > 4 * WINDOW_MAX ? WINDOW_MAX : Math.max(0, Math.floor(room / 4));
  }

  #grant(peer: Peer): number {
    const window = this.#window(peer);
    if (window <= WINDOW_LOW) this.#windowLow.add(peer);
    else if (this.#windowLow.size > 0) this.#windowLow.delete(peer);
    return window;
  }

  // ── timers ──

  handleHeartbeatTimer(peer: Peer): void {
    const { state, link } = { state: this.#state, link: peer.link };
    if (link === null || !link.sendReady) return;
    const dueAt = link.lastSentAt + state.options.heartbeatNs;
    if (dueAt <= state.now) this.#beat(peer, link);
    state.timers.set("heartbeat", peer, Math.max(link.lastSentAt + state.options.heartbeatNs, state.now + 1));
  }

  /** Sends nothing if the acknowledgement found something to ride on. */
  handleAcknowledgeTimer(peer: Peer): void {
    if (peer.link !== null && peer.link.acknowledge !== "none") this.sendAcknowledge(peer);
  }

  /** Judges the silence, or asks whether the peer is there: a heartbeat is answered. */
  handleDetectorTimer(peer: Peer): void {
    const { state } = { state: this.#state };
    this.judge(peer);
    const askAt = state.tracker.watch.nextAsk(peer.linkSite);
    if (askAt !== undefined && askAt <= state.awake && peer.link?.sendReady === true) {
      state.tracker.watch.recordAsked(peer.linkSite, state.awake);
      this.#beat(peer, peer.link);
    }
    this.#armDetector(peer);
  }

  /** Announces the detector's verdict on the peer's link if it changed. */
  judge(peer: Peer): void {
    const state = this.#state;
    const transition = state.tracker.watch.judge(peer.linkSite, state.awake);
    if (transition === undefined) return;
    const verdict = transition.to;
    peer.siteVerdict = verdict;
    state.touchPeer(peer);
    state.peersChanged = true;
    const details: Value = { name: peer.name, phi: transition.to === "live" ? 0 : transition.phi };
    state.publish(verdict === "live" ? "site-live" : verdict === "down" ? "site-down" : "site-suspect", peer.id, details);
    if (verdict === "down") state.failingPeers.add(peer);
    if (verdict !== "down") return;
    if (peer.link !== null) {
      this.#dropLink(peer, "stale");
      this.dialIfNeeded(peer);
    }
    this.#listener.peerFailing(peer);
  }

  handleUnacknowledgedTimer(peer: Peer): void {
    const { state, link } = { state: this.#state, link: peer.link };
    if (link === null) return;
    const oldest = peer.session.outbox[0];
    if (link.sendReady && oldest === undefined) return;
    const since = link.sendReady ? Math.max(oldest?.sentAt ?? 0, link.openedAt) : link.openedAt;
    const dueAt = since + (link.sendReady ? state.options.budgetCeilingNs : HELLO_NS_MAX) + state.pausedNs;
    if (dueAt > state.now) return state.timers.set("unacknowledged", peer, dueAt);
    this.#dropLink(peer, "stale");
    state.recordOutcome(peer, "link-silent");
    this.dialIfNeeded(peer);
  }

  #beat(peer: Peer, link: PeerLink): void {
    const beat = ++link.beat;
    link.beatsSentAt.set(beat, this.#state.awake);
    if (link.beatsSentAt.size > BEATS_MAX) link.beatsSentAt.delete(beat - BEATS_MAX);
    this.#send(peer, link, {
      kind: "heartbeat", beat, acknowledged: peer.session.mark, window: this.#grant(peer),
      sentAtUs: Math.floor(this.#state.now / 1e3), intervalUs: Math.ceil(this.#state.options.heartbeatNs / 1e3),
    });
    link.acknowledge = "none";
  }

  #armDetector(peer: Peer): void {
    const state = this.#state;
    const { watch } = state.tracker;
    const crossing = watch.nextCrossing(peer.linkSite);
    if (crossing === undefined) return;
    const askAt = peer.link?.sendReady === true ? (watch.nextAsk(peer.linkSite) ?? Infinity) : Infinity;
    // Awake time to engine time: what we have slept so far lies between them.
    state.timers.set("detector", peer, Math.max(Math.ceil(Math.min(crossing.at, askAt) + state.pausedNs), state.now + 1));
  }

  // ── one link a peer ──

  /** Of two links whose dials crossed both ends keep the one that the lower id dialled; else the newer. */
  #prefers(peer: Peer, old: PeerLink, newDialled: boolean): boolean {
    if (old.dialled === newDialled) return true;
    if (elapsedNs(this.#state.awake, old.openedAt) > CROSSING_NS) return true;
    const weAreLower = comparePeerIds(this.#state.identity.peer, peer.id) < 0;
    return newDialled === weAreLower;
  }

  #dropLink(peer: Peer, farewell: string | undefined): void {
    const { link } = peer;
    if (link === null) return;
    this.#state.links.delete(link.id);
    this.#forgetLink(peer);
    if (farewell === undefined) this.#state.emit({ kind: "close-link", link: link.id, code: "goodbye" });
    else this.#farewell(link.id, farewell);
  }

  #farewell(link: LinkId, code: string): void {
    this.#state.emit({ kind: "send-frame", link, frame: encodeMessageFrame({ kind: "goodbye", code }) });
    this.#state.emit({ kind: "close-link", link, code });
  }

  #forgetLink(peer: Peer): void {
    peer.link = null;
    this.#state.judgeAddresses(peer);
    peer.references.delete("link");
    this.#owing.delete(peer);
    this.#windowLow.delete(peer);
    for (const reason of ["heartbeat", "acknowledge", "unacknowledged"] as const) this.#state.timers.clear(reason, peer);
  }
}

/** Is there anything between us that a block has to end? */
export function isInvolved({ link, session, inFlight }: Peer): boolean {
  return link !== null || session.outbox.length > 0 || inFlight > 0 || session.mark > 0;
}
