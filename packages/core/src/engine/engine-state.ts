import { assert } from "../base/assert.ts";
import { RuntimeError } from "../base/errors.ts";
import { encodeValue } from "../base/value-codec.ts";
import type { Value } from "../base/value.ts";
import { type CommandId, type ExecutionId, type Lineage, type PeerId, type ProgramHash } from "../base/ids.ts";
import { elapsedNs, NS_PER_MS, type Due } from "../base/time.ts";
import { Random } from "../base/random.ts";
import { BackoffTable } from "../peer/failure/backoff-table.ts";
import { outcomeOf, recordOutcome, type PeerEvent } from "../peer/failure/outcome.ts";
import { ProbeLeases } from "../peer/failure/probe-leases.ts";
import { RetryBudget } from "../peer/failure/retry-budget.ts";
import { PeerGovernor } from "../peer/policy/peer-governor.ts";
import { BRAKE_DEFAULTS } from "../peer/detection/isolation-brake.ts";
import type { PolicyDecision, PolicyEntry, PolicyScope } from "../peer/policy/peer-policy.ts";
import { RttTracker } from "../peer/deadlines/rtt-tracker.ts";
import type { SiteWatchOptions } from "../peer/detection/site-watch.ts";
import type { Definitions } from "../flow/definitions.ts";
import { linkProgram, type LinkedProgram } from "../flow/program-link.ts";
import { EXECUTIONS_MAX, PARKED_MAX, PEERS_MAX } from "../wire/limits.ts";
import { Cells } from "./cells.ts";
import { Command, type CommandKind } from "./command.ts";
import type { BusEvent, Effect, LinkId, BusEventKind } from "./engine-events.ts";
import type { EngineOptions } from "./engine-options.ts";
import { EventBus } from "./event-bus.ts";
import type { Execution } from "./execution.ts";
import { Frontier } from "./frontier.ts";
import { Journal, SingleRow, type Row } from "./journal.ts";
import { Peer } from "./peer.ts";
import { SiteLoads } from "./site-loads.ts";
import { FinishedExecutions } from "./finished-executions.ts";
import { ROW, SPEC_VERSION } from "./rows.ts";
import { TimerTable, type TimerSubject } from "./timer-table.ts";

/** What a node is told about itself when it starts. */
export interface NodeIdentity {
  readonly peer: PeerId;
  readonly lineage: Lineage;
  /** Starts so far, this one included. */
  readonly incarnation: number;
}

/** Refusals of a peer that has too much to do carry no time: we stay away for this long. */
const OVERLOAD_ADVICE_NS = 100 * NS_PER_MS;
/** The key of the one entry in the table of our own troubles. */
const OURSELVES = "ourselves";
/** So many peers that cannot be dialled, and nobody who can be heard, are no accident. */
const ISOLATION_PEERS = 3;

/** A program that live executions use, stored once. */
class ProgramRow implements Row {
  readonly key: string;
  removed = false;
  persisted = false;
  users = 0;
  readonly linked: LinkedProgram;
  constructor(linked: LinkedProgram) {
    this.key = ROW.program + linked.hash;
    this.linked = linked;
  }
  encode(): Uint8Array {
    return encodeValue(this.linked.program as unknown as Value);
  }
}

/** Ids, generator, clocks and counters: everything about the node that is one of a kind. */
function encodeNode(state: EngineState): Uint8Array {
  const { identity, nextCommand, nextExecution, random, now, pausedNs, wallMs, counters } = state;
  return encodeValue([
    SPEC_VERSION, identity.peer, identity.lineage, identity.incarnation,
    nextCommand, nextExecution, [...random.state()], now, pausedNs, wallMs,
    [...counters].map(([name, count]) => [name, count]),
  ]);
}

