import { flushCompileCache } from "node:module";
import { RuntimeError } from "@holdfast/core";
import { SupervisedNode } from "./supervised-node.ts";
import { nodeArgv, nodeEnvironment } from "./node-argv.ts";
import type { Fleet } from "../fleet/define-fleet.ts";
import type { NodeRecord } from "../fleet/fleet-directory.ts";
import type { SupervisorEvent } from "./supervised-node.ts";

export interface SupervisorOptions {
  /** The fleet file. */
  readonly file: string;
  /** The fleet's data directory. */
  readonly data: string;
  readonly nodes: readonly NodeRecord[];
  readonly fleet: Fleet;
}

/** Runs every node of a fleet in a process of its own, and keeps them running. */
export class Supervisor implements AsyncDisposable {
  readonly nodes: ReadonlyMap<string, SupervisedNode>;
  /** Rejects when a node refuses to start: the fleet cannot run. */
  readonly refused: Promise<never>;
  readonly #listeners = new Set<(event: SupervisorEvent) => void>();
  readonly #refuse: (error: Error) => void;

  constructor({ file, data, nodes, fleet }: SupervisorOptions) {
    const { promise, reject } = Promise.withResolvers<never>();
    this.refused = promise;
    this.refused.catch(() => {});
    this.#refuse = reject;
    const onEvent = (event: SupervisorEvent) => this.#handleEvent(event);
    this.nodes = new Map(nodes.map((record) => {
      const heapMb = fleet.nodes.get(record.name)?.heapMb;
      const argv = nodeArgv({ file, name: record.name, data, heapMb });
      return [record.name, new SupervisedNode({ record, argv, environment: nodeEnvironment(heapMb), onEvent })];
    }));
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
    for (const node of this.nodes.values()) node.start();
    await Promise.race([ready, this.refused]);
  }

  /** Lets every node finish its turn, commit and close. */
  async drain(): Promise<void> {
    await Promise.all([...this.nodes.values()].map((node) => node.drain()));
  }

  /** At once, nothing finished. */
  kill(): void {
    for (const node of this.nodes.values()) node.signal("SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.drain();
  }

  #handleEvent(event: SupervisorEvent): void {
    if (event.kind === "refused") this.#refuse(new RuntimeError("NODE_REFUSED", { node: event.node, reason: event.message }));
    for (const listener of this.#listeners) listener(event);
  }
}
