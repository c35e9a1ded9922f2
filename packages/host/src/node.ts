import { randomBytes } from "node:crypto";
import { join } from "node:path";
import {
  type Answer, type AnyFlow, BugError, type BusEvent, checkValue, compileFlows, Driver, type Effect, Engine, type EngineEvent,
  type ExecutionId, type Lineage, NS_PER_MS, type Outcome, parsePeerId, type PeerId, type PolicyChange, type PolicySubject, readNodeRow, ROW, RuntimeError, type StoredNode, type Value,
} from "@holdfast/core";
import { type Clock, startClock } from "./clock.ts";
import { ExecutionFailure } from "./execution-failure.ts";
import { explainedPeer, policyReport } from "./explained-peer.ts";
import { HostWork } from "./host-work.ts";
import { type Identity, openIdentity, temporaryIdentity } from "./identity/identity.ts";
import { LinkTable } from "./link-table.ts";
import type { Transport } from "./links/link.ts";
import { tlsTransport } from "./links/tls-link.ts";
import { unixTransport } from "./links/unix-link.ts";
import { openLog } from "./log.ts";
import type {
  CellReader, ExecutionDetails, ExecutionSummary, ExplainedPeer, Log, Node, NodeOptions, NodeStatus, PeerReport, PolicyOptions, PolicyReport, StartOptions,
} from "./node-api.ts";
import { NodeLoop } from "./node-loop.ts";
import { checkNodeOptions, engineOptionsFromMs } from "./node-options.ts";
import { findPeer, parseSubject, policyLists, policyTerms } from "./node-policy.ts";
import { executionDetails, executionSummaries, nodeStatus, peerReports } from "./node-reports.ts";
import { snapshotOf } from "./snapshot-of.ts";
import { openSqliteStore } from "./stores/sqlite-store.ts";
import type { Store } from "./stores/store.ts";

/** How long a stop may take before it is done without manners, in ms. */
const CLOSE_MS_MAX = 10_000;

type OutputListener = (output: { readonly execution: string; readonly port: string; readonly value: Value }) => void | Promise<void>;

/** Replaces parts of the machine, for tests. */
export interface NodeParts {
  readonly transports?: (identity: Identity) => readonly Transport[];
  /** A store to use instead of SQLite in `dataDir`. */
  readonly store?: Store;
}

/**
 * Starts a node: takes its key and its store, goes on where the last commit left off, listens and dials. Throws
 * RuntimeError: OPTION_INVALID, FLOW_INVALID, STORE_BUSY, STORE_FOREIGN, STORE_DAMAGED, SNAPSHOT_INVALID,
 * DEFINITION_MISSING, ADDRESS_IN_USE, ADDRESS_INVALID, IDENTITY_INVALID.
 */
export async function createNode(given: NodeOptions, parts: NodeParts = {}): Promise<Node> {
  const options = checkNodeOptions(given);
  const definitions = compileFlows(options.flows as AnyFlow[]);
  const log = options.log ?? openLog({ level: "warn", name: options.name });
  const identity = options.dataDir === null ? temporaryIdentity() : openIdentity(options.dataDir);
  const store = parts.store ?? (options.dataDir === null ? null : await openSqliteStore(join(options.dataDir, "store")));
  try {
    const claim = store === null ? { fence: 1, position: 0 } : await store.claim(identity.peerId);
    const rows = store === null ? [] : await store.load();
    const self = Object.keys(options.peers ?? {}).find((name) => options.peers?.[name]?.id === identity.peerId);
    if (self !== undefined) throw new RuntimeError("OPTION_INVALID", { option: `peers.${self}`, expected: "another node; this id is its own" });
    const nodeRow = rows.find(([key]) => key === ROW.node);
    if (nodeRow === undefined && rows.length > 0) throw new RuntimeError("SNAPSHOT_INVALID", { part: "node", reason: "missing" });
    const stored = nodeRow === undefined ? undefined : readNodeRow(nodeRow[1]);
    const clock = startClock(stored);
    const engine = new Engine({
      identity: {
        peer: identity.peerId,
        lineage: (stored?.lineage ?? randomBytes(16).toString("hex")) as Lineage,
        incarnation: (stored?.incarnation ?? 0) + 1,
      },
      definitions, options: engineOptionsFromMs(options), policy: policyLists(options), groups: new Map(Object.entries(options.groups ?? {})),
      seed: randomBytes(16).toString("hex"),
    });
    if (stored === undefined) engine.begin(clock.now(), clock.wallMs());
    else engine.restore(rows, clock.now(), clock.wallMs());
    const driver = new Driver(engine, { position: claim.position, durable: store !== null });
    const transports = parts.transports?.(identity) ?? [tlsTransport(identity), unixTransport(identity)];
    const node = new RunningNode({ options, identity, store, clock, driver, transports, log, fence: claim.fence, stored });
    await node.start();
    return node;
  } catch (error) {
    await store?.close().catch(() => undefined);
    throw error;
  }
}

