import { PROTOCOL } from "../protocol/messages.ts";
import { RefusedError, refusal } from "../protocol/refusal.ts";
import { endsWithin } from "./backend-pool.ts";
import { proxy } from "./proxy.ts";
import type { Socket } from "node:net";
import type { Hello } from "../protocol/messages.ts";
import type { BackendPool } from "./backend-pool.ts";
import type { BrokerMetrics, ConnectionReason } from "./broker-metrics.ts";
import type { DescriptorPressure } from "./descriptor-pressure.ts";
import type { Handoffs } from "./handoffs.ts";
import type { Lease } from "./lease.ts";
import type { RunningBackend } from "./running-backend.ts";
import type { PlannedStart, StartPlans } from "./start-plans.ts";
import type { Visitor } from "./visitor.ts";

/** Backends that a connection is carried to, if one after the other ends. */
const PROXY_TRIES_MAX = 3;
/** That a backend has ended is told soon after its endpoint refuses connections. */
const BACKEND_END_MS_MAX = 1_000;
const NO_ROUTE_RETRY_MS = 1_000;

export interface ReceptionOptions {
  readonly pool: BackendPool;
  readonly plans: StartPlans;
  readonly handoffs: Handoffs;
  readonly metrics: BrokerMetrics;
  readonly pressure: DescriptorPressure;
  /** Whether connections are handed over for services whose definition does not say. */
  readonly handoffByDefault: boolean;
  readonly lease: () => Lease | undefined;
}

/** A backend that will have the connection, and whether it may be handed over; null: as the broker does by default. */
interface Found {
  readonly backend: Promise<RunningBackend>;
  readonly handoff: boolean | null;
}

/** Finds the backend that a Hello means, and brings the connection there by the best way that both sides can go. */
export class Reception {
  readonly #options: ReceptionOptions;

  constructor(options: ReceptionOptions) {
    this.#options = options;
  }

  /** Resolves with the route when the visitor is on its way. Throws RefusedError: then nothing was written yet. */
  async receive(visitor: Visitor, hello: Hello): Promise<"handoff" | "redirect" | "proxy"> {
    const { handoffs, metrics, pressure, handoffByDefault } = this.#options;
    if (hello.protocol !== PROTOCOL) throw refusal("version-unsupported", "this broker speaks another protocol", { protocol: PROTOCOL, wanted: hello.protocol });
    const found = this.#find(hello);
    const backend = await found.backend;
    let reason = handoffs.decide(backend, hello, { isAllowed: found.handoff ?? handoffByDefault, isPressureHigh: pressure.isHigh });
    if (reason === "none") reason = await handoffs.offer(backend, visitor, hello);
    if (reason !== "none") return await this.#fallBack(visitor, hello, backend, reason);
    visitor.release();
    metrics.recordConnection("handoff", "none");
    return "handoff";
  }

  #find(hello: Hello): Found {
    const { pool, plans } = this.#options;
    const { service, version, build } = hello;
    const leased = this.#options.lease()?.find(service);
    if (leased !== undefined) {
      const { key } = leased.plan;
      if (key.version !== version || (build !== undefined && key.build !== build)) {
        throw refusal("version-unsupported", "another version of this service is running", { ...key });
      }
      return { backend: leased.backend, handoff: null };
    }
    const known = build === undefined ? undefined : pool.find({ service, version, build });
    if (known !== undefined) return { backend: Promise.resolve(known), handoff: plans.handoffPolicy(service) };
    let planned: PlannedStart;
    try {
      planned = plans.find(hello);
    } catch (error) {
      const byHand = error instanceof RefusedError && error.code === "service-unknown" ? pool.findVersion(service, version) : undefined;
      if (byHand === undefined) throw error;
      return { backend: Promise.resolve(byHand), handoff: null };
    }
    if (build !== undefined && build !== planned.start.key.build) {
      throw refusal("version-unsupported", "this build is neither running nor what the definition names", { ...planned.start.key, wanted: build });
    }
    return { backend: pool.ensure(planned.start), handoff: planned.handoff };
  }

  async #fallBack(visitor: Visitor, hello: Hello, backend: RunningBackend, reason: ConnectionReason): Promise<"redirect" | "proxy"> {
    const { metrics } = this.#options;
    if (hello.accepts.includes("redirect")) {
      visitor.redirect({ ...backend.key, endpoint: backend.endpoint, reason });
      metrics.count("redirects");
      metrics.recordConnection("redirect", reason);
      return "redirect";
    }
    // A backend that did not answer may have the connection: what it writes and what we write must not mix.
    const isOurs = reason !== "backend-ack-timeout";
    if (!isOurs || !hello.accepts.includes("proxy") || !(await this.#proxy(visitor.keep(), visitor.rest, hello, backend))) {
      throw refusal("internal", "no route that the client accepts works", { reason }, NO_ROUTE_RETRY_MS);
    }
    metrics.recordConnection("proxy", reason);
    return "proxy";
  }

  /** Who cannot reach the backend's endpoint often cannot because it has just ended: then the connection goes to the next one. */
  async #proxy(client: Socket, rest: Uint8Array, hello: Hello, first: RunningBackend): Promise<boolean> {
    let backend = first;
    for (let tries = 0; tries < PROXY_TRIES_MAX; tries++) {
      if (await proxy(client, backend.endpoint, hello, rest)) return true;
      if (!(await endsWithin(backend, BACKEND_END_MS_MAX))) return false;
      backend = await this.#find(hello).backend;
    }
    return false;
  }
}
