import type { Answer, EngineEvent, ExecutionId, Outcome, PolicyChange } from "@holdfast/core";
import { require } from "../violation.ts";
import type { Machine } from "../world/machine.ts";
import type { Process } from "../world/process.ts";
import { APPROVED } from "./approval.ts";
import { checkOutcome } from "./outcome.ts";
import type { Request } from "./request.ts";

type Untagged<Event> = Event extends { readonly tag: number } ? Omit<Event, "tag"> : never;
type Ask = Untagged<EngineEvent>;

interface PolicyWish {
  readonly change: PolicyChange;
  readonly acknowledged: () => void;
  readonly sent: (process: Process) => void;
}

/**
 * The application beside one node, and its operator. Whatever they want, they ask for until they are told that it is
 * durable, or no longer possible; requests always under the same id, changes of policy one after the other.
 */
export class Client {
  readonly requests = new Map<string, Request>();
  readonly #machine: Machine;
  readonly #asked = new Map<number, (answer: Answer) => void>();
  readonly #policy: PolicyWish[] = [];
  #nextTag = 1;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  ask(request: Request): void {
    const { world } = this.#machine;
    request.askedAtNs = world.now;
    this.requests.set(request.id, request);
    world.policies.marks(request);
    this.#invoke(request);
    const { cancelAfterNs, approveAfterNs } = request;
    if (cancelAfterNs !== undefined) world.after(cancelAfterNs, () => this.#giveUp(request));
    if (approveAfterNs !== undefined) world.after(approveAfterNs, () => this.#approve(request));
  }

  /** `sent` is called whenever it is asked for: whatever was asked before may have been lost. */
  changePolicy(change: PolicyChange, acknowledged: () => void, sent: (process: Process) => void): void {
    this.#policy.push({ change, acknowledged, sent });
    if (this.#policy.length === 1) this.#sendPolicy();
  }

  /** Asks again for what was never answered. */
  retry(): void {
    for (const request of this.requests.values()) {
      if (!request.acknowledged) this.#invoke(request);
      if (request.cancel === "wanted" || request.cancel === "asked") this.#sendCancel(request);
      if (request.approve === "wanted" || request.approve === "asked") this.#sendApproval(request);
    }
    this.#sendPolicy();
  }

  /** What the application still has to be told. */
  pending(): string | undefined {
    for (const { id, cancel, approve } of this.requests.values()) {
      if (cancel === "wanted" || cancel === "asked") return `cancelling ${id} is not answered`;
      if (approve === "wanted" || approve === "asked") return `approving ${id} is not answered`;
    }
    return this.#policy.length > 0 ? "a change of policy is not answered" : undefined;
  }

  answered(tag: number, answer: Answer): void {
    const take = this.#asked.get(tag);
    this.#asked.delete(tag);
    take?.(answer);
  }

  finished(execution: ExecutionId, outcome: Outcome): void {
    const request = this.requests.get(execution);
    if (request === undefined) return; // another node's, done here
    checkOutcome(request, outcome);
    if (request.finished) return;
    request.finished = true;
    request.finishedAtNs = this.#machine.world.now;
  }

  // ── asking ──

  #send(ask: Ask, what: string, take: (answer: Answer) => void): void {
    const { process, world } = this.#machine;
    if (process === undefined || !process.running) return;
    const tag = this.#nextTag++;
    this.#asked.set(tag, take);
    world.note(`${process.name} is asked ${what}`);
    process.receive({ ...ask, tag } as EngineEvent);
  }

  #invoke(request: Request): void {
    const { id, flow, fails, deadlineNs = null } = request;
    this.#send({ kind: "invoked", id: id as ExecutionId, flow, input: { key: id, fails }, deadlineNs }, `for ${id} (${flow})`, (answer) => {
      if (!answer.ok && answer.code === "FULL") return;
      require(answer.ok, "outcome", () => `${id} was refused: ${JSON.stringify(answer)}`);
      request.acknowledged = true;
    });
  }

  #giveUp(request: Request): void {
    request.cancel = "wanted";
    this.#sendCancel(request);
  }

  /** A request that may not have begun cannot be cancelled: it is, once it is known to have. */
  #sendCancel(request: Request): void {
    if (!request.acknowledged) return;
    request.cancel = "asked";
    const { id } = request;
    this.#send({ kind: "cancel-requested", execution: id as ExecutionId }, `to cancel ${id}`, (answer) => {
      if (request.cancel !== "asked") return;
      request.cancel = answer.ok ? "won" : "late";
      this.#machine.world.reached(answer.ok ? "a cancel won" : "a cancel came too late");
      require(answer.ok || answer.code === "NOT_FOUND", "outcome", () => `cancelling ${id} was answered ${JSON.stringify(answer)}`);
    });
  }

  #approve(request: Request): void {
    request.approve = "wanted";
    this.#sendApproval(request);
  }

  #sendApproval(request: Request): void {
    if (!request.acknowledged) return;
    request.approve = "asked";
    const { id } = request;
    this.#send({ kind: "signalled", execution: id as ExecutionId, event: "approved", value: APPROVED }, `to approve ${id}`, (answer) => {
      if (request.approve !== "asked") return;
      request.approve = answer.ok ? "taken" : "late";
      this.#machine.world.reached(answer.ok ? "an approval was taken" : "an approval came too late");
      require(answer.ok || answer.code === "NOT_FOUND", "outcome", () => `approving ${id} was answered ${JSON.stringify(answer)}`);
    });
  }

  #sendPolicy(): void {
    const [wish] = this.#policy;
    if (wish === undefined) return;
    const { process } = this.#machine;
    if (process?.running === true) wish.sent(process);
    this.#send({ kind: "policy-changed", change: wish.change }, `to ${wish.change.action}`, (answer) => {
      require(answer.ok, "outcome", () => `a change of policy was answered ${JSON.stringify(answer)}`);
      if (this.#policy[0] !== wish) return;
      this.#policy.shift();
      wish.acknowledged();
      this.#sendPolicy();
    });
  }
}