interface Given {
  readonly options: NodeOptions;
  readonly identity: Identity;
  readonly store: Store | null;
  readonly clock: Clock;
  readonly driver: Driver;
  readonly transports: readonly Transport[];
  readonly log: Log;
  readonly fence: number;
  readonly stored: StoredNode | undefined;
}

interface Waiter {
  readonly resolve: (value: { readonly [port: string]: Value }) => void;
  readonly reject: (error: Error) => void;
}

class RunningNode implements Node {
  readonly name: string;
  readonly id: PeerId;
  readonly failed: Promise<never>;
  readonly #given: Given;
  readonly #loop: NodeLoop;
  readonly #work: HostWork;
  readonly #links: LinkTable;
  readonly #startedAtMs = Date.now();
  #addresses: readonly string[] = [];
  #fail!: (error: Error) => void;
  #state: "running" | "closing" | "closed" = "running";
  #closing: Promise<void> | undefined;

  readonly #answers = new Map<number, { resolve: (id: ExecutionId | null) => void; reject: (error: Error) => void }>();
  #tagNext = 1;
  readonly #waiters = new Map<ExecutionId, Set<Waiter>>();
  readonly #eventListeners = new Set<(event: BusEvent) => void>();
  readonly #outputListeners = new Set<OutputListener>();
  /** Outputs that nobody listens for yet. */
  #undelivered: Extract<Effect, { kind: "deliver-output" }>[] = [];

