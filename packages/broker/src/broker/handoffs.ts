import { HandoffFallbackPolicy, RuntimeError } from "@holdfast/core/peer";
import { monotonicUs } from "../protocol/clock.ts";
import { keyText } from "../runtime/domain-directory.ts";
import type { HandoffFailure } from "@holdfast/core/peer";
import type { OfferAnswer } from "../channel/handoff-channel.ts";
import type { Hello } from "../protocol/messages.ts";
import type { BrokerMetrics, ConnectionReason, OfferOutcome } from "./broker-metrics.ts";
import type { RunningBackend } from "./running-backend.ts";
import type { Visitor } from "./visitor.ts";

/** A backend that has not answered an offer after this is asked no more; the client dials it instead. */
const OFFER_US_MAX = 250_000;
/**
 * A backend may accept an offer within this. The rest is for its answer to arrive: what was sent before the broker looks into the
 * channel for the last time is in it by then, however long the broker is busy with what it saw at the same look.
 */
const ACCEPT_US_MAX = 200_000;
/** Offers that one backend has yet to answer. Decision: what a stopped one can keep of our descriptors. */
const OFFERS_MAX = 64;

interface Offered {
  readonly backend: RunningBackend;
  readonly offeredAtUs: number;
  late: NodeJS.Timeout;
  readonly settle: (reason: ConnectionReason) => void;
}

/**
 * Hands connections to their backends.
 *
 *     decided ──offer──▶ offered ──ack──▶ done: our copy is closed
 *                        offered ──nack, send error, channel lost, exit──▶ recovered: the socket is still ours
 *                        offered ──250 ms──▶ ambiguous: the socket may have been taken, and not begun
 *
 * Invariants:
 *   H1. An offer settles once.
 *   H2. Nothing is written on an offered connection before it has settled otherwise than by an ack. After its deadline a
 *       backend accepts no more, and it answers before it writes: an answer that was on its way is read before the
 *       deadline counts.
 *   H3. A backend has at most OFFERS_MAX offers to answer: what it does not take from the channel stays open here.
 */
export class Handoffs {
  readonly #policy = new HandoffFallbackPolicy();
  readonly #metrics: BrokerMetrics;
  readonly #nowUs: () => number;
  readonly #offers = new Map<number, Offered>();
  #nextId = 1;

  /** `nowUs` is the clock that backends share. */
  constructor(metrics: BrokerMetrics, nowUs: () => number = monotonicUs) {
    this.#metrics = metrics;
    this.#nowUs = nowUs;
  }

  /** Connects a backend's answers with what was offered to it. */
  watch(backend: RunningBackend): void {
    backend.onAnswer = (answer) => this.#handleAnswer(answer);
    backend.onChannelLost = () => this.#recover(backend);
    void backend.exited.then(() => this.#recover(backend));
  }

  /** Why a connection is not to be handed over; "none" if it is. The reasons and their order: spec/handoff.md. */
  decide(backend: RunningBackend, { accepts }: Hello, inputs: { readonly isAllowed: boolean; readonly isPressureHigh: boolean }): ConnectionReason {
    const decision = this.#policy.shouldAttempt(keyText(backend.key), {
      clientSupportsHandoff: accepts.includes("handoff"),
      servicePolicyEnabled: inputs.isAllowed,
      fdPressureDisabled: inputs.isPressureHigh,
      backendAdoptedExisting: backend.adopted,
    }, this.#nowUs() * 1000);
    if (!decision.attempt) return decision.reason;
    if (this.#offersTo(backend).length >= OFFERS_MAX) return "too-many-offers"; // H3
    return backend.channel === undefined ? "backend-lost" : "none";
  }

  /** Resolves with "none" when the backend has the connection, else with the reason why the client must go another way. */
  offer(backend: RunningBackend, visitor: Visitor, { pid, service }: Hello): Promise<ConnectionReason> {
    const id = this.#nextId++;
    const offeredAtUs = this.#nowUs();
    const { promise, resolve } = Promise.withResolvers<ConnectionReason>();
    const late = this.#expireAt(id, offeredAtUs + OFFER_US_MAX);
    this.#offers.set(id, { backend, offeredAtUs, late, settle: resolve });
    try {
      const head = { id, deadlineUs: offeredAtUs + ACCEPT_US_MAX, service, version: backend.key.version, clientPid: pid };
      backend.channel?.offer(head, visitor.rest, visitor.socket);
    } catch (error) {
      const isLost = error instanceof RuntimeError && error.code === "BACKEND_LOST";
      this.#settle(id, "lost", isLost ? "backend-lost" : "permission-denied");
    }
    return promise;
  }

  /** Timers count from when the turn of the event loop began, which may be long ago: the real time decides. */
  #expireAt(id: number, atUs: number): NodeJS.Timeout {
    return setTimeout(() => {
      const offered = this.#offers.get(id);
      if (offered === undefined) return;
      if (this.#nowUs() < atUs) offered.late = this.#expireAt(id, atUs);
      else setImmediate(() => this.#settle(id, "expired", "backend-ack-timeout")); // H2: one more look into the channel.
    }, Math.max(1, Math.ceil((atUs - this.#nowUs()) / 1000)));
  }

  #handleAnswer(answer: OfferAnswer): void {
    if (answer.accepted) this.#settle(answer.id, "acked", "none");
    else this.#settle(answer.id, "nacked", answer.reason);
  }

  #recover(backend: RunningBackend): void {
    for (const id of this.#offersTo(backend)) this.#settle(id, "lost", "backend-lost");
  }

  /** Those that it has yet to answer. They are few: H3, and answered within milliseconds. */
  #offersTo(backend: RunningBackend): number[] {
    return [...this.#offers].filter(([, offered]) => offered.backend === backend).map(([id]) => id);
  }

  #settle(id: number, outcome: OfferOutcome, reason: ConnectionReason): void {
    const offered = this.#offers.get(id);
    if (offered === undefined) return; // H1: an answer that came too late.
    this.#offers.delete(id);
    clearTimeout(offered.late);
    this.#metrics.recordOffer(outcome, this.#nowUs() - offered.offeredAtUs);
    const key = keyText(offered.backend.key);
    if (outcome === "acked") this.#policy.recordSuccess(key);
    else if (reason !== "draining") this.#policy.recordFailedAttempt(key, failureOf(reason), this.#nowUs() * 1000);
    offered.settle(reason);
  }
}

function failureOf(reason: ConnectionReason): HandoffFailure {
  return reason === "permission-denied" || reason === "no-handle" ? "permission-denied" : "backend-ack-timeout";
}
