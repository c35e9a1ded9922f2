import type { Answer, ExecutionId, Outcome } from "@holdfast/core";
import { require } from "../violation.ts";
import type { Machine } from "../world/machine.ts";
import type { Request } from "./request.ts";

/** The application beside one node. It asks until it is told that its request is durable, always under the same id. */
export class Client {
  readonly requests = new Map<string, Request>();
  readonly #machine: Machine;
  readonly #asked = new Map<number, Request>();
  #nextTag = 1;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  ask(request: Request): void {
    this.requests.set(request.id, request);
    this.#send(request);
  }

  /** Asks again for what was never answered. */
  retry(): void {
    for (const request of this.requests.values()) if (!request.acknowledged) this.#send(request);
  }

  answered(tag: number, answer: Answer): void {
    const request = this.#asked.get(tag);
    if (request === undefined) return;
    this.#asked.delete(tag);
    if (!answer.ok && answer.code === "FULL") return;
    require(answer.ok, "outcome", () => `${request.id} was refused: ${JSON.stringify(answer)}`);
    request.acknowledged = true;
  }

  finished(execution: ExecutionId, outcome: Outcome): void {
    const request = this.requests.get(execution);
    if (request === undefined) return; // another node's, done here
    checkOutcome(request, outcome);
    request.finished = true;
  }

  #send({ id, flow, fails }: Request): void {
    const { process } = this.#machine;
    const request = this.requests.get(id) as Request;
    if (process === undefined || !process.running) return;
    const tag = this.#nextTag++;
    this.#asked.set(tag, request);
    this.#machine.world.note(`${process.name} is asked for ${id} (${flow})`);
    process.receive({ kind: "invoked", id: id as ExecutionId, flow, input: { key: id, fails }, deadlineNs: null, tag });
  }
}

export function checkOutcome(request: Request, outcome: Outcome): void {
  const { id, expected } = request;
  const right = outcome.ok ? expected !== null && (outcome.value as { n: number }).n === expected : expected === null && outcome.failure.code === "OUTSIDE";
  require(right, "outcome", () => `${id} came to ${JSON.stringify(outcome)}, expected ${expected ?? "a failure"}`);
}