  constructor(given: Given) {
    this.#given = given;
    this.name = given.options.name;
    this.id = given.identity.peerId;
    const { driver, clock, store } = given;
    this.#loop = new NodeLoop({
      driver, clock, store, perform: (effect) => this.#perform(effect), fail: (error) => this.#handleStoreFailure(error),
    });
    this.#work = new HostWork(driver.engine.state.definitions, (event) => this.#loop.handle(event));
    this.#links = new LinkTable(given.transports, this.#loop, {
      address: (remote) => !driver.engine.state.governor.policy.deniesAddress(remote),
      peer: (peer, remote) => driver.engine.state.governor.policy.checkAddress(peer, remote).allow,
    });
    this.failed = new Promise((_, reject) => (this.#fail = reject));
    this.failed.catch(() => undefined); // whoever cares listens; nobody must
  }

  get addresses(): readonly string[] {
    return this.#addresses;
  }

  async start(): Promise<void>;
  async start(flow: AnyFlow | string, input: Value, options?: StartOptions): Promise<string>;
  async start(flow?: AnyFlow | string, input: Value = null, options: StartOptions = {}): Promise<string | void> {
    if (flow === undefined) return this.#open();
    checkValue(input);
    const name = typeof flow === "string" ? flow : flow.name;
    const { id = null, deadlineMs } = options;
    if (deadlineMs !== undefined && !(deadlineMs > 0)) throw new RuntimeError("OPTION_INVALID", { option: "deadlineMs", value: deadlineMs });
    const deadlineNs = deadlineMs === undefined ? null : Math.round(deadlineMs * NS_PER_MS);
    return (await this.#ask((tag) => ({ kind: "invoked", id: id as ExecutionId | null, flow: name, input, deadlineNs, tag }))) as string;
  }

  async result(id: string, { signal }: { signal?: AbortSignal } = {}): Promise<{ readonly [port: string]: Value }> {
    signal?.throwIfAborted();
    const { state } = this.#given.driver.engine;
    const finished = state.finished.get(id as ExecutionId);
    if (finished !== undefined) {
      await this.durable();
      return settle(id, finished.outcome);
    }
    if (!state.executions.has(id as ExecutionId)) throw new RuntimeError("NOT_FOUND", { execution: id });
    if (this.#state !== "running") throw new RuntimeError("NOT_RUNNING", { node: this.name });
    return new Promise((resolve, reject) => {
      const waiters = this.#waiters.get(id as ExecutionId) ?? new Set();
      this.#waiters.set(id as ExecutionId, waiters);
      const onAbort = (): void => {
        waiters.delete(waiter);
        reject(signal?.reason as Error);
      };
      const done = (): void => signal?.removeEventListener("abort", onAbort);
      const waiter: Waiter = {
        resolve: (value) => (done(), resolve(value)),
        reject: (error) => (done(), reject(error)),
      };
      waiters.add(waiter);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  async run(flow: AnyFlow | string, input: Value, options: StartOptions & { signal?: AbortSignal } = {}): Promise<{ readonly [port: string]: Value }> {
    const id = await this.start(flow, input, options);
    return this.result(id, options);
  }

  async cancel(id: string): Promise<boolean> {
    try {
      await this.#ask((tag) => ({ kind: "cancel-requested", execution: id as ExecutionId, tag }));
      return true;
    } catch (error) {
      if (error instanceof RuntimeError && error.code === "NOT_FOUND" && this.execution(id) !== undefined) return false;
      throw error;
    }
  }

  async retry(id: string): Promise<void> {
    await this.#ask((tag) => ({ kind: "retry-requested", execution: id as ExecutionId, tag }));
  }

  async signal(id: string, event: string, value: Value): Promise<void> {
    checkValue(value);
    await this.#ask((tag) => ({ kind: "signalled", execution: id as ExecutionId, event, value, tag }));
  }

  async publish(event: string, value: Value): Promise<void> {
    checkValue(value);
    await this.#ask((tag) => ({ kind: "application-event", event, value, tag }));
  }

  explainPeer(peer: string): ExplainedPeer {
    const { driver, clock } = this.#given;
    const { state } = driver.engine;
    return explainedPeer(state, findPeer(state, peer), Math.max(state.now, clock.now()));
  }

  policy(): PolicyReport {
    return policyReport(this.#given.driver.engine.state);
  }

  async block(who: string, options: PolicyOptions = {}): Promise<void> {
    await this.#changePolicy({ action: "block", peer: this.#subject(who), ...policyTerms(options) });
  }

  async unblock(who: string): Promise<void> {
    await this.#changePolicy({ action: "unblock", peer: this.#subject(who) });
  }

  async allowOnly(who: readonly string[] | null, options: PolicyOptions = {}): Promise<void> {
    await this.#changePolicy({ action: "allow-only", peers: who?.map((one) => this.#subject(one)) ?? null, ...policyTerms(options) });
  }

  async allow(who: string, options: PolicyOptions = {}): Promise<void> {
    await this.#changePolicy({ action: "allow", peer: this.#subject(who), ...policyTerms(options) });
  }

  async disallow(who: string): Promise<void> {
    await this.#changePolicy({ action: "disallow", peer: this.#subject(who) });
  }

  executions(): ExecutionSummary[] {
    return executionSummaries(this.#given.driver.engine.state);
  }

  execution(id: string): ExecutionDetails | undefined {
    return executionDetails(this.#given.driver.engine.state, id as ExecutionId);
  }

  peers(): PeerReport[] {
    return peerReports(this.#given.driver.engine.state);
  }

  cells(name: string): CellReader {
    const { cells } = this.#given.driver.engine.state;
    return {
      get size() {
        return cells.find(name).size;
      },
      get: (key) => cells.find(name).get(key),
      range: ({ after, limit = 1000 } = {}) => cells.find(name).range(after ?? null, limit),
    };
  }

  status(): NodeStatus {
    const { driver, fence } = this.#given;
    return nodeStatus(driver, { name: this.name, addresses: this.#addresses, fence, startedAtMs: this.#startedAtMs });
  }

  async snapshot(): Promise<Uint8Array> {
    await this.durable();
    return snapshotOf(this.#given.driver, this.#given.fence);
  }

  durable(): Promise<void> {
    return this.#loop.idle();
  }

  onEvent(listener: (event: BusEvent) => void): () => void {
    this.#eventListeners.add(listener);
    return () => this.#eventListeners.delete(listener);
  }

  onOutput(listener: OutputListener): () => void {
    this.#outputListeners.add(listener);
    const waiting = this.#undelivered;
    this.#undelivered = [];
    for (const effect of waiting) this.#deliver(effect);
    return () => this.#outputListeners.delete(listener);
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // ── inside ──

  async #open(): Promise<void> {
    const { options, driver, log } = this.#given;
    // The first record raises the incarnation: it is durable before anything leaves.
    for (const [name, { id, addresses }] of Object.entries(options.peers ?? {})) {
      this.#loop.take({ kind: "peer-configured", peer: parsePeerId(id), name, addresses, keepLink: addresses.length > 0 });
    }
    try {
      if (options.listen !== null) {
        this.#addresses = [await this.#links.listen(options.listen ?? "/ip4/127.0.0.1/tcp/0")];
        driver.engine.state.ownAddresses = this.#addresses;
      }
    } catch (error) {
      this.#loop.stop();
      throw error;
    }
    this.#loop.pump();
    await this.durable();
    const { incarnation } = driver.engine.state.identity;
    log.info({ peer: this.id, addresses: this.#addresses, incarnation, executions: driver.engine.state.executions.size }, "node started");
  }

  /** Tell the node that the machine has another network: peers that could not be reached are tried again at once. */
  networkChanged(): void {
    this.#loop.handle({ kind: "network-changed" });
  }

  async #close(): Promise<void> {
    if (this.#state !== "running") return;
    this.#state = "closing";
    const { store, log } = this.#given;
    const timeout = new Promise<void>((resolve) => setTimeout(resolve, CLOSE_MS_MAX).unref());
    this.#loop.handle({ kind: "drain-requested" });
    this.#loop.pump();
    await Promise.race([this.durable().catch(() => undefined), timeout]); // a store that failed has been reported
    this.#loop.stop();
    this.#work.abortAll("shutdown");
    await Promise.race([this.#links.closeAll(), timeout]);
    await Promise.race([store?.close(), timeout]);
    this.#state = "closed";
    this.#rejectAll(new RuntimeError("NOT_RUNNING", { node: this.name }));
    log.info({ peer: this.id }, "node stopped");
  }

  /** A commit that failed is never tried again: the process must end and start from what is durable. */
  #handleStoreFailure(error: Error): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#loop.stop(error);
    this.#work.abortAll("the store failed");
    this.#links.destroyAll();
    void this.#links.closeAll();
    this.#given.log.error({ err: error }, "the store failed: the node stops");
    this.#rejectAll(error);
    this.#fail(error);
  }

  #rejectAll(error: Error): void {
    for (const { reject } of this.#answers.values()) reject(error);
    this.#answers.clear();
    for (const waiters of this.#waiters.values()) for (const { reject } of waiters) reject(error);
    this.#waiters.clear();
  }

  #perform(effect: Effect): void {
    switch (effect.kind) {
      case "send-frame": return this.#links.send(effect.link, effect.frame);
      case "close-link": return this.#links.close(effect.link);
      case "dial": return void this.#links.dial(effect.peer, effect.addresses);
      case "start-host": return this.#work.start(effect);
      case "abort-host": return this.#work.abort(effect.command, effect.reason);
      case "deliver-output": return this.#deliver(effect);
      case "answer": return this.#answer(effect.tag, effect.answer);
      case "execution-finished": return this.#finish(effect.execution, effect.outcome);
      case "telemetry": return this.#tell(effect.event);
    }
  }

  #ask(event: (tag: number) => EngineEvent): Promise<ExecutionId | null> {
    if (this.#state !== "running") return Promise.reject(new RuntimeError("NOT_RUNNING", { node: this.name }));
    const tag = this.#tagNext++;
    return new Promise((resolve, reject) => {
      this.#answers.set(tag, { resolve, reject });
      this.#loop.handle(event(tag));
    });
  }

  #answer(tag: number, answer: Answer): void {
    const asker = this.#answers.get(tag);
    this.#answers.delete(tag);
    if (answer.ok) return asker?.resolve(answer.execution);
    const code = answer.code === "SCHEMA" ? "INPUT_INVALID" : answer.code;
    asker?.reject(new RuntimeError(code, { reason: answer.message }));
  }

  #finish(id: ExecutionId, outcome: Outcome): void {
    const waiters = this.#waiters.get(id);
    if (waiters === undefined) return;
    this.#waiters.delete(id);
    for (const { resolve, reject } of waiters) {
      if (outcome.ok) resolve(outcome.value as { readonly [port: string]: Value });
      else reject(new ExecutionFailure(id, outcome.failure));
    }
  }

  #deliver(effect: Extract<Effect, { kind: "deliver-output" }>): void {
    if (this.#outputListeners.size === 0) return void this.#undelivered.push(effect);
    const { execution, port, value, command } = effect;
    const deliveries = [...this.#outputListeners].map(async (listener) => listener({ execution, port, value }));
    Promise.all(deliveries).then(
      () => this.#loop.handle({ kind: "output-delivered", command }),
      (error: Error) => this.#given.log.error({ err: error, execution, port }, "an output listener failed; the output comes again after a restart"),
    );
  }

  #tell(event: BusEvent): void {
    const level = QUIET_EVENTS.has(event.event) ? "debug" : "info";
    this.#given.log[level]({ event: event.event, peer: event.peer, details: event.details }, event.event);
    for (const listener of this.#eventListeners) {
      try {
        listener(event);
      } catch (error) {
        if (error instanceof BugError) throw error;
        this.#given.log.error({ err: error }, "an event listener threw");
      }
    }
  }

  async #changePolicy(change: PolicyChange): Promise<void> {
    await this.#ask((tag) => ({ kind: "policy-changed", change, tag }));
  }

  #subject(who: string): PolicySubject {
    return parseSubject(who, (name) => this.#given.driver.engine.state.peersByName.get(name)?.id);
  }
}

/** Told at every redial, so of no interest unless one looks for them. */
const QUIET_EVENTS: ReadonlySet<string> = new Set(["address-unknown", "pause-recognised"]);

function settle(id: string, outcome: Outcome): { readonly [port: string]: Value } {
  if (!outcome.ok) throw new ExecutionFailure(id, outcome.failure);
  return outcome.value as { readonly [port: string]: Value };
}
