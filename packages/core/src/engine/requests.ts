import { decodeValue } from "../base/value-codec.ts";
import type { Value } from "../base/value.ts";
import { LINK_SITE, type CommandId, type PeerId } from "../base/ids.ts";
import { attemptBudgetNs } from "../peer/deadlines/attempt-budget.ts";
import type { Chain } from "../base/ids.ts";
import type { Operation } from "../flow/program.ts";
import type { Failure } from "../flow/definitions.ts";
import { isRepeatable } from "../flow/repeatable.ts";
import type { AttemptOutcome } from "../peer/selection/relative-outliers.ts";
import type { SiteHandle } from "../peer/deadlines/rtt-tracker.ts";
import type { EdgeReport, PortPayload, ReplyBody } from "../wire/message.ts";
import type { Attempt, Command } from "./command.ts";
import type { EngineState } from "./engine-state.ts";
import type { Execution } from "./execution.ts";
import { parseFailure } from "./finished-executions.ts";
import type { Peer } from "./peer.ts";
import type { PeerLinks, StreamListener } from "./peer-links.ts";
import { validateOutputs, valueFailure } from "./port-values.ts";
import { choosePeer, groupOf, isFailing } from "./selection.ts";
import type { OutboxEntry } from "./session.ts";

export type CallOperation = Extract<Operation, { kind: "call" }>;

/** Why a call asks another peer: the one asked may fail, is merely slow, or is gone with what was asked of it. */
type FurtherAttempt = "retry" | "hedge" | "failover";

/** Who learns how a request ended. */
export interface RequestListener {
  requestCompleted(command: Command, values: readonly Value[]): void;
  requestFailed(command: Command, failure: Failure): void;
  /** The peer's session ended: what it had asked of us has nobody to answer to. */
  callerLost(peer: PeerId): void;
}

/** Of how many onward edges a reply tells. */
const REPORTS_TOLD_MAX = 16;

/**
 * Requests drives the calls: one command each, one or more attempts on different peers, of which the first to complete
 * wins. A learned budget bounds each attempt, first until the peer has accepted the request (site `link`), then until
 * it replies (site of the flow); when it runs out it doubles, and the call goes on. Only a reply, the deadline, a
 * cancellation, policy or a changed lineage end a call. Source: design.md §3.
 */
export class Requests implements StreamListener {
  readonly #state: EngineState;
  readonly #listener: RequestListener;
  /** The chains on which this node has called onwards, by flow. */
  readonly #edgesUsed = new Map<string, { chainId: Chain["id"]; hopIndex: number }>();
  /** Set once, by whoever makes both: links and requests know each other. */
  links!: PeerLinks;

  constructor(state: EngineState, listener: RequestListener) {
    this.#state = state;
    this.#listener = listener;
  }

  /** Starts the next attempt of a request, on this peer. */
  begin(command: Command, execution: Execution, peer: Peer): void {
    const attempt: Attempt = {
      peer: peer.id, number: ++command.attempt, state: "queued", sentAt: 0, redelivered: false, doublings: 0,
      budgetFrom: this.#state.awake, budgetNs: 0, beganAt: this.#state.awake, load: null,
    };
    this.#burden(command, execution, peer, attempt);
    command.attempts.push(attempt);
    peer.inFlight++;
    peer.counts.calls++;
    this.#state.journal.touch(command);
    if (peer.queue.length === 0 && peer.session.admitsRequest) this.#seal(command, execution, peer, attempt);
    else peer.queue.push(command);
    this.#armBudget(command);
  }

  /** After a restart: puts attempts back where they stood. */
  resume(command: Command): void {
    if (command.attempts.length === 0) { // they went with the history that an operator gave up
      this.#state.removeCommand(command);
      const details = { peers: [...command.failedPeers.keys()] };
      const message = "The call may or may not have run: this node's history was given up.";
      return this.#listener.requestFailed(command, { code: "OUTCOME_UNKNOWN", message, at: [], details });
    }
    for (const attempt of command.attempts) {
      const peer = this.#state.peer(attempt.peer);
      peer.inFlight++;
      const execution = this.#state.executions.get(command.execution);
      if (execution !== undefined) this.#burden(command, execution, peer, attempt);
      if (attempt.state === "queued") peer.queue.push(command);
    }
    this.#armBudget(command);
  }

