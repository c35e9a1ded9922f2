import { assert, unreachable } from "../base/assert.ts";
import { RuntimeError } from "../base/errors.ts";
import { checkValue, encodeValue } from "../base/value-codec.ts";
import { utf8Length } from "../base/utf8.ts";
import { elapsedNs, NS_PER_S } from "../base/time.ts";
import type { Value } from "../base/value.ts";
import type { ExecutionId, PeerId } from "../base/ids.ts";
import type { Failure } from "../flow/definitions.ts";
import { policyScopeText } from "../peer/policy/peer-policy.ts";
import { HELLO_BYTES_MAX, INGRESS_CAPACITY, NAME_BYTES_MAX, OPERATIONS_PER_TURN } from "../wire/limits.ts";
import type { Envelope, Message, SealedBody } from "../wire/message.ts";
import { decodeMessage } from "../wire/message-codec.ts";
import type { Answer, BusEvent, Effect, EngineEvent, Wake } from "./engine-events.ts";
import { EngineState } from "./engine-state.ts";
import type { Command } from "./command.ts";
import type { Execution } from "./execution.ts";
import { Executor, inputOf, inputOfExecution } from "./executor.ts";
import { isInvolved, PeerLinks } from "./peer-links.ts";
import type { Peer, PeerLink } from "./peer.ts";
import { changePolicy } from "./policy-change.ts";
import { validateGiven } from "./port-values.ts";
import { Requests } from "./requests.ts";
import { restoreRows, type RestoreReport } from "./restore.ts";
import type { Encoded } from "./rows.ts";
import { touchSoftState } from "./soft-state.ts";
import type { StateChange } from "./journal.ts";
import type { TimerEntry } from "./timer-table.ts";

/** At this share of the ingress capacity the peers that cause it are told to back off. */
const HIGH_WATER = INGRESS_CAPACITY * 0.75;
/** A peer gets at most one back-off notice in this time, and is asked for as much. */
const NOTICE_NS = NS_PER_S;
/** A node that runs turns commits at least this often, so that one which was overtaken finds out (decision 10). */
const CONFIRM_NS = 60 * NS_PER_S;

/** What one turn produced. Its effects saw this turn's state: they may leave only when that is durable. */
export interface Turn {
  readonly effects: readonly Effect[];
  /** Operations are left over: poll again at once. */
  readonly more: boolean;
}

/**
 * Engine is the whole of a node that can be had without a clock, a socket, a disk or a promise. Sans-IO:
 *
 *     handle(event)…  ▶  poll(now, wall) ▶ Turn  ▶  takeRecord() ▶ commit ▶ release the turn's effects
 *
 * `handle` only queues. `poll` runs one turn, in this order: recognise our own pause; drain ingress; fire timers in
 * (due, id) order; look again at what was parked at gates; deliver events to the flows subscribed to them; run ready
 * operations, first in, first out, at most `OPERATIONS_PER_TURN`; collect what leaves. Same events, times and seed give
 * the same records and effects, bit for bit. The driver owns the order of commit and release.
 */
/** Messages that say since when their sender lives. */
const TELLING: ReadonlySet<Message["kind"]> = new Set(["hello", "heartbeat", "heartbeat-echo"]);

export class Engine {
  readonly state: EngineState;
  readonly #executor: Executor;
  readonly #requests: Requests;
  readonly #links: PeerLinks;
  #ingress: EngineEvent[] = [];
  #lastPollAt = 0;
  #expectedWakeAt: number | "never" = "never";
  #softAt = 0;
  /** When the last record was taken. */
  #recordAt = 0;
  #frontierWasStored = false;
  #numbersStored = 0;

  constructor(given: ConstructorParameters<typeof EngineState>[0]) {
    this.state = new EngineState(given);
    this.#executor = new Executor(this.state);
    this.#requests = new Requests(this.state, this.#executor);
    this.#links = new PeerLinks(this.state, this.#requests);
    this.#executor.requests = this.#requests;
    this.#executor.links = this.#links;
    this.#requests.links = this.#links;
  }

