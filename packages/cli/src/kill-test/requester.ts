import { readdirSync, watch } from "node:fs";
import { PatientClient } from "../supervise/patient-client.ts";
import { PARTS } from "./counting.fleet.ts";
import type { Value } from "@holdfast/core";
import type { NodeRecord } from "../fleet/fleet-directory.ts";

/** To each node at once: enough that a kill finds requests in every stage, while others wait for a peer that is down. */
const CALLERS_PER_NODE = 16;

/** When a promise that was made too early is broken by a kill. */
export const MOMENTS = ["acknowledging", "working outside"] as const;
export type Moment = (typeof MOMENTS)[number];

/** Asks the nodes without pause, notes what they acknowledge, and checks in the end that each of it took effect once. */
export class Requester {
  /** A node has just begun that. */
  onMoment: (node: string, doing: Moment) => void = () => {};
  readonly #nodes: readonly NodeRecord[];
  readonly #outside: string;
  readonly #acknowledged = new Map<string, Set<string>>();
  /** Who works outside for a request. */
  readonly #receivers = new Map<string, string>();
  #isAsking = true;

  /** `outside`: the directory that stands for the world outside. */
  constructor(nodes: readonly NodeRecord[], outside: string) {
    this.#nodes = nodes;
    this.#outside = outside;
    for (const { name } of nodes) this.#acknowledged.set(name, new Set());
  }

  get acknowledged(): number {
    return [...this.#acknowledged.values()].reduce((sum, ids) => sum + ids.size, 0);
  }

  /** Until `finish`; resolves when the last request has its result. Throws what a node answers instead of one. */
  async run(stop: AbortSignal): Promise<void> {
    const watcher = watch(this.#outside, (_, file) => this.onMoment(this.#receivers.get(idOf(String(file))) ?? "", "working outside"));
    try {
      await Promise.all(this.#nodes.flatMap((node) => Array.from({ length: CALLERS_PER_NODE }, () => this.#call(node, stop))));
    } finally {
      watcher.close();
    }
  }

  finish(): void {
    this.#isAsking = false;
  }

  /** What is wrong; empty if nothing is. */
  async violations(stop: AbortSignal): Promise<string[]> {
    const found: string[] = [];
    const everywhere = new Set<string>();
    for (const node of this.#nodes) {
      using client = new PatientClient(node);
      const own = this.#acknowledged.get(node.name) ?? new Set();
      const received = new Set([...this.#receivers.keys()].filter((id) => this.#receivers.get(id) === node.name));
      const expected = [["asked", own, 1], ["parts", own, PARTS], ["received", received, 1]] as const;
      for (const [cells, ids, times] of expected) {
        found.push(...differences(`${node.name}: ${cells}`, ids, times, await readCounts(client, cells, stop)));
      }
      for (const id of own) everywhere.add(id);
    }
    const effects = new Map<string, number>();
    for (const file of readdirSync(this.#outside)) {
      const id = idOf(file);
      effects.set(id, (effects.get(id) ?? 0) + 1);
    }
    return [...found, ...differences("outside", everywhere, 1, effects)];
  }

  /** In the ring of counting.fleet.ts. */
  #after(node: NodeRecord): NodeRecord {
    return this.#nodes[(this.#nodes.indexOf(node) + 1) % this.#nodes.length] as NodeRecord;
  }

  async #call(node: NodeRecord, stop: AbortSignal): Promise<void> {
    using client = new PatientClient(node);
    while (this.#isAsking) {
      const id = `request-${this.#receivers.size}`;
      this.#receivers.set(id, this.#after(node).name);
      const execution = await client.call("start", { flow: "request", input: { id, outside: this.#outside }, id }, stop);
      this.#acknowledged.get(node.name)?.add(id);
      this.onMoment(node.name, "acknowledging");
      const { asked, received } = await client.call("result", { execution }, stop);
      if (asked !== 1 || received !== 1) throw new Error(`${id} to ${node.name} was counted ${String(asked)} and ${String(received)} times`);
    }
  }
}

/** Of the request that a file outside is of. */
function idOf(file: string): string {
  return file.split(" ")[0] as string;
}

function differences(where: string, ids: ReadonlySet<string>, times: number, counts: ReadonlyMap<string, Value>): string[] {
  const wrong = [...ids].filter((id) => counts.get(id) !== times).map((id) => `${where}: ${id} counts ${String(counts.get(id) ?? 0)} of ${times}`);
  const unknown = [...counts.keys()].filter((id) => !ids.has(id)).map((id) => `${where}: ${id} was never acknowledged`);
  return [...wrong, ...unknown];
}

async function readCounts(client: PatientClient, cells: string, stop: AbortSignal): Promise<Map<string, Value>> {
  const counts = new Map<string, Value>();
  for (let after: string | undefined; ; ) {
    const page = await client.call("cells-range", { cells, ...(after === undefined ? {} : { after }) }, stop);
    if (page.length === 0) return counts;
    for (const [key, cell] of page) counts.set(key, cell);
    after = page.at(-1)?.[0];
  }
}