  handleReply(peer: Peer, body: ReplyBody): void {
    const state = this.#state;
    state.recordOutcome(peer, "reply");
    this.#ingestReports(peer, body.reports);
    const command = state.commands.get(body.request as CommandId);
    const attempt = command?.attempts.find((one) => one.peer === peer.id && one.number === body.attempt);
    if (command === undefined || command.kind !== "request" || attempt === undefined) return; // late: changes nothing
    const execution = state.executions.get(command.execution);
    if (execution === undefined) return;
    const operation = execution.program.operations[command.operation] as CallOperation;
    peer.counts.replies++;
    this.#observeReply(peer, execution, operation, attempt, body.outcome === "refused");
    this.#learnAnswer(command, operation, peer, attempt, body.outcome);
    if (body.outcome === "ok") return this.#complete(command, execution, operation, attempt, body.ports);
    const failure = failureFrom(body.ports);
    if (body.outcome === "refused") {
      if (failure.code === "FULL") state.recordOverload(peer);
      // It never ran there; who else was asked may still answer.
      this.#endAttempt(command, attempt, `refused: ${failure.code}`);
      if (this.#tryAnother(command, execution, operation, "retry") || command.attempts.length > 0) return this.#armBudget(command);
    }
    this.#finish(command, attempt);
    this.#listener.requestFailed(command, failure);
  }

  acknowledged(peer: Peer, entries: readonly OutboxEntry[]): void {
    const state = this.#state;
    for (const entry of entries) {
      if (entry.type !== "request") continue;
      const command = state.commands.get(entry.request as CommandId);
      const attempt = command?.attempts.find((one) => one.peer === peer.id && one.number === entry.attempt);
      if (entry.sentAt > 0 && !entry.redelivered) this.links.observeLink(peer, state.awake - entry.sentAt);
      if (command === undefined || attempt === undefined) {
        state.releaseProbe(peer.id, oneWayOwner(entry.request));
        state.recordOutcome(peer, "acknowledgement"); // a one-way send
        continue;
      }
      if (attempt.doublings > 0 && !entry.redelivered) this.#observeLate(peer.timing(LINK_SITE, state.tracker));
      state.tracker.observeAnswer(peer.timing(LINK_SITE, state.tracker));
      attempt.state = "accepted";
      attempt.redelivered ||= entry.redelivered;
      if (attempt.sentAt === 0) attempt.sentAt = entry.sentAt; // there was no link when it was sealed
      attempt.doublings = 0;
      attempt.budgetFrom = state.awake;
      attempt.budgetNs = 0;
      state.journal.touch(command);
      this.#armBudget(command);
    }
  }

  windowOpened(peer: Peer): void {
    const state = this.#state;
    if (state.parkedGates.size > 0) state.peersChanged = true; // one-way sends wait there
    while (peer.queue.length > 0 && peer.session.admitsRequest) {
      const command = peer.queue.shift() as Command;
      const execution = state.executions.get(command.execution);
      const attempt = command.attempts.find((one) => one.peer === peer.id && one.state === "queued");
      if (!command.ended && execution !== undefined && attempt !== undefined) this.#seal(command, execution, peer, attempt);
    }
  }

  streamLost(peer: Peer, _entries: readonly OutboxEntry[], reason: string): void {
    const state = this.#state;
    peer.queue.length = 0;
    // First everything that was on that stream ends. A failure may make others be given up, and answer whoever asked for
    // them: none of that may cancel, or reply, in the stream that begins now.
    const lost: Command[] = [];
    for (const command of state.commands.values()) {
      const attempt = command.kind === "request" ? command.attempts.find((one) => one.peer === peer.id) : undefined;
      if (attempt !== undefined && this.#endAttempt(command, attempt, reason)) lost.push(command);
    }
    this.#listener.callerLost(peer.id);
    for (const command of lost) {
      const execution = state.executions.get(command.execution);
      if (command.ended || execution === undefined) continue;
      const operation = execution.program.operations[command.operation] as CallOperation;
      if (command.attempts.length > 0 || this.#tryAnother(command, execution, operation, "failover")) continue;
      this.cancel(command);
      const failure = { code: "OUTCOME_UNKNOWN", message: `The call may or may not have run: ${reason}.`, at: [], details: { peer: peer.id } };
      this.#listener.requestFailed(command, failure);
    }
  }

  /** Gives up a request: every attempt that may have reached its peer is cancelled there, durably. */
  cancel(command: Command): void {
    for (const attempt of command.attempts) this.#release(command, attempt, true);
    command.attempts.length = 0;
    this.#state.removeCommand(command);
  }

  /** Looks at once at everything that was asked of peers which have just begun to fail. */
  reconsiderFailing(): void {
    const { failingPeers, commands } = this.#state;
    if (failingPeers.size === 0) return;
    for (const command of [...commands.values()]) {
      const affected = command.attempts.some((attempt) => failingPeers.has(this.#state.peer(attempt.peer)));
      if (affected) this.handleBudgetTimer(command);
    }
    failingPeers.clear();
  }

  handleBudgetTimer(command: Command): void {
    const state = this.#state;
    const execution = state.executions.get(command.execution);
    if (execution === undefined) return;
    const operation = execution.program.operations[command.operation] as CallOperation;
    let wanted: FurtherAttempt | undefined;
    for (const attempt of command.attempts) {
      const peer = state.peer(attempt.peer);
      const overdue = state.awake - attempt.budgetFrom >= this.#budget(attempt, peer, execution, operation);
      const failing = attempt.state === "accepted" && isFailing(state, peer);
      const judged = overdue ? this.#judgeOverdue(command, attempt, peer, execution, operation) : failing ? "retry" : undefined;
      if (judged === "retry" || wanted === undefined) wanted = judged;
    }
    if (wanted !== undefined) this.#tryAnother(command, execution, operation, wanted);
    this.#armBudget(command);
  }

  /** A peer has begun to fail: what it accepted and does not answer may go to another. */
  peerFailing(peer: Peer): void {
    for (const command of [...this.#state.commands.values()]) {
      if (command.kind === "request" && command.attempts.some((attempt) => attempt.peer === peer.id)) this.handleBudgetTimer(command);
    }
  }

  /** What we measured of our own onward edges, for replies to tell. */
  reports(): EdgeReport[] {
    const reports: EdgeReport[] = [];
    for (const [flow, chain] of this.#edgesUsed) {
      for (const peer of this.#state.peers.values()) {
        const edge = this.#state.tracker.edge(peer.site(flow), chain);
        if (edge === undefined) continue;
        reports.push({ nextHop: `${peer.id}/${flow}`, chain: chain.chainId, hop: chain.hopIndex, srttNs: edge.srttNs, rttvarNs: edge.rttvarNs, count: edge.sampleCount });
        if (reports.length === REPORTS_TOLD_MAX) return reports;
      }
    }
    return reports;
  }

  /**
   * Attempts are numbered, so a reply tells which one it answers: it gives a sample unless that was sent again over a
   * new link. Back-off ends without one.
   */
  #observeReply(peer: Peer, execution: Execution, operation: CallOperation, attempt: Attempt, refused: boolean): void {
    const { tracker, awake } = this.#state;
    const site = peer.timing(operation.flow, tracker);
    if (attempt.state === "accepted" && attempt.doublings > 0 && !attempt.redelivered) this.#observeLate(site);
    tracker.observeAnswer(site);
    if (attempt.sentAt === 0 || attempt.redelivered || refused) return;
    tracker.observeRoundTrip(site, chainOf(execution, operation), awake - attempt.sentAt, awake);
  }

  /** An answer after the budget had run out: the timeout was spurious. */
  #observeLate(site: SiteHandle): void {
    this.#state.tracker.observeLateReply(site);
    this.#state.count("spurious-timeouts");
  }

  /** The budget of an attempt ran out: it doubles. Says whether another peer should be asked, and as what. */
  #judgeOverdue(command: Command, attempt: Attempt, peer: Peer, execution: Execution, operation: CallOperation): FurtherAttempt | undefined {
    const state = this.#state;
    const from = attempt.budgetFrom;
    attempt.budgetFrom = state.awake;
    attempt.doublings++;
    attempt.budgetNs = attemptBudgetNs(attempt.budgetNs, 1, state.options.budgetCeilingNs);
    if (attempt.state === "queued") return "retry"; // overload says nothing about the peer
    // Once a call and stage: it is the attempt's own budget that doubles from then on.
    if (attempt.doublings === 1) {
      state.tracker.observeTimeout(peer.timing(attempt.state === "sent" ? LINK_SITE : operation.flow, state.tracker), from, state.awake);
    }
    if (attempt.state === "sent") {
      state.recordOutcome(peer, "attempt-timed-out");
      if (attempt.doublings === 1) this.#recordLoad(command, operation, peer, "failed");
      return "retry";
    }
    if (isFailing(state, peer)) return "retry";
    // Accepted, and it shows life: slow, if we know better. A budget that nobody learned is no evidence.
    const shownLife = peer.link !== null && peer.link.lastReceivedAt - state.pausedNs >= from;
    const context = { via: peer.linkSite, now: state.awake };
    const isSlow = shownLife && state.tracker.budgetTier(peer.site(operation.flow), chainOf(execution, operation), context) !== "static";
    return isSlow ? "hedge" : undefined;
  }

  /** The attempt's budget, in ns: it follows what is learned upwards, and is never shortened while it runs. */
  #budget(attempt: Attempt, peer: Peer, execution: Execution, operation: CallOperation): number {
    const { tracker, options, awake } = this.#state;
    const learned = attempt.state === "accepted"
      ? tracker.estimateBudget(peer.timing(operation.flow, tracker), chainOf(execution, operation), options.perHopBudgetNs, { via: peer.linkSite, now: awake })
      : tracker.estimateBudget(peer.timing(LINK_SITE, tracker), undefined, options.perHopBudgetNs, { now: awake });
    return (attempt.budgetNs = Math.max(attempt.budgetNs, attemptBudgetNs(learned, 0, options.budgetCeilingNs)));
  }

  #armBudget(command: Command): void {
    const state = this.#state;
    const execution = state.executions.get(command.execution);
    if (execution === undefined || command.attempts.length === 0) return;
    const operation = execution.program.operations[command.operation] as CallOperation;
    let next = Infinity;
    for (const attempt of command.attempts) {
      next = Math.min(next, attempt.budgetFrom + this.#budget(attempt, state.peer(attempt.peer), execution, operation));
    }
    state.timers.set("attempt-budget", command, Math.max(Math.ceil(next + state.pausedNs), state.now + 1));
  }

  /**
   * A retry is one of the attempts that the call declares, and may go out whatever the flow does: who declares them says that
   * it may run again. A hedge goes out beside one attempt that is merely slow, and only of a flow that may run twice; a
   * call that declares no further attempt gets one for it.
   */
  #tryAnother(command: Command, execution: Execution, operation: CallOperation, kind: FurtherAttempt): boolean {
    const state = this.#state;
    const attemptsMax = kind === "hedge" ? Math.max(2, operation.attempts) : operation.attempts;
    if (command.attempt >= attemptsMax || groupOf(command.subject) === undefined) return false;
    if (kind === "hedge" && (command.attempts.length > 1 || !this.#mayHedge(operation))) return false;
    const tried = new Set([...command.attempts.map((attempt) => attempt.peer), ...command.failedPeers.keys()]);
    const choice = choosePeer(state, command.subject, operation.flow, tried);
    if (choice.kind !== "peer" || choice.peer.link?.sendReady !== true) return false;
    if (kind === "hedge" && isFailing(state, choice.peer)) return false; // no better than the slow one
    if (!this.#isInstead(command, kind) && !state.mayAddAttempt(choice.peer, kind === "hedge" ? "hedge" : "retry")) return false;
    if (kind === "hedge") state.count("hedges");
    this.begin(command, execution, choice.peer);
    return true;
  }

  /**
   * Does the attempt take the place of one that cannot be answered, as its stream is lost, or its peer has no link? Then it
   * adds load to nobody, and no budget of further attempts keeps work from those who can do it.
   */
  #isInstead(command: Command, kind: FurtherAttempt): boolean {
    if (kind !== "retry") return kind === "failover";
    return command.attempts.length > 0 && command.attempts.every((attempt) => this.#state.peer(attempt.peer).link === null);
  }

  #mayHedge(operation: CallOperation): boolean {
    const { options, definitions } = this.#state;
    return options.hedging && operation.hedge !== "never" && isRepeatable(operation.flow, definitions);
  }

  // ── what attempts teach about the members of a group ──

  #burden(command: Command, execution: Execution, peer: Peer, attempt: Attempt): void {
    const { flow } = execution.program.operations[command.operation] as CallOperation;
    attempt.load = this.#state.loads.load(peer, flow);
    attempt.load.latency.began(this.#state.awake);
  }

  /** An answer with a value is a sample; one with the application's error proves that the peer works; a refusal is a failure. */
  #learnAnswer(command: Command, operation: CallOperation, peer: Peer, attempt: Attempt, outcome: ReplyBody["outcome"]): void {
    const { awake, loads } = this.#state;
    const { load } = attempt;
    if (load === null) return;
    attempt.load = null;
    const waitedNs = attempt.beganAt === 0 ? 0 : awake - attempt.beganAt;
    const group = loads.group(groupOf(command.subject) ?? "", operation.flow);
    if (outcome === "ok" && waitedNs > 0) load.latency.answered(waitedNs, awake);
    else load.latency.turnedDown(waitedNs, group.latencyNs, awake);
    this.#recordLoad(command, operation, peer, outcome === "refused" ? "failed" : group.outcomeOf(waitedNs));
  }

  /** An attempt that ends unanswered has taken at least so long; whether it failed was said before, when its budget ran out. */
  #learnUnanswered(command: Command, peer: Peer, attempt: Attempt): void {
    const { awake, executions, loads } = this.#state;
    const { load } = attempt;
    if (load === null) return;
    attempt.load = null;
    const waitedNs = attempt.beganAt === 0 ? 0 : awake - attempt.beganAt;
    const operation = executions.get(command.execution)?.program.operations[command.operation];
    const group = operation?.kind === "call" ? loads.group(groupOf(command.subject) ?? "", operation.flow) : undefined;
    load.latency.gaveUp(waitedNs, group?.latencyNs ?? 0, awake);
    if (operation?.kind === "call" && group?.outcomeOf(waitedNs) === "slow") this.#recordLoad(command, operation, peer, "slow");
  }

  #recordLoad(command: Command, operation: CallOperation, peer: Peer, outcome: AttemptOutcome): void {
    const state = this.#state;
    const group = groupOf(command.subject);
    if (group === undefined) return;
    const isSetAside = state.loads.group(group, operation.flow).record(peer, outcome, state.awake, state.random);
    if (isSetAside) state.count("peers-set-aside");
  }