  /** Starts a node that has no history. */
  begin(now: number, wallMs: number): void {
    this.#startClock(now, wallMs);
    this.state.journal.touch(this.state.node);
    this.state.publish("started", null, { incarnation: this.state.identity.incarnation });
  }

  /**
   * Takes over the rows of the last committed state: the same executions, commands, timers and opinions of peers, and
   * no code run. Throws SNAPSHOT_INVALID naming the row, or DEFINITION_MISSING listing what is not registered.
   */
  restore(rows: readonly Encoded[], now: number, wallMs: number): RestoreReport {
    const report = restoreRows(this.state, rows);
    this.#frontierWasStored = this.state.frontier.persisted;
    this.state.tracker.discount(elapsedNs(now, this.state.now));
    this.#startClock(now, wallMs);
    this.state.journal.touch(this.state.node);
    this.state.pausedNs = elapsedNs(now, report.awakeAtCommit);
    for (const execution of this.state.executions.values()) {
      if (execution.deadlineAt !== "never") this.state.timers.set("execution-deadline", execution, execution.deadlineAt);
    }
    for (const command of [...this.state.commands.values()]) {
      const execution = this.state.executions.get(command.execution);
      if (execution !== undefined && !command.ended) this.#executor.resume(command, execution);
    }
    for (const execution of this.state.executions.values()) this.#executor.resumeMaps(execution);
    this.enforcePolicy(); // the configuration's lists may have changed since
    this.state.publish("restored", null, { incarnation: this.state.identity.incarnation, executions: this.state.executions.size });
    return report;
  }

