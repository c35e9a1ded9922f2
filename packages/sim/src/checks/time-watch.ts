import { decodeMessage, decodeValue, type ExecutionId, NS_PER_MS, NS_PER_S } from "@holdfast/core";
import { require, Violation } from "../violation.ts";
import { HASTY_MS, hurryMs } from "../workload/chain.ts";
import type { Request } from "../workload/request.ts";
import type { Machine } from "../world/machine.ts";
import type { Process } from "../world/process.ts";
import type { World } from "../world/world.ts";

/** In a calm world a request may outlive its deadline by this: a late timer, and a process that gives way to another. */
const SLACK_NS = 4 * NS_PER_S;

/**
 * Whether time that was set is kept.
 *
 *   T1. No request travels with more time than its application, or the call that it is part of, gave it.
 *   T2. Nobody runs what reached him only with no time left.
 *   T3. In a calm world everything with a deadline has ended soon after it.
 */
export class TimeWatch {
  readonly #world: World;
  /** Requests that went to a machine with some time left, "machine/request". */
  readonly #hadTime = new Set<string>();
  /** When a process was first seen to run, in the calm world. */
  readonly #upSinceNs = new WeakMap<Process, number>();
  readonly #isNeeded: boolean;

  constructor(world: World) {
    this.#world = world;
    this.#isNeeded = world.plan.requests.some((wish) => limitOf(wish) !== undefined);
  }

  /** A frame leaves for a peer. */
  sent(process: Process, peer: number, frame: Uint8Array): void {
    if (!this.#isNeeded) return;
    const message = decodeMessage(frame.subarray(4));
    if (message.kind !== "envelope" || message.body.type !== "request" || message.body.oneWay) return;
    const port = message.body.ports.find(({ name }) => name === "key" || name === "item");
    if (port === undefined) return;
    const [id] = String(decodeValue(port.payload)).split("/") as [string];
    const request = this.#world.requests.find((one) => one.id === id);
    const limitNs = request === undefined ? undefined : limitOf(request);
    if (limitNs === undefined) return;
    const { remainingNs } = message.header;
    require(remainingNs !== "never" && remainingNs <= Math.max(1, limitNs), "deadline", () => `${process.name} gives ${id} ${remainingNs} ns, and it has ${limitNs}`); // T1
    if ((remainingNs as number) > 1) this.#hadTime.add(`${peer}/${id}`);
    else this.#world.reached("a request was sent with no time left");
  }

  /** A node behind the first has counted the request. */
  ran(machine: Machine, request: Request): void {
    if (!this.#isNeeded || request.kind === "tell" || limitOf(request) === undefined) return;
    require(this.#hadTime.has(`${machine.index}/${request.id}`), "deadline", () => `${machine.name} ran ${request.id}, which reached it with no time left`); // T2
  }

  /** Looks, in a calm world that began then, for what should have ended (T3). */
  glance(calmAtNs: number): void {
    if (!this.#isNeeded) return;
    const { now, requests, machines } = this.#world;
    for (const request of requests) {
      const limitNs = request.kind === "hasty" ? Math.min(HASTY_MS * NS_PER_MS, request.deadlineNs ?? Infinity) : request.deadlineNs;
      if (limitNs === undefined || !request.acknowledged) continue;
      const process = machines[request.at]?.process;
      if (process === undefined || !process.running) continue;
      const upSinceNs = this.#upSinceNs.get(process) ?? now;
      this.#upSinceNs.set(process, upSinceNs);
      if (now <= Math.max(calmAtNs, request.askedAtNs, upSinceNs) + limitNs + SLACK_NS || !process.engine.state.executions.has(request.id as ExecutionId)) continue;
      throw new Violation("deadline", `${request.id} had ${limitNs} ns, and still runs after ${now - request.askedAtNs}`);
    }
  }
}

/** What a request that travels may have: undefined without a bound. */
function limitOf({ kind, at, deadlineNs }: { kind: string; at: number; deadlineNs?: number }): number | undefined {
  if (kind !== "hurried") return deadlineNs;
  return Math.min(deadlineNs ?? Infinity, hurryMs(at) * NS_PER_MS);
}
