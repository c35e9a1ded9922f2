import { compileFlows } from "../../flow/library.ts";
import type { AnyFlow } from "../../flow/flow.ts";
import { peerIdFromEd25519 } from "../../base/peer-id.ts";
import type { ExecutionId, Lineage, PeerId } from "../../base/ids.ts";
import { NS_PER_MS } from "../../base/time.ts";
import type { Value } from "../../base/value.ts";
import { Driver, type Commit } from "../../driver.ts";
import type { HostDefinition } from "../../flow/definitions.ts";
import { Engine } from "../engine.ts";
import type { Answer, BusEvent, Effect, EngineEvent, Outcome } from "../engine-events.ts";
import { engineOptions, type EngineOptions } from "../engine-options.ts";
import type { PolicyLists } from "../engine-state.ts";
import { readNodeRow } from "../restore.ts";
import { ROW, type Encoded } from "../rows.ts";

/** Where a node can be killed, in the order of one step. `commit-in-flight`: the store may have it or not. */
export type CrashPoint = "polled" | "commit-in-flight" | "committed" | "between-effects";

/** A node in a test: a real engine and driver, a store that is a Map, and host work that runs when told to. */
export class TestNode {
  readonly name: string;
  readonly id: PeerId;
  /** Where others find it, and see that its links come from. */
  address: string;
  readonly rows = new Map<string, Uint8Array>();
  flows: readonly AnyFlow[];
  readonly world: TestWorld;
  readonly options: Partial<EngineOptions>;
  driver!: Driver;
  answers = new Map<number, Answer>();
  outcomes = new Map<ExecutionId, Outcome>();
  outputs: { port: string; value: Value }[] = [];
  events: BusEvent[] = [];
  hostStarts: Extract<Effect, { kind: "start-host" }>[] = [];
  aborted: number[] = [];
  /** Host work waits here when `holdHost` is set. */
  holdHost = false;
  /** Outputs are not confirmed while this is set. */
  holdOutputs = false;
  /** Asked at every point; true kills the node there. */
  crashWhen: ((point: CrashPoint) => boolean) | undefined;
  /** The store takes its time: a commit stays in flight until this says that it is done. */
  commitDone: (() => boolean) | undefined;
  readonly #seed: number;
  #inFlight: Commit | undefined;
  policy: PolicyLists = { block: [], allow: null };
  position = 0;
  incarnation = 0;
  up = false;
  /** Not polled (stopped, suspended); what arrives meanwhile waits. */
  paused = false;
  #tag = 0;

  constructor(world: TestWorld, name: string, seed: number, flows: readonly AnyFlow[], options: Partial<EngineOptions>) {
    this.world = world;
    this.name = name;
    this.address = `/memory/${name}`;
    this.flows = flows;
    this.options = options;
    this.#seed = seed;
    this.id = peerIdFromEd25519(new Uint8Array(32).fill(seed));
  }