  /** Takes an event; it counts when a turn that drained it is committed. `full`: poll first. */
  handle(event: EngineEvent): "accepted" | "full" {
    if (this.#ingress.length >= INGRESS_CAPACITY) return "full";
    this.#ingress.push(event);
    return "accepted";
  }

  get hasWork(): boolean {
    // Effects between two turns are those of `begin` and `restore`: the first turn carries them.
    return this.#ingress.length > 0 || this.state.frontier.size > 0 || this.state.bus.size > 0 || this.state.effects.length > 0;
  }

  /** Runs one turn. `now`: engine time, never going back; `wallMs`: ms since 1970. */
  poll(now: number, wallMs: number): Turn {
    const { state } = this;
    state.now = Math.max(state.now, now);
    state.wallMs = wallMs;
    state.turn++;
    this.#recognisePause();
    if (this.#expirePolicy()) this.enforcePolicy();
    if (this.#ingress.length >= HIGH_WATER) this.#sendNotices();
    this.#drainIngress();
    this.#fireTimers();
    this.#requests.reconsiderFailing();
    if (state.peersChanged) {
      state.peersChanged = false;
      this.#executor.retryGates();
    }
    for (const event of state.bus.drain(state.journal)) this.#deliver(event);
    this.#executor.run(OPERATIONS_PER_TURN);
    this.#executor.endTurn();
    this.#links.flush();
    this.#storeFrontier();
    this.#storeNumbers();
    if (elapsedNs(state.now, this.#recordAt) >= CONFIRM_NS) state.journal.touch(state.node);
    const { effects } = state;
    state.effects = [];
    this.#lastPollAt = state.now;
    this.#expectedWakeAt = this.nextTimeout()?.at ?? "never";
    return { effects, more: this.hasWork };
  }

  /** When to poll again if nothing happens before; looks only. */
  nextTimeout(): Wake | undefined {
    if (this.hasWork) return { at: this.state.now, reason: "command-due" };
    const entry = this.state.timers.next();
    return entry === undefined ? undefined : { at: entry.due, reason: entry.reason };
  }

  /** Has anything changed since the last record was taken? */
  get hasChanges(): boolean {
    return !this.state.journal.isEmpty;
  }

  /** Everything that changed since the last record: to be made durable as one. Taken between two turns. */
  takeRecord(): StateChange {
    const { state } = this;
    if (elapsedNs(state.now, this.#softAt) >= state.options.softEveryNs) {
      this.#softAt = state.now;
      touchSoftState(state);
      state.finished.expire(state.now, state.journal);
    }
    this.#recordAt = state.now;
    state.journal.touch(state.node);
    return state.journal.take();
  }

  /** Says goodbye on every link; the next turn's effects carry it. */
  #drain(): void {
    this.state.draining = true;
    this.state.publish("draining", null);
    this.#links.closeAll();
  }

  #startClock(now: number, wallMs: number): void {
    assert(now >= 1 && now >= this.state.now, "the engine's clock starts at 1 and never goes back");
    this.state.now = now;
    this.state.wallMs = wallMs;
    this.#lastPollAt = now;
    this.#softAt = now;
    this.#recordAt = now;
    this.#numbersStored = this.#numbersDrawn();
  }

  /**
   * Time in which nobody polled us although we had asked for it says nothing about our peers: it is taken out of every
   * silence and every attempt's budget. What arrived meanwhile is drained before anybody is judged. Our store may have been
   * taken over in that time, so nothing leaves before a commit has shown that it was not.
   */
  #recognisePause(): void {
    const { state } = this;
    if (this.#expectedWakeAt === "never") return;
    const pause = state.now - Math.max(this.#lastPollAt, this.#expectedWakeAt);
    if (pause < state.options.pauseMinNs) return;
    // What arrived while nobody looked may still lie in a socket. So timers that fell due in the pause get a moment
    // more; a bounded one, so that a node that is always late finds a dead peer too.
    state.pausedNs += pause + Math.min(Math.max(0, this.#expectedWakeAt - this.#lastPollAt), state.options.pauseMinNs / 2);
    state.count("pauses");
    state.journal.touch(state.node);
    state.publish("pause-recognised", null, { ms: Math.round(pause / 1e6) });
  }

  // ── ingress ──

  #drainIngress(): void {
    // What `handle` adds while we drain waits for the next turn.
    const events = this.#ingress;
    this.#ingress = [];
    for (const event of events) this.#take(event);
  }

  #take(event: EngineEvent): void {
    const { state } = this;
    switch (event.kind) {
      case "frame-received": return this.#takeFrame(event.link, event.body);
      case "link-opened": return this.#links.handleLinkOpened(event.link, event.peer, event.dialled, event.remote);
      case "link-closed": return this.#links.handleLinkClosed(event.link, event.reason, event.blamesPeer);
      case "dial-failed": return this.#links.handleDialFailed(event.peer, event.reason, event.fault ?? "refused");
      case "network-changed": return this.#tryAllAnew();
      case "host-completed": return this.#executor.handleHostCompleted(event.command, event.value);
      case "host-failed": {
        const { code, message, details } = event;
        return this.#executor.handleHostFailed(event.command, { code, message, details });
      }
      case "output-delivered": return this.#executor.handleOutputDelivered(event.command);
      case "invoked": return this.#answer(event.tag, this.#invoke(event));
      case "signalled": return this.#answer(event.tag, this.#signal(event.execution, event.event, event.value));
      case "cancel-requested": return this.#answer(event.tag, this.#cancel(event.execution));
      case "retry-requested": return this.#answer(event.tag, this.#retry(event.execution));
      case "application-event":
        state.bus.publish({ event: event.event, peer: null, details: event.value }, state.journal);
        return this.#answer(event.tag, { ok: true, execution: null });
      case "policy-changed": return this.#changePolicy(event);
      case "peer-configured": return this.#configurePeer(event);
      case "drain-requested": return this.#drain();
      default: return unreachable(event);
    }
  }

  #takeFrame(linkId: number, body: Uint8Array): void {
    const { state } = this;
    const peer = state.links.get(linkId);
    const link = peer?.link;
    if (peer === undefined || link === null || link === undefined) return; // a link that we let go
    let message: Message;
    try {
      if (!link.sendReady && body.length > HELLO_BYTES_MAX) throw new RuntimeError("FRAME_TOO_LARGE", { bytes: body.length, limit: HELLO_BYTES_MAX });
      message = decodeMessage(body);
    } catch (error) {
      if (!(error instanceof RuntimeError)) throw error;
      return this.#links.handleMisbehaviour(peer, error);
    }
    link.lastReceivedAt = state.now;
    state.heard();
    // What says more than that somebody lives is told where it is handled.
    if (!TELLING.has(message.kind)) {
      state.tracker.watch.recordLife(peer.linkSite, state.awake);
      if (peer.siteVerdict !== "live") this.#links.judge(peer);
    }
    state.endFailureBackoff(peer);
    switch (message.kind) {
      case "hello": return this.#links.handleHello(peer, link, message);
      case "envelope": return this.#takeEnvelope(peer, link, message);
      case "acknowledge": return this.#links.handleAcknowledge(peer, link, message);
      case "heartbeat": return this.#links.handleHeartbeat(peer, link, message);
      case "heartbeat-echo": return this.#links.handleHeartbeatEcho(peer, link, message);
      case "backoff-notice": return this.#links.handleBackoffNotice(peer, message);
      case "goodbye": return this.#links.handleGoodbye(peer, message.code);
      default: return unreachable(message);
    }
  }

  #takeEnvelope(peer: Peer, link: PeerLink, { header, body }: Envelope): void {
    if (body.type === "request" && peer.session.overfull) {
      return this.#links.handleMisbehaviour(peer, new RuntimeError("FULL", { reason: "it asks on and takes no replies" }));
    }
    if (!this.#links.admit(peer, link, body.sequence, header.redelivered)) return;
    // A request is acknowledged with this turn; anything else may wait for something to ride on.
    this.#links.owe(peer, link, body.type === "request" ? "now" : "later");
    // The body goes first: a reply ends its request, and whether that was accepted is of no interest any more.
    this.#takeBody(peer, body, header.remainingNs);
    this.#links.handleAcknowledged(peer, link, header.acknowledged, header.window);
  }

  #takeBody(peer: Peer, body: SealedBody, remainingNs: number | "never"): void {
    switch (body.type) {
      case "request": return this.#executor.handleRequest(peer, body, remainingNs);
      case "reply": return this.#requests.handleReply(peer, body);
      case "cancel": return this.#executor.handleCancel(peer.id, body.request, body.attempt);
      default: return unreachable(body);
    }
  }

  /** Tells the peers that fill the ingress to hold back new requests. */
  #sendNotices(): void {
    const { state } = this;
    const senders = new Map<Peer, number>();
    for (const event of this.#ingress) {
      const peer = event.kind === "frame-received" ? state.links.get(event.link) : undefined;
      if (peer !== undefined) senders.set(peer, (senders.get(peer) ?? 0) + 1);
    }
    // Those that send at least their even share cause it; the others are spared. All that is our own counts as one more.
    const foreign = [...senders.values()].reduce((sum, count) => sum + count, 0);
    const share = this.#ingress.length / (senders.size + (foreign < this.#ingress.length ? 1 : 0));
    for (const [peer, count] of senders) {
      if (count >= share && (peer.noticeSentAt === 0 || elapsedNs(state.now, peer.noticeSentAt) >= NOTICE_NS)) this.#links.sendBackoffNotice(peer, NOTICE_NS);
    }
  }

  // ── what the application asks ──

  #answer(tag: number, answer: Answer): void {
    this.state.emit({ kind: "answer", tag, answer });
  }

  #invoke({ id, flow, input, deadlineNs }: Extract<EngineEvent, { kind: "invoked" }>): Answer {
    const { state } = this;
    const program = state.programByAddress(flow);
    if (program === undefined) return refusal("NOT_FOUND", `There is no flow ${flow}.`);
    if (id !== null && !isName(id)) return refusal("SCHEMA", "An execution id is a text of 1 to 4096 bytes that does not begin with #.");
    const checked = validateGiven(state, program.program, input);
    if (!checked.ok) return refusal("SCHEMA", checked.failure.message, checked.failure.details);
    if (id !== null) {
      const known = state.executions.get(id) ?? state.finished.get(id);
      if (known !== undefined) {
        const before = "input" in known ? known.input : inputOfExecution(known);
        const same = sameBytes(encodeValue(before), encodeValue(inputOf(program, checked.values)));
        const name = "input" in known ? known.flow : known.program.program.name;
        if (same && name === program.program.name) return { ok: true, execution: id };
        return refusal("CONFLICT", `${id} was started with another flow or another input.`);
      }
    }
    if (state.executionsFull) return refusal("FULL", "Too many executions are live.");
    if (state.draining) return refusal("FULL", "The node is stopping.");
    const deadlineAt = deadlineNs === null || deadlineNs === "never" ? ("never" as const) : state.now + deadlineNs;
    const execution = this.#executor.start(program, { kind: "application" }, checked.values, { id: id ?? undefined, deadlineAt });
    return { ok: true, execution: execution.id };
  }