/** What was decided on peers at run time. */
function encodePolicy({ governor }: EngineState): Uint8Array {
  const { entries, listed } = governor.policy.capture();
  const rows = entries.map(({ kind, on, what, until, by, reason, addedAt }) => [kind, on, what, until === "never" ? null : until, by, reason, addedAt]);
  return encodeValue([rows, listed, governor.failureThreshold]);
}

/** What the configuration's lists say; they are applied at each start. */
export interface PolicyLists {
  readonly block: readonly (PeerId | ConfiguredScope)[];
  /** Null: everybody. */
  readonly allow: readonly (PeerId | ConfiguredScope)[] | null;
}

export interface ConfiguredScope extends PolicyScope {
  readonly reason: string;
}

/**
 * All state of one engine, and the few operations that every part of it needs. The parts (peer links, requests,
 * executor) hold no state of their own: what must survive is in a row, and a row is touched when it changes.
 */
export class EngineState {
  readonly identity: NodeIdentity;
  readonly definitions: Definitions;
  readonly options: EngineOptions;
  readonly configuredPolicy: PolicyLists;

  /** Engine time, ns. */
  now = 1;
  /** Wall time of the current turn, ms. */
  wallMs = 0;
  /** Sum of our own pauses: detectors and budgets run on awake time, `now − pausedNs`. */
  pausedNs = 0;

  readonly journal = new Journal();
  readonly timers = new TimerTable();
  readonly frontier = new Frontier();
  readonly cells = new Cells();
  readonly executions = new Map<ExecutionId, Execution>();
  readonly commands = new Map<CommandId, Command>();
  readonly finished: FinishedExecutions;
  readonly peers = new Map<PeerId, Peer>();
  readonly peersByName = new Map<string, Peer>();
  readonly links = new Map<LinkId, Peer>();
  readonly groups: ReadonlyMap<string, readonly string[]>;
  readonly bus: EventBus;
  readonly governor: PeerGovernor;
  readonly backoff: BackoffTable;
  readonly probes: ProbeLeases<PeerId>;
  /** Our own troubles with dialling: not stored, a start may be on a better network. */
  readonly ownBackoff: BackoffTable<typeof OURSELVES>;
  /** For all peers together; each has one of its own. Not stored: a start has the reserve. */
  readonly retryBudget: RetryBudget;
  readonly tracker: RttTracker;
  readonly loads: SiteLoads;
  readonly counters = new Map<string, number>();
  /** Where this node can be dialled; told in every Hello. */
  ownAddresses: readonly string[] = [];
  random: Random;
  nextCommand = 1;
  nextExecution = 1;
  draining = false;
  /** Turns since the start of the process. */
  turn = 0;

  /** What this turn asks of the host. */
  effects: Effect[] = [];
  /** A peer's state changed so that parked gates and waiting requests may go on. */
  peersChanged = false;
  /** Peers that began to fail in this turn: what they had accepted may be asked of others. */
  readonly failingPeers = new Set<Peer>();
  readonly parkedGates = new Set<Command>();

  /** Peers whose dials got no answer since we last heard anybody, and since when. */
  readonly #unreachable = new Set<PeerId>();
  #unreachableSince = 0;
  readonly #programs = new Map<ProgramHash, ProgramRow>();
  readonly node = new SingleRow(ROW.node, () => encodeNode(this));
  readonly policy = new SingleRow(ROW.policy, () => encodePolicy(this));
  /** What the timer of the next expiry of a policy entry is about. */
  readonly policyExpiry: TimerSubject = { timers: undefined };

