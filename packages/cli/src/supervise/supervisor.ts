import { rmSync } from "node:fs";
import { flushCompileCache } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";
import { BrokerClient, DomainDirectory, RefusedError, startBroker, trySignal } from "@holdfast/broker";
import { RuntimeError } from "@holdfast/core";
import { nodeArgv, nodeEnvironment } from "./node-argv.ts";
import { SupervisedNode } from "./supervised-node.ts";
import type { LeasedService, LeaseEvent } from "@holdfast/broker";
import type { Fleet } from "../fleet/define-fleet.ts";
import type { NodeRecord } from "../fleet/fleet-directory.ts";
import type { LogLine } from "./log-line.ts";
import type { LoggedMessage } from "./node-log.ts";

/** A broker that was killed is followed by another after this; so often that is tried, should it not come up. */
const RETRY_MS = 100;
const RETRIES_MAX = 100;

export interface SupervisorOptions {
  /** The fleet file. */
  readonly file: string;
  /** The fleet's data directory. */
  readonly data: string;
  readonly nodes: readonly NodeRecord[];
  readonly fleet: Fleet;
}

export type SupervisorEvent = Readonly<
  | { kind: "ready"; node: string }
  | { kind: "died"; node: string; how: string; restartInMs: number }
  /** Its process is there and does not answer. */
  | { kind: "silent"; node: string }
  /** Starting it again would not help. */
  | { kind: "refused"; node: string; message: string }
  | { kind: "logged"; node: string; line: LogLine }
  /** Nodes go on without it. */
  | { kind: "broker-lost"; pid: number }
  | { kind: "broker-back"; pid: number }
>;

/**
 * Holds the lease of a fleet's nodes with the fleet's broker, which runs each in a process of its own and keeps them running.
 * When the broker dies its nodes go on; another one is started, takes them over and is given the lease again.
 */
export class Supervisor implements AsyncDisposable {
  readonly nodes: ReadonlyMap<string, SupervisedNode>;
  /** Rejects when the fleet cannot run: a node refuses to start, or no broker can be had. */
  readonly refused: Promise<never>;
  readonly #services: readonly LeasedService[];
  readonly #directory: DomainDirectory;
  readonly #listeners = new Set<(event: SupervisorEvent) => void>();
  readonly #refuse: (error: Error) => void;
  #client: BrokerClient | undefined;
  /** The last attempt to get it. */
  #leasing: Promise<void> = Promise.resolve();
  #brokerPid = 0;
  #isDraining = false;