  #seal(command: Command, execution: Execution, peer: Peer, attempt: Attempt): void {
    const operation = execution.program.operations[command.operation] as CallOperation;
    const chain = chainOf(execution, operation);
    try {
      this.links.sendBody(peer, {
        type: "request", oneWay: false, request: command.id, attempt: attempt.number,
        key: `${execution.workKey}.${operation.name}`,
        chain: chain === undefined ? null : { id: chain.chainId, hop: chain.hopIndex },
        address: operation.flow, ports: payloads(execution, operation.ports, operation.inputs.slice(2)),
      }, command.due);
    } catch (error) {
      const failure = valueFailure(error, `the request to ${operation.flow}`);
      this.cancel(command);
      return this.#listener.requestFailed(command, failure);
    }
    attempt.state = "sent";
    attempt.sentAt = peer.link?.sendReady === true ? Math.max(1, this.#state.awake) : 0;
    attempt.budgetFrom = this.#state.awake;
    attempt.doublings = 0;
    attempt.budgetNs = 0;
    this.#state.journal.touch(command);
    if (chain !== undefined) this.#edgesUsed.set(operation.flow, chain);
  }

  #complete(command: Command, execution: Execution, operation: CallOperation, attempt: Attempt, ports: readonly PortPayload[]): void {
    this.#finish(command, attempt);
    const checked = validateOutputs(this.#state, operation, ports);
    if (checked.ok) this.#listener.requestCompleted(command, checked.values);
    else this.#listener.requestFailed(command, checked.failure);
  }