  constructor(given: {
    identity: NodeIdentity; definitions: Definitions; options: EngineOptions; policy: PolicyLists; seed: string;
    groups: ReadonlyMap<string, readonly string[]>;
  }) {
    this.identity = given.identity;
    this.definitions = given.definitions;
    this.options = given.options;
    this.groups = given.groups;
    this.configuredPolicy = given.policy;
    this.random = Random.fromSeed(given.seed);
    this.bus = new EventBus(given.definitions);
    this.finished = new FinishedExecutions(given.options);
    this.governor = new PeerGovernor({ failureThreshold: given.options.failureThreshold });
    this.backoff = new BackoffTable({
      baseNs: given.options.backoffBaseNs, maxDelayNs: given.options.backoffMaxNs,
      jitter: given.options.backoffJitter, adviceSpread: given.options.adviceSpread, adviceTotalMaxNs: given.options.adviceTotalMaxNs,
      random: () => this.random.nextFraction(),
    });
    this.ownBackoff = new BackoffTable({ baseNs: given.options.backoffBaseNs, maxDelayNs: given.options.redialMaxNs });
    this.probes = new ProbeLeases({
      probesMax: given.options.probesMax, openAt: given.options.probesOpenAt, leaseNs: given.options.probeLeaseNs, maxEntries: PEERS_MAX,
    });
    this.retryBudget = this.newRetryBudget();
    this.tracker = new RttTracker({
      budgetFloorNs: given.options.budgetFloorNs, budgetCeilingNs: given.options.budgetCeilingNs,
      watch: watchOptions(given.options),
    });
    this.loads = new SiteLoads(given.options.latencyMemoryNs, {
      byLatency: given.options.selectByLatency, outliers: given.options.setAside, outlier: { asideNs: given.options.setAsideNs },
    });
    this.applyPolicy();
  }

  get awake(): number {
    return elapsedNs(this.now, this.pausedNs);
  }

  emit(effect: Effect): void {
    this.effects.push(effect);
  }

  count(name: string, by = 1): void {
    this.counters.set(name, (this.counters.get(name) ?? 0) + by);
  }

  /** Announces an event: to telemetry at once, to subscribed flows in the next turn. */
  publish(event: BusEventKind, peer: PeerId | null, details: Value = null): void {
    const announced: BusEvent = { event, peer, details };
    this.emit({ kind: "telemetry", event: announced });
    this.bus.publish(announced, this.journal);
  }

  // ── programs ──

  programByAddress(address: string): LinkedProgram | undefined {
    const hash = this.definitions.flows.get(address) ?? (address as ProgramHash);
    const known = this.#programs.get(hash);
    if (known !== undefined) return known.linked;
    const program = this.definitions.programs.get(hash);
    return program === undefined ? undefined : this.addProgram(linkProgram(program, this.definitions), false).linked;
  }

  addProgram(linked: LinkedProgram, persisted: boolean): ProgramRow {
    const row = new ProgramRow(linked);
    row.persisted = persisted;
    this.#programs.set(linked.hash, row);
    return row;
  }

  /** Rows of the programs that live executions use. */
  *programRows(): Iterable<Row> {
    for (const row of this.#programs.values()) if (row.users > 0) yield row;
  }

  // ── executions and commands ──

  get executionsFull(): boolean {
    return this.executions.size >= EXECUTIONS_MAX;
  }

  addExecution(execution: Execution): void {
    this.executions.set(execution.id, execution);
  }

  /** Called for an execution that outlives its first turn: from now on the store knows it. */
  keepExecution(execution: Execution): void {
    this.#keepProgram(execution.program.hash);
    this.journal.touch(execution);
    if (execution.deadlineAt !== "never") this.timers.set("execution-deadline", execution, execution.deadlineAt);
    execution.kept = true;
  }

  /** Stores the program and, all the way down, those that its maps run: an execution must find them after an update of the code. */
  #keepProgram(hash: ProgramHash): void {
    this.programByAddress(hash);
    const row = this.#programs.get(hash);
    assert(row !== undefined, "a running program, and its children's, are known");
    if (row.users++ > 0) return;
    row.removed = false;
    if (!row.persisted) this.journal.touch(row);
    for (const child of row.linked.program.children) this.#keepProgram(child);
  }

  /** Takes a restored execution in, with its program. */
  adoptExecution(execution: Execution): void {
    this.#keepProgram(execution.program.hash);
    this.addExecution(execution);
  }