  constructor({ file, data, nodes, fleet }: SupervisorOptions) {
    const { promise, reject } = Promise.withResolvers<never>();
    this.refused = promise;
    this.refused.catch(() => {});
    this.#refuse = reject;
    this.nodes = new Map(nodes.map((record) => [record.name, new SupervisedNode(record)]));
    this.#directory = new DomainDirectory((nodes[0] as NodeRecord).service.domain);
    this.#services = nodes.map(({ name, service: { service, version, build } }) => {
      const heapMb = fleet.nodes.get(name)?.heapMb;
      return { service, version, build, argv: nodeArgv({ file, name, data, heapMb }), cwd: process.cwd(), environment: nodeEnvironment(heapMb) };
    });
  }

  /** Of the broker; 0 while there is none. */
  get brokerPid(): number {
    return this.#brokerPid;
  }

  /** False if there is no broker just now. */
  killBroker(): boolean {
    return this.#brokerPid !== 0 && trySignal(this.#brokerPid, "SIGKILL");
  }

  onEvent(listener: (event: SupervisorEvent) => void): void {
    this.#listeners.add(listener);
  }

  /** Resolves when every node is ready. */
  async start(): Promise<void> {
    const waiting = new Set(this.nodes.keys());
    const ready = new Promise<void>((done) => {
      this.onEvent((event) => {
        if (event.kind === "ready" && waiting.delete(event.node) && waiting.size === 0) done();
      });
    });
    flushCompileCache(); // Now and not when this process ends: the nodes load much the same, and need not compile it again.
    await this.#lease();
    await Promise.race([ready, this.refused]);
  }

  /** Lets every node finish its turn, commit and close; then the broker ends, too. */
  async drain(): Promise<void> {
    if (this.#isDraining) return;
    this.#isDraining = true;
    for (const node of this.nodes.values()) node.handleDraining();
    try {
      await this.#end();
      rmSync(this.#directory.path, { recursive: true, force: true });
    } catch (error) {
      // The broker was killed meanwhile. What is left is found by what stands in that directory: the next run drains it.
      if (!(error instanceof RuntimeError) && !(error instanceof RefusedError)) throw error;
    }
  }

  /** At once, nothing finished. */
  kill(): void {
    for (const node of this.nodes.values()) node.signal("SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.drain();
  }

  #lease(): Promise<void> {
    this.#leasing = this.#leaseOnce();
    return this.#leasing;
  }

  async #leaseOnce(): Promise<void> {
    await startBroker(this.#directory, new AbortController().signal, { allowRoot: true });
    const client = await BrokerClient.open(this.#directory);
    client.onEvent = (event) => this.#handleEvent(event);
    const { pid } = (await client.ask("lease", { pid: process.pid, services: this.#services })) as { readonly pid: number };
    this.#client = client;
    this.#brokerPid = pid;
    void client.closed.then(() => this.#handleBrokerLost());
  }

  async #end(): Promise<void> {
    await this.#leasing.catch(() => {}); // Whoever wants it has been told.
    if (this.#client === undefined) return;
    // A broker that was killed just now has left the nodes to the next one.
    if (this.#client.isClosed) await this.#lease();
    await this.#client.ask("release");
    await this.#client.ask("shutdown");
    await this.#client.closed;
  }

  async #handleBrokerLost(): Promise<void> {
    if (this.#isDraining) return;
    this.#emit({ kind: "broker-lost", pid: this.#brokerPid });
    this.#brokerPid = 0;
    for (let retries = 0; retries < RETRIES_MAX && !this.#isDraining; retries++) {
      try {
        await this.#lease();
        return this.#emit({ kind: "broker-back", pid: this.#brokerPid });
      } catch (error) {
        if (!(error instanceof RuntimeError) && !(error instanceof RefusedError)) throw error;
        if (error.code === "BROKER_REFUSED") return this.#refuse(error);
        await sleep(RETRY_MS);
      }
    }
    if (!this.#isDraining) this.#refuse(new RuntimeError("BROKER_UNREACHABLE", { reason: "it was killed, and cannot be started again" }));
  }

  #handleEvent(event: LeaseEvent): void {
    const node = this.nodes.get(event.service);
    if (node === undefined) return;
    const name = event.service;
    switch (event.kind) {
      case "starting":
        if (node.state === "running" && node.pid !== event.pid) this.#emit({ kind: "died", node: name, how: "while there was no broker", restartInMs: 0 });
        return node.handleStarting(event.pid);
      case "ready":
        if (node.handleReady(event.pid)) this.#emit({ kind: "ready", node: name });
        return;
      case "died":
        node.handleDeath();
        return this.#emit({ kind: "died", node: name, how: withOutput(event.how, event.output), restartInMs: event.restartInMs });
      case "silent":
        return this.#emit({ kind: "silent", node: name });
      case "unable":
        this.#emit({ kind: "refused", node: name, message: event.message });
        return this.#refuse(new RuntimeError("NODE_REFUSED", { node: name, reason: event.message }));
      case "told":
        return this.#handleTold(name, event.message as LoggedMessage);
    }
  }

  #handleTold(node: string, message: LoggedMessage): void {
    if (message.kind === "logged") this.#emit({ kind: "logged", node, line: message.line });
  }

  #emit(event: SupervisorEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

/** A node that throws says why on stderr, and nowhere else. */
function withOutput(how: string, output: string): string {
  return output.trim() === "" ? how : `${how}:\n${output.trimEnd()}\n`;
}