  #signal(id: ExecutionId, event: string, value: Value): Answer {
    const result = this.#executor.handleSignal(id, event, value);
    if (result === true) return { ok: true, execution: id };
    if (result === false) return refusal("NOT_FOUND", `${id} is not running.`);
    return refusal(result.code === "SCHEMA" || result.code === "FULL" ? result.code : "NOT_FOUND", result.message, result.details);
  }

  #cancel(id: ExecutionId): Answer {
    const execution = this.state.executions.get(id);
    if (execution === undefined) return refusal("NOT_FOUND", `${id} is not running.`);
    this.#executor.cancel(execution, cancelled(execution));
    return { ok: true, execution: id };
  }

  #retry(id: ExecutionId): Answer {
    const { state } = this;
    const finished = state.finished.get(id);
    if (finished === undefined || finished.outcome.ok) return refusal("NOT_FOUND", `There is no failed execution ${id}.`);
    const program = state.programByAddress(finished.flow);
    if (program === undefined) return refusal("NOT_FOUND", `There is no flow ${finished.flow}.`);
    const checked = validateGiven(state, program.program, finished.input);
    if (!checked.ok) return refusal("SCHEMA", checked.failure.message, checked.failure.details);
    if (state.executionsFull) return refusal("FULL", "Too many executions are live.");
    if (state.draining) return refusal("FULL", "The node is stopping.");
    state.finished.remove(id, state.journal);
    this.#executor.start(program, { kind: "application" }, checked.values, { id });
    return { ok: true, execution: id };
  }

  #changePolicy({ change, tag }: Extract<EngineEvent, { kind: "policy-changed" }>): void {
    const { state } = this;
    const refused = changePolicy(state.governor.policy, change, state.now);
    if (refused !== undefined) return this.#answer(tag, refused);
    state.journal.touch(state.policy);
    this.enforcePolicy();
    this.#answer(tag, { ok: true, execution: null });
  }

  /** What was decided for a time ends at its instant, before anything else of the turn is judged. True if something ended. */
  #expirePolicy(): boolean {
    const { state } = this;
    const expired = state.governor.policy.expire(state.now);
    if (expired.length === 0) return false;
    state.journal.touch(state.policy);
    for (const entry of expired) {
      const peer = entry.on === "peer" ? (entry.what as PeerId) : null;
      state.publish("policy-expired", peer, { kind: entry.kind, scope: policyScopeText(entry), by: entry.by, reason: entry.reason });
    }
    return true;
  }

  /** Cuts off every peer that policy denies, dials those that it admits again, and wakes when the next entry expires. */
  enforcePolicy(): void {
    const { state } = this;
    const { policy } = state.governor;
    if (policy.nextExpiry === "never") state.timers.clear("policy", state.policyExpiry);
    else state.timers.set("policy", state.policyExpiry, policy.nextExpiry);
    for (const peer of state.peers.values()) {
      if (!state.judgeAddresses(peer).allow) {
        if (isInvolved(peer)) this.#links.cutOff(peer);
        else state.withdrawFrom(peer);
        continue;
      }
      state.readmit(peer);
      if (peer.link !== null && !policy.checkAddress(peer.id, peer.link.remote).allow) this.#links.dropDeniedLink(peer);
      this.#links.dialIfNeeded(peer);
    }
    state.peersChanged = true;
  }

  #tryAllAnew(): void {
    this.state.heard();
    for (const peer of this.state.peers.values()) this.#links.tryAnew(peer);
    this.state.peersChanged = true;
  }

  #configurePeer(event: Extract<EngineEvent, { kind: "peer-configured" }>): void {
    const { state } = this;
    const peer = state.peer(event.peer);
    peer.name = event.name;
    peer.keepLink = event.keepLink;
    peer.references.add("configuration");
    if (event.name !== null) state.peersByName.set(event.name, peer);
    // What the configuration says comes first; what was learned stays behind it.
    const learned = peer.addresses.splice(0);
    for (const address of [...event.addresses, ...learned]) peer.learnAddress(address);
    state.touchPeer(peer);
    state.judgeAddresses(peer);
    state.peersChanged = true;
    if (event.addresses.some((address) => !learned.includes(address))) return this.#links.tryAnew(peer);
    this.#links.dialIfNeeded(peer);
  }

  // ── timers and events ──

  #fireTimers(): void {
    const { state } = this;
    for (let entry = state.timers.pollDue(state.now); entry !== undefined; entry = state.timers.pollDue(state.now)) this.#fire(entry);
  }

  #fire({ reason, subject }: TimerEntry): void {
    switch (reason) {
      case "command-due": return this.#executor.handleDue(subject as Command);
      case "gate": return this.#executor.retryGate(subject as Command);
      case "attempt-budget": return this.#requests.handleBudgetTimer(subject as Command);
      case "execution-deadline": return this.#executor.handleDeadline(subject as Execution);
      case "heartbeat": return this.#links.handleHeartbeatTimer(subject as Peer);
      case "detector": return this.#links.handleDetectorTimer(subject as Peer);
      case "dial": return this.#links.handleDialTimer(subject as Peer);
      case "acknowledge": return this.#links.handleAcknowledgeTimer(subject as Peer);
      case "unacknowledged": return this.#links.handleUnacknowledgedTimer(subject as Peer);
      case "policy": return; // it woke us: entries expire before anything is taken in
      default: return unreachable(reason);
    }
  }

  #deliver(event: BusEvent): void {
    const { state } = this;
    for (const hash of state.bus.subscribersOf(event.event)) {
      const program = state.programByAddress(hash);
      if (program === undefined || state.executionsFull) {
        state.count("events-dropped");
        continue;
      }
      const value: Value = { event: event.event, peer: event.peer, details: event.details };
      checkValue(value);
      this.#executor.start(program, { kind: "event", event: event.event }, program.program.inputs.map(() => value));
    }
  }

  /** Ids and random numbers that a turn drew are never drawn again, even if nothing else of it had to be stored. */
  #storeNumbers(): void {
    const drawn = this.#numbersDrawn();
    if (drawn === this.#numbersStored) return;
    this.#numbersStored = drawn;
    this.state.journal.touch(this.state.node);
  }

  #numbersDrawn(): number {
    const { nextCommand, nextExecution, random } = this.state;
    return nextCommand + nextExecution + random.draws;
  }

  #storeFrontier(): void {
    const { frontier, journal } = this.state;
    if (frontier.size === 0 && !this.#frontierWasStored) return;
    this.#frontierWasStored = frontier.size > 0;
    journal.touch(frontier);
  }
}

function refusal(code: "NOT_FOUND" | "CONFLICT" | "FULL" | "SCHEMA", message: string, details: Value = null): Answer {
  return { ok: false, code, message, details };
}

function cancelled(execution: Execution): Failure {
  return { code: "CANCELLED", message: "The execution was cancelled.", at: [execution.program.program.name], details: null };
}

function isName(text: string): boolean {
  const length = utf8Length(text);
  return length >= 1 && length <= NAME_BYTES_MAX && !text.startsWith("#");
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