  removeExecution(execution: Execution): void {
    execution.ended = true;
    if (this.probes.releaseAll(execution.id)) this.peersChanged = true;
    this.executions.delete(execution.id);
    if (!execution.kept) return;
    this.timers.clearAll(execution);
    for (const row of execution.extraRows()) this.journal.remove(row);
    this.journal.remove(execution);
    this.#dropProgram(execution.program.hash);
  }

  #dropProgram(hash: ProgramHash): void {
    const row = this.#programs.get(hash);
    if (row === undefined || --row.users > 0) return;
    this.journal.remove(row);
    for (const child of row.linked.program.children) this.#dropProgram(child);
  }

  get commandsFull(): boolean {
    return this.commands.size >= PARKED_MAX;
  }

  newCommand(kind: CommandKind, execution: Execution, operation: number, due: Due, subject: Value): Command {
    const id = this.nextCommand++ as CommandId;
    const command = new Command(id, kind, execution.id, operation, { due, createdAt: this.now, subject });
    this.commands.set(id, command);
    this.journal.touch(command);
    if (due !== "never") this.timers.set("command-due", command, due);
    return command;
  }

  removeCommand(command: Command): void {
    command.ended = true;
    this.commands.delete(command.id);
    this.timers.clearAll(command);
    this.parkedGates.delete(command);
    this.journal.remove(command);
  }

  // ── peers ──

  /** The peer of that id, made on first contact. Throws FULL at the bound when everybody is held. */
  peer(id: PeerId): Peer {
    const known = this.peers.get(id);
    if (known !== undefined) return known;
    if (this.peersFull) throw new RuntimeError("FULL", { table: "peers" });
    const peer = new Peer(id);
    this.peers.set(id, peer);
    return peer;
  }

  /** Is there no room for another peer, even without those whom nobody holds? */
  get peersFull(): boolean {
    return this.peers.size >= PEERS_MAX && !this.#dropUnheldPeer();
  }

  #dropUnheldPeer(): boolean {
    for (const peer of this.peers.values()) {
      // A session is never evicted: what the peer once sent must stay recognisable.
      if (peer.references.size > 0 || peer.link !== null || peer.session.persisted) continue;
      this.peers.delete(peer.id);
      this.probes.forget(peer.id);
      this.journal.remove(peer);
      this.timers.clearAll(peer);
      this.governor.policy.forget(peer.id);
      return true;
    }
    return false;
  }

  touchPeer(peer: Peer): void {
    peer.hard = { health: this.governor.peerHealth(peer.id), backoff: this.backoff.state(peer.id) };
    this.journal.touch(peer);
  }

  // ── probes and budgets ──

  newRetryBudget(): RetryBudget {
    return new RetryBudget({ share: this.options.retryShare, reserve: this.options.retryReserve });
  }

  /**
   * May one more attempt go to this peer, beyond first ones? Charges the peer's and the node's budget if it may. A probe
   * carries what was to be sent anyway, so it adds no load: leases and back-off bound it, it takes its token before any
   * retry or hedge, and is not refused for want of one. No retry or hedge goes to a peer that has not worked since it failed.
   */
  mayAddAttempt(peer: Peer, kind: "retry" | "hedge" | "probe"): boolean {
    const own = (peer.retryBudget ??= this.newRetryBudget());
    const { now } = this;
    if (kind !== "probe" && this.#isUnproven(peer)) return false;
    const both = own.has(now) && this.retryBudget.has(now);
    if (both || kind === "probe") {
      own.take(now);
      this.retryBudget.take(now);
      return true;
    }
    return false;
  }

  /** Did the peer fail, and has not shown often enough since that it works? Then sends go out under leases. */
  isHalfOpen(peer: Peer): boolean {
    if (this.probes.isHalfOpen(peer.id)) return true;
    // After a start nothing is leased, and who failed before it is still to be probed.
    if (!this.#isUnproven(peer)) return false;
    this.probes.recordFailure(peer.id);
    return true;
  }

  #isUnproven(peer: Peer): boolean {
    return this.backoff.attempts(peer.id) > 0 || this.governor.isDown(peer.id);
  }

  /** When a send to this peer may go out as far as probes go: now, unless as many as may be are under way. */
  probeFreeAt(peer: Peer): number {
    return this.isHalfOpen(peer) ? this.probes.freeAt(peer.id, this.now) : this.now;
  }

  /** A send passes the gate to this peer on behalf of the owner: a probe, if the peer is half open. */
  admitSend(peer: Peer, owner: string): void {
    if (this.backoff.recordAttempt(peer.id, this.now)) this.touchPeer(peer);
    if (this.isHalfOpen(peer) && this.mayAddAttempt(peer, "probe")) this.probes.take(peer.id, owner, this.now);
  }

  /** What the owner had sent to the peer ended, or was given up. */
  releaseProbe(peer: PeerId, owner: string): void {
    if (this.probes.release(peer, owner)) this.peersChanged = true;
  }

  // ── evidence ──

  /** Anything at all from anybody: our own network works. */
  heard(): void {
    this.#unreachable.clear();
    this.ownBackoff.recordSuccess(OURSELVES, this.now);
  }

  /**
   * A dial got no answer. Is it us? Yes if our own machine says so; also if it was several peers, all that we have tried
   * since we last heard anybody, and for a bounded time, so that peers who did go together are found.
   */
  blamesUs(peer: Peer, fault: "local" | "refused" | "silent"): boolean {
    if (fault === "refused") return false; // somebody answered
    if (fault === "silent") {
      if (this.#unreachable.size === 0) this.#unreachableSince = this.now;
      this.#unreachable.add(peer.id);
      const isFresh = elapsedNs(this.now, this.#unreachableSince) < this.options.isolationHoldNs;
      if (this.#unreachable.size < ISOLATION_PEERS || this.links.size > 0 || !isFresh) return false;
    }
    this.ownBackoff.recordFailure(OURSELVES, this.now);
    return true;
  }

  /** When we should dial again after troubles of our own. */
  get ownRetryAt(): number {
    return this.ownBackoff.retryAt(OURSELVES);
  }

  /** The peer refused for want of room. */
  recordOverload(peer: Peer): void {
    this.recordOutcome(peer, "overload");
    this.backoff.recordRemoteAdvisory(peer.id, this.now, OVERLOAD_ADVICE_NS);
    this.touchPeer(peer);
  }

  /** Feeds one outcome to governor and back-off table, and announces the verdict if it changed. */
  recordOutcome(peer: Peer, event: PeerEvent): void {
    if (!this.governor.checkInbound(peer.id).allow) return; // what is known of a denied peer stands still
    const outcome = outcomeOf(event);
    if (outcome === "neither") return;
    if (outcome === "failure") {
      peer.lastFailure = { event, at: this.now };
      this.probes.recordFailure(peer.id);
    } else {
      if (this.probes.recordSuccess(peer.id)) this.peersChanged = true;
      if (event !== "heartbeat-echo") { // that we beat says nothing about how much we ask
        (peer.retryBudget ??= this.newRetryBudget()).recordSuccess(this.now);
        this.retryBudget.recordSuccess(this.now);
      }
    }
    const health = this.governor.peerHealth(peer.id);
    const unblemished = (health === undefined || (health.consecutiveFailures === 0 && !health.down)) && this.backoff.state(peer.id) === undefined;
    const transition = recordOutcome(peer.id, event, this, this.now);
    const healthy = this.backoff.state(peer.id) === undefined && (this.governor.peerHealth(peer.id)?.consecutiveFailures ?? 0) === 0;
    if (unblemished && healthy) return; // nothing that must be durable
    if (outcome === "failure") peer.counts.failures++;
    this.touchPeer(peer);
    if (healthy) this.peersChanged = true;
    if (transition === "went-down") {
      peer.counts.downs++;
      this.failingPeers.add(peer);
      this.publish("peer-down", peer.id, { name: peer.name, cause: event });
    } else if (transition === "came-up") this.publish("peer-up", peer.id, { name: peer.name });
  }

  /** Any sign of life ends a back-off that failures caused. */
  endFailureBackoff(peer: Peer): void {
    const cooldown = this.backoff.state(peer.id);
    if (cooldown === undefined || cooldown.nextRetry === 0) return;
    this.backoff.endFailureBackoff(peer.id);
    this.touchPeer(peer);
    this.peersChanged = true;
  }

  // ── policy ──

  /** Takes over the configuration's lists. Deny wins: both sources' blocks count, and a peer must pass both allowlists. */
  applyPolicy(): void {
    const { block, allow } = this.configuredPolicy;
    const entry = (kind: PolicyEntry["kind"], given: PeerId | ConfiguredScope): PolicyEntry => {
      const { on, what, reason } = typeof given === "string" ? { on: "peer" as const, what: given, reason: "" } : given;
      return { kind, on, what, until: "never", by: "config", reason, addedAt: 0 };
    };
    const entries = [...block.map((one) => entry("deny", one)), ...(allow ?? []).map((one) => entry("allow", one))];
    this.governor.policy.configure(entries, allow !== null);
  }

  /** Looks at the addresses at which the peer may be spoken with, wherever they or the policy have changed. */
  judgeAddresses(peer: Peer): PolicyDecision {
    const { policy } = this.governor;
    return policy.hasRules ? policy.judge(peer.id, contactAddresses(peer)) : policy.check(peer.id);
  }

  /** Policy denies the peer from now on: its failures end, and nothing that was lent to it or measures it goes on. */
  withdrawFrom(peer: Peer): void {
    this.timers.clear("detector", peer); // its silence is ours
    this.probes.forget(peer.id);
    const cooldown = this.backoff.state(peer.id);
    const streak = this.governor.peerHealth(peer.id)?.consecutiveFailures ?? 0;
    if (streak === 0 && (cooldown === undefined || cooldown.attempts === 0)) return;
    this.governor.endStreak(peer.id);
    // A cooldown under way runs its time, and the next failure is a first one.
    if (cooldown !== undefined) this.backoff.restoreState(peer.id, { ...cooldown, attempts: 0, failedAt: 0 });
    this.touchPeer(peer);
  }

  /** Policy does not deny the peer: what was left of a cooldown that has ended meanwhile goes. */
  readmit(peer: Peer): void {
    const cooldown = this.backoff.state(peer.id);
    if (cooldown === undefined || cooldown.attempts > 0 || this.backoff.retryAt(peer.id) > this.now) return;
    this.backoff.recordSuccess(peer.id, this.now);
    this.touchPeer(peer);
  }
}

function watchOptions(options: EngineOptions): Partial<SiteWatchOptions> {
  const { heartbeatNs, suspectWithinNs, suspectMistakeEveryNs, downWithinNs, downMistakeEveryNs, detectorMemory, isolationHoldNs } = options;
  return {
    detector: {
      model: "learned", intervalNs: heartbeatNs, memory: detectorMemory,
      suspect: { withinNs: suspectWithinNs, mistakeEveryNs: suspectMistakeEveryNs },
      down: { withinNs: downWithinNs, mistakeEveryNs: downMistakeEveryNs },
    },
    brake: { ...BRAKE_DEFAULTS, holdNs: isolationHoldNs },
  };
}

/**
 * Where a peer may be spoken with: on its link; otherwise at any of its addresses, of which one that policy allows is
 * enough; and if it has none, because only it dials, where it was last.
 */
export function contactAddresses({ link, addresses, lastRemote }: Peer): readonly (string | undefined)[] {
  if (link !== null) return [link.remote, ...addresses];
  return addresses.length > 0 ? addresses : lastRemote === null ? [] : [lastRemote];
}