  start(): void {
    const definitions = compileFlows(this.flows as AnyFlow[]);
    const stored = this.rows.get(ROW.node);
    const engine = new Engine({
      identity: { peer: this.id, lineage: (stored === undefined ? this.#seed.toString(16).padStart(32, "0") : readNodeRow(stored).lineage) as Lineage, incarnation: ++this.incarnation },
      definitions, options: engineOptions(this.options), policy: this.policy, seed: this.name,
      groups: new Map(Object.entries(this.world.groups)),
    });
    if (this.rows.size > 0) engine.restore([...this.rows].sort(([a], [b]) => (a < b ? -1 : 1)) as Encoded[], this.world.now, Math.floor(this.world.now / NS_PER_MS));
    else engine.begin(this.world.now, Math.floor(this.world.now / NS_PER_MS));
    this.driver = new Driver(engine, { position: this.position, durable: true });
    this.up = true;
    for (const other of this.world.nodes.values()) {
      if (other !== this && this.world.knows(this, other)) this.driver.handle({ kind: "peer-configured", peer: other.id, name: other.name, addresses: [other.address], keepLink: true });
    }
  }

  /** kill −9: everything but the rows is gone. */
  kill(commitArrives = false): void {
    if (commitArrives && this.#inFlight !== undefined) this.#store(this.#inFlight);
    this.#inFlight = undefined;
    this.up = false;
    this.world.dropLinksOf(this);
  }

  restart(): void {
    if (this.up) this.kill();
    this.start();
  }

  get state(): Engine["state"] {
    return this.driver.engine.state;
  }

  /** Takes an event, with a turn first where the ingress is full. */
  take(event: EngineEvent): void {
    while (this.driver.handle(event) === "full") {
      if (this.paused) throw new Error(`the ingress of ${this.name} is full, and it is paused`);
      this.step();
    }
  }

  invoke(flow: string, input: Value, id?: string): number {
    const tag = ++this.#tag;
    this.driver.handle({ kind: "invoked", id: (id ?? null) as ExecutionId | null, flow, input, deadlineNs: null, tag });
    return tag;
  }

  /** One turn, one commit, all released effects. True if anything happened. */
  step(): boolean {
    if (!this.up || this.paused) return false;
    const { driver, world } = this;
    const wake = driver.nextTimeout();
    if (!driver.engine.hasWork && (wake === undefined || wake.at === "never" || wake.at > world.now)) return false;
    driver.poll(world.now, Math.floor(world.now / NS_PER_MS));
    if (this.#crash("polled")) return true;
    this.#commit();
    if (this.#inFlight !== undefined && this.#crash("commit-in-flight")) return true;
    this.#finishCommit();
    this.#release();
    return true;
  }

  /** Lets a commit in flight arrive, and releases what waited for it. */
  settleCommits(): boolean {
    if (!this.up || this.#inFlight === undefined) return false;
    this.#finishCommit(true);
    this.#release();
    return true;
  }

  #commit(): void {
    this.#inFlight ??= this.driver.pollCommit();
  }

  #finishCommit(surely = false): void {
    while (this.#inFlight !== undefined && (surely || this.commitDone === undefined || this.commitDone())) {
      const commit = this.#inFlight;
      this.#store(commit);
      if (this.#crash("committed")) return;
      this.#inFlight = undefined;
      this.driver.handleCommitted(commit.position);
      this.#commit();
    }
  }

  #release(): void {
    while (this.up) {
      const effect = this.driver.pollEffect();
      if (effect === undefined) return;
      this.perform(effect);
      this.#crash("between-effects");
    }
  }

  #store(commit: Commit): void {
    for (const [key, bytes] of commit.puts) this.rows.set(key, bytes);
    for (const key of commit.deletes) this.rows.delete(key);
    this.position = commit.position;
  }

  #crash(point: CrashPoint): boolean {
    if (!this.up || this.crashWhen?.(point) !== true) return !this.up;
    this.kill(point === "commit-in-flight" && this.crashWhen(point));
    return true;
  }

  perform(effect: Effect): void {
    switch (effect.kind) {
      case "send-frame": return this.world.send(effect.link, this, effect.frame);
      case "close-link": return this.world.close(effect.link, this);
      case "dial": return this.world.dial(this, effect.peer);
      case "answer": return void this.answers.set(effect.tag, effect.answer);
      case "execution-finished": return void this.outcomes.set(effect.execution, effect.outcome);
      case "telemetry": return void this.events.push(effect.event);
      case "deliver-output":
        this.outputs.push({ port: effect.port, value: effect.value });
        if (!this.holdOutputs) this.driver.handle({ kind: "output-delivered", command: effect.command });
        return;
      case "abort-host": return void this.aborted.push(effect.command);
      case "start-host":
        this.hostStarts.push(effect);
        if (!this.holdHost) this.finishHost(effect);
    }
  }

  finishHost(effect: Extract<Effect, { kind: "start-host" }>): void {
    const definition = this.driver.engine.state.definitions.host.get(effect.fn) as HostDefinition;
    try {
      const value = (definition.fn as (input: Value, context: object) => Value)(effect.input.value, { key: effect.key, attempt: effect.attempt });
      this.driver.handle({ kind: "host-completed", command: effect.command, value });
    } catch (error) {
      this.driver.handle({ kind: "host-failed", command: effect.command, code: "HOST_THREW", message: String((error as Error).message), details: null });
    }
  }
}

/** Nodes, the links between them, and a clock that only the test moves. Frames arrive at once, unless a link is cut. */
export class TestWorld {
  now = 1;
  readonly nodes = new Map<string, TestNode>();
  readonly groups: Record<string, readonly string[]>;
  readonly #ends = new Map<number, { from: TestNode; to: TestNode; other: number }>();
  #nextLink = 1;
  /** Nodes that nobody reaches. */
  readonly cutOff = new Set<TestNode>();
  /** Frames wait on their way until they are delivered, or lost with their link. */
  slow = false;
  dials = 0;
  readonly #onTheWay = new Map<number, Uint8Array[]>();

  /** The node that all others are configured with, and nobody else; undefined = everybody with everybody. */
  readonly #hub: string | undefined;

  constructor(names: readonly string[], flows: readonly AnyFlow[], groups: Record<string, readonly string[]> = {}, options: Partial<EngineOptions> = {}, hub?: string) {
    this.groups = groups;
    this.#hub = hub;
    names.forEach((name, at) => this.nodes.set(name, new TestNode(this, name, at + 1, flows, options)));
    for (const node of this.nodes.values()) node.start();
  }

  node(name: string): TestNode {
    return this.nodes.get(name) as TestNode;
  }

  knows(one: TestNode, other: TestNode): boolean {
    return this.#hub === undefined || one.name === this.#hub || other.name === this.#hub;
  }

  dial(from: TestNode, peer: PeerId): void {
    this.dials++;
    const to = [...this.nodes.values()].find((node) => node.id === peer) as TestNode;
    if (!to.up || this.cutOff.has(to) || this.cutOff.has(from)) {
      from.driver.handle({ kind: "dial-failed", peer, reason: "refused" });
      return;
    }
    const mine = this.#nextLink++;
    const theirs = this.#nextLink++;
    this.#ends.set(mine, { from, to, other: theirs });
    this.#ends.set(theirs, { from: to, to: from, other: mine });
    from.driver.handle({ kind: "link-opened", link: mine, peer: to.id, dialled: true, remote: to.address });
    to.driver.handle({ kind: "link-opened", link: theirs, peer: from.id, dialled: false, remote: from.address });
  }

  send(link: number, _from: TestNode, frame: Uint8Array): void {
    const end = this.#ends.get(link);
    if (end === undefined || !end.to.up || this.cutOff.has(end.to) || this.cutOff.has(end.from)) return;
    if (this.slow) {
      const frames = this.#onTheWay.get(end.other) ?? [];
      this.#onTheWay.set(end.other, frames);
      frames.push(frame.slice(4));
    } else end.to.take({ kind: "frame-received", link: end.other, body: frame.slice(4) });
  }

  /** Links that have frames on their way. */
  get waiting(): readonly number[] {
    return [...this.#onTheWay.keys()];
  }

  /** Lets up to `count` frames of one link arrive. */
  deliver(link: number, count: number): void {
    const frames = this.#onTheWay.get(link) ?? [];
    const end = this.#ends.get(link);
    for (const body of frames.splice(0, count)) if (end?.from.up === true) end.from.take({ kind: "frame-received", link, body });
    if (frames.length === 0) this.#onTheWay.delete(link);
  }

  /** kill −9 of a whole machine: nobody is told that its links are gone. */
  vanish(node: TestNode): void {
    for (const [link, end] of [...this.#ends]) if (end.from === node) this.#forget(link);
    node.kill();
  }

  /** The links between two nodes, as the first numbers them. */
  linksOf(from: TestNode, to: TestNode): number[] {
    return [...this.#ends].flatMap(([link, end]) => (end.from === from && end.to === to ? [link] : []));
  }

  /** Cuts every link between two nodes; both notice, and what was on its way is lost. */
  cut(a: TestNode, b: TestNode): void {
    for (const link of this.linksOf(a, b)) {
      const other = this.#ends.get(link)?.other as number;
      this.#forget(link);
      if (a.up) a.take({ kind: "link-closed", link, reason: "cut", blamesPeer: false });
      if (b.up) b.take({ kind: "link-closed", link: other, reason: "cut", blamesPeer: false });
    }
  }

  #forget(link: number): void {
    const end = this.#ends.get(link);
    for (const one of end === undefined ? [] : [link, end.other]) {
      this.#ends.delete(one);
      this.#onTheWay.delete(one);
    }
  }

  close(link: number, _from: TestNode): void {
    const end = this.#ends.get(link);
    if (end === undefined) return;
    // What was sent before an orderly close arrives.
    this.deliver(end.other, Infinity);
    this.#forget(link);
    if (end.to.up) end.to.take({ kind: "link-closed", link: end.other, reason: "closed", blamesPeer: false });
  }

  dropLinksOf(node: TestNode): void {
    for (const [link, end] of [...this.#ends]) if (end.from === node) this.close(link, node);
  }

  /** Runs all nodes until nothing happens any more at this instant. */
  settle(): void {
    for (let round = 0; round < 10_000; round++) {
      let busy = false;
      for (const node of this.nodes.values()) busy = node.step() || busy;
      for (const link of this.waiting) this.deliver(link, Infinity);
      for (const node of this.nodes.values()) busy = node.settleCommits() || busy;
      if (!busy && this.waiting.length === 0) return;
    }
    throw new Error("the nodes do not come to rest");
  }

  /** Moves the clock, stopping wherever a node wants to be polled. */
  run(ms: number): void {
    const until = this.now + ms * NS_PER_MS;
    this.settle();
    while (this.now < until) {
      let next = until;
      for (const node of this.nodes.values()) {
        const wake = node.up && !node.paused ? node.driver.nextTimeout() : undefined;
        if (wake !== undefined && wake.at !== "never") next = Math.min(next, wake.at);
      }
      this.now = Math.max(this.now, next);
      this.settle();
    }
  }
}
