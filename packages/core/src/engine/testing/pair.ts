import { compileFlows } from "../../flow/library.ts";
import type { AnyFlow } from "../../flow/flow.ts";
import { peerIdFromEd25519 } from "../../base/peer-id.ts";
import type { ExecutionId, Lineage, PeerId } from "../../base/ids.ts";
import { NS_PER_MS } from "../../base/time.ts";
import type { Value } from "../../base/value.ts";
import { Driver } from "../../driver.ts";
import type { HostDefinition } from "../../flow/definitions.ts";
import { Engine } from "../engine.ts";
import type { Answer, BusEvent, Effect, Outcome } from "../engine-events.ts";
import { engineOptions, type EngineOptions } from "../engine-options.ts";
import type { Encoded } from "../rows.ts";

/** A node in a test: a real engine and driver, a store that is a Map, and host work that runs when told to. */
export class TestNode {
  readonly name: string;
  readonly id: PeerId;
  readonly rows = new Map<string, Uint8Array>();
  readonly flows: readonly AnyFlow[];
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
  position = 0;
  incarnation = 0;
  up = false;
  #tag = 0;

  constructor(world: TestWorld, name: string, seed: number, flows: readonly AnyFlow[], options: Partial<EngineOptions>) {
    this.world = world;
    this.name = name;
    this.flows = flows;
    this.options = options;
    this.id = peerIdFromEd25519(new Uint8Array(32).fill(seed));
  }

  start(): void {
    const definitions = compileFlows(this.flows as AnyFlow[]);
    const engine = new Engine({
      identity: { peer: this.id, lineage: `${"0".repeat(31)}${this.id.length % 10}` as Lineage, incarnation: ++this.incarnation },
      definitions, options: engineOptions(this.options), policy: { block: [], allow: null }, seed: this.name,
      groups: new Map(Object.entries(this.world.groups)),
    });
    if (this.rows.size > 0) engine.restore([...this.rows].sort(([a], [b]) => (a < b ? -1 : 1)) as Encoded[], this.world.now, Math.floor(this.world.now / NS_PER_MS));
    else engine.begin(this.world.now, Math.floor(this.world.now / NS_PER_MS));
    this.driver = new Driver(engine, { position: this.position, durable: true });
    this.up = true;
    for (const other of this.world.nodes.values()) {
      if (other !== this) this.driver.handle({ kind: "peer-configured", peer: other.id, name: other.name, addresses: [`/memory/${other.name}`], keepLink: true });
    }
  }

  /** kill −9: everything but the rows is gone. */
  kill(): void {
    this.up = false;
    this.world.dropLinksOf(this);
  }

  invoke(flow: string, input: Value, id?: string): number {
    const tag = ++this.#tag;
    this.driver.handle({ kind: "invoked", id: (id ?? null) as ExecutionId | null, flow, input, deadlineNs: null, tag });
    return tag;
  }

  /** One turn, one commit, all released effects. True if anything happened. */
  step(): boolean {
    if (!this.up) return false;
    const { driver, world } = this;
    const wake = driver.nextTimeout();
    if (!driver.engine.hasWork && (wake === undefined || wake.at === "never" || wake.at > world.now)) return false;
    driver.poll(world.now, Math.floor(world.now / NS_PER_MS));
    const commit = driver.pollCommit();
    if (commit !== undefined) {
      for (const [key, bytes] of commit.puts) this.rows.set(key, bytes);
      for (const key of commit.deletes) this.rows.delete(key);
      this.position = commit.position;
      driver.handleCommitted(commit.position);
    }
    for (let effect = driver.pollEffect(); effect !== undefined; effect = driver.pollEffect()) this.perform(effect);
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
        return void this.driver.handle({ kind: "output-delivered", command: effect.command });
      case "abort-host": return void this.aborted.push(effect.command);
      case "start-host":
        this.hostStarts.push(effect);
        if (!this.holdHost) this.finishHost(effect);
    }
  }

  finishHost(effect: Extract<Effect, { kind: "start-host" }>): void {
    const definition = this.driver.engine.state.definitions.host.get(effect.fn) as HostDefinition;
    try {
      const value = (definition.fn as (input: Value, context: object) => Value)(effect.input, { key: effect.key, attempt: effect.attempt });
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

  constructor(names: readonly string[], flows: readonly AnyFlow[], groups: Record<string, readonly string[]> = {}, options: Partial<EngineOptions> = {}) {
    this.groups = groups;
    names.forEach((name, at) => this.nodes.set(name, new TestNode(this, name, at + 1, flows, options)));
    for (const node of this.nodes.values()) node.start();
  }

  node(name: string): TestNode {
    return this.nodes.get(name) as TestNode;
  }

  dial(from: TestNode, peer: PeerId): void {
    const to = [...this.nodes.values()].find((node) => node.id === peer) as TestNode;
    if (!to.up || this.cutOff.has(to) || this.cutOff.has(from)) {
      from.driver.handle({ kind: "dial-failed", peer, reason: "refused" });
      return;
    }
    const mine = this.#nextLink++;
    const theirs = this.#nextLink++;
    this.#ends.set(mine, { from, to, other: theirs });
    this.#ends.set(theirs, { from: to, to: from, other: mine });
    from.driver.handle({ kind: "link-opened", link: mine, peer: to.id, dialled: true });
    to.driver.handle({ kind: "link-opened", link: theirs, peer: from.id, dialled: false });
  }

  send(link: number, _from: TestNode, frame: Uint8Array): void {
    const end = this.#ends.get(link);
    if (end === undefined || !end.to.up || this.cutOff.has(end.to) || this.cutOff.has(end.from)) return;
    end.to.driver.handle({ kind: "frame-received", link: end.other, body: frame.slice(4) });
  }

  close(link: number, _from: TestNode): void {
    const end = this.#ends.get(link);
    if (end === undefined) return;
    this.#ends.delete(link);
    this.#ends.delete(end.other);
    if (end.to.up) end.to.driver.handle({ kind: "link-closed", link: end.other, reason: "closed", blamesPeer: false });
  }

  dropLinksOf(node: TestNode): void {
    for (const [link, end] of [...this.#ends]) if (end.from === node) this.close(link, node);
  }

  /** Runs all nodes until nothing happens any more at this instant. */
  settle(): void {
    for (let round = 0; round < 10_000; round++) {
      let busy = false;
      for (const node of this.nodes.values()) busy = node.step() || busy;
      if (!busy) return;
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
        const wake = node.up ? node.driver.nextTimeout() : undefined;
        if (wake !== undefined && wake.at !== "never") next = Math.min(next, wake.at);
      }
      this.now = Math.max(this.now, next);
      this.settle();
    }
  }
}