  /** The winner's request is over; the others are cancelled where they run. */
  #finish(command: Command, winner: Attempt): void {
    for (const attempt of command.attempts) this.#release(command, attempt, attempt !== winner);
    command.attempts.length = 0;
    this.#state.removeCommand(command);
  }

  /** Takes one attempt out. True if it was there. */
  #endAttempt(command: Command, attempt: Attempt, reason: string): boolean {
    const at = command.attempts.indexOf(attempt);
    if (at < 0) return false;
    command.attempts.splice(at, 1);
    command.addFailedPeer(attempt.peer, reason);
    this.#release(command, attempt, false);
    this.#state.journal.touch(command);
    return true;
  }

  #release(command: Command, attempt: Attempt, tellPeer: boolean): void {
    const peer = this.#state.peer(attempt.peer);
    peer.inFlight--;
    this.#learnUnanswered(command, peer, attempt);
    this.#state.releaseProbe(peer.id, command.execution);
    if (attempt.state === "queued") {
      const at = peer.queue.indexOf(command);
      if (at >= 0) peer.queue.splice(at, 1);
      return;
    }
    if (!tellPeer) return;
    this.#observeGivenUp(command, attempt, peer);
    this.links.sendBody(peer, { type: "cancel", request: command.id, attempt: attempt.number }, "never");
  }

  /** Given up unanswered: a sample of at least as long as it took. */
  #observeGivenUp(command: Command, attempt: Attempt, peer: Peer): void {
    const { tracker, executions, awake } = this.#state;
    const execution = executions.get(command.execution);
    if (execution === undefined || attempt.state !== "accepted" || attempt.sentAt === 0 || attempt.redelivered) return;
    const operation = execution.program.operations[command.operation] as CallOperation;
    tracker.observeCensored(peer.timing(operation.flow, tracker), chainOf(execution, operation), awake - attempt.sentAt);
  }

  #ingestReports(peer: Peer, reports: readonly EdgeReport[]): void {
    for (const { nextHop, chain, srttNs, rttvarNs, count } of reports) {
      this.#state.tracker.ingestReportedOutgoing(peer.linkSite, nextHop as never, chain, { srttNs, rttvarNs, sampleCount: count });
    }
  }
}

/** Whose lease a one-way send has: it outlives the execution that sent it. */
export function oneWayOwner(request: number): string {
  return `one-way ${request}`;
}

/** The chain of a call: the one on which the execution came, one hop further; or the one that the compiler stamped. */
export function chainOf(execution: Execution, operation: { chain: Chain | null }): { chainId: Chain["id"]; hopIndex: number } | undefined {
  if (execution.chain !== null) return { chainId: execution.chain.id, hopIndex: Math.min(execution.chain.hop + 1, 255) };
  return operation.chain === null ? undefined : { chainId: operation.chain.id, hopIndex: operation.chain.hop };
}

export function payloads(execution: Execution, names: readonly string[], slots: readonly number[]): PortPayload[] {
  return names.map((name, at) => ({ name, payload: execution.bytesOf(slots[at] as number) }));
}

function failureFrom(ports: readonly PortPayload[]): Failure {
  const port = ports.find(({ name }) => name === "failure");
  try {
    return parseFailure(port === undefined ? null : decodeValue(port.payload));
  } catch {
    return parseFailure(null);
  }
}
