import { ProcessLock } from "@holdfast/host/process-lock";
import { monotonicUs } from "../protocol/clock.ts";
import { asRefusal, refusal } from "../protocol/refusal.ts";
import { ServiceCatalogue } from "../services/service-catalogue.ts";
import { AdminSession } from "./admin-session.ts";
import { BackendPool, RETIRE_MS } from "./backend-pool.ts";
import { BrokerMetrics } from "./broker-metrics.ts";
import { Door } from "./door.ts";
import { Handoffs } from "./handoffs.ts";
import { Lease } from "./lease.ts";
import { Reception } from "./reception.ts";
import { StartPlans } from "./start-plans.ts";
import type { DomainDirectory } from "../runtime/domain-directory.ts";
import type { ChannelKind } from "./backend-process.ts";
import type { Arrival } from "./door.ts";
import type { LeasedService, LeaseEvent } from "./lease-messages.ts";
import type { Visitor } from "./visitor.ts";

/** A broker that never ends for want of work looks so often all the same: timers take no infinity. */
const IDLE_CHECK_MS_MAX = 60_000;
const IDLE_CHECK_MS_MIN = 20;

export interface BrokerOptions {
  readonly directory: DomainDirectory;
  /** Where services are defined. */
  readonly services: string;
  readonly channel: ChannelKind;
  /** Whether connections are handed over for services whose definition does not say. */
  readonly handoff: boolean;
  /** Of one process, and as many at once. Default 256. */
  readonly hellosPerSecond?: number;
  /** Without a client, a backend and a lease for so long the broker ends. Infinity: never. */
  readonly idleMs: number;
}

export interface Upgraded {
  readonly from: readonly string[];
  readonly to: string;
  /** Of the new backend. */
  readonly pid: number;
}

/**
 * The broker of one domain: what stands behind its door, and what operators do with it.
 *
 * Invariants:
 *   R1. One broker serves a domain: who holds the lock may replace the door's socket.
 *   R2. Every Hello is answered: by a backend, a redirect, or a typed refusal.
 */
export class Broker {
  readonly directory: DomainDirectory;
  readonly catalogue: ServiceCatalogue;
  readonly metrics: BrokerMetrics;
  readonly door: Door;
  readonly pool: BackendPool;
  readonly ended: Promise<void>;
  lease: Lease | undefined;
  readonly #options: BrokerOptions;
  readonly #lock: ProcessLock;
  readonly #plans: StartPlans;
  readonly #reception: Reception;
  readonly #ended = Promise.withResolvers<void>();
  readonly #startedAtMs = performance.now();
  #idling: NodeJS.Timeout | undefined;
  #releasing: Promise<void> = Promise.resolve();
  #upgrading: Promise<unknown> = Promise.resolve();
  #isStopping = false;
  #hellosPending = 0;
  #busyAtMs = performance.now();

  private constructor(options: BrokerOptions, lock: ProcessLock) {
    const { directory, services, channel, hellosPerSecond, handoff } = options;
    this.#options = options;
    this.#lock = lock;
    this.directory = directory;
    this.ended = this.#ended.promise;
    this.catalogue = new ServiceCatalogue(services);
    this.metrics = new BrokerMetrics(() => this.#gauges());
    this.door = new Door({
      path: directory.door, hellosPerSecond, metrics: this.metrics, onVisitor: (visitor, arrival) => void this.#receive(visitor, arrival),
    });
    const handoffs = new Handoffs(this.metrics);
    this.pool = new BackendPool({ directory, channel, metrics: this.metrics, onStarted: (backend) => handoffs.watch(backend) });
    this.#plans = new StartPlans(this.catalogue, directory.domain);
    this.#reception = new Reception({
      pool: this.pool, plans: this.#plans, handoffs, metrics: this.metrics, pressure: this.door.pressure, handoffByDefault: handoff, lease: () => this.lease,
    });
  }

  /** Undefined if another broker serves this domain. Backends that the last one left are taken over before the door opens. */
  static async open(options: BrokerOptions): Promise<Broker | undefined> {
    options.directory.create();
    const lock = ProcessLock.tryTake(options.directory.lock);
    if (lock === undefined) return undefined;
    const broker = new Broker(options, lock);
    await broker.pool.adopt();
    await broker.door.listen();
    const checkMs = Math.min(IDLE_CHECK_MS_MAX, Math.max(IDLE_CHECK_MS_MIN, options.idleMs / 4));
    broker.#idling = setInterval(() => broker.#endIfIdle(), checkMs);
    return broker;
  }

  get uptimeMs(): number {
    return Math.round(performance.now() - this.#startedAtMs);
  }

  get isStopping(): boolean {
    return this.#isStopping;
  }

  get handoffDefault(): boolean {
    return this.#options.handoff;
  }

  /** Keeps these services running until the lease is released. What else runs here is drained first. Throws RefusedError. */
  async takeLease(pid: number, services: readonly LeasedService[], onEvent: (event: LeaseEvent) => void): Promise<Lease> {
    await this.#releasing; // Of one whose holder has gone, the services may still be draining.
    if (this.#isStopping) throw refusal("shutting-down", "the broker is shutting down");
    if (this.lease !== undefined) throw refusal("peer-rejected", "another process holds the lease of this domain", { pid: this.lease.pid });
    const lease = new Lease(pid, services, this.pool, onEvent);
    this.lease = lease;
    await lease.start();
    return lease;
  }

  async releaseLease(lease: Lease): Promise<void> {
    this.#releasing = lease.end();
    await this.#releasing;
    if (this.lease === lease) this.lease = undefined;
  }

  /**
   * Starts a version, sends everybody who wants it or an older one there from now on, and drains the others. Throws RefusedError
   * and RuntimeError; then nothing has changed for clients.
   */
  async upgrade(service: string, version: string): Promise<Upgraded> {
    const upgrade = this.#upgrading.then(() => this.#upgrade(service, version));
    this.#upgrading = upgrade.catch(() => {}); // One after the other: each drains what it finds.
    return await upgrade;
  }

  async #upgrade(service: string, version: string): Promise<Upgraded> {
    if (this.lease?.find(service) !== undefined) throw refusal("peer-rejected", `${service} belongs to a lease`, { pid: this.lease.pid });
    const fresh = await this.pool.ensure(this.#plans.findUpgrade(service, version).start);
    this.catalogue.setCurrentVersion(service, version);
    this.#plans.forget();
    const old = this.pool.list().filter((backend) => backend !== fresh && !backend.draining && backend.key.service === service);
    await Promise.all(old.map((backend) => this.pool.retire(backend, RETIRE_MS)));
    return { from: old.map(({ key }) => key.version), to: version, pid: fresh.pid };
  }

  /** Drains the backends of a service, or all. The next client starts one again. */
  async quiesce(service: string | undefined): Promise<readonly string[]> {
    await this.pool.wakeSilent((key) => service === undefined || key.service === service);
    const meant = this.pool.list().filter(({ key }) => service === undefined || key.service === service);
    await Promise.all(meant.map((backend) => this.pool.retire(backend, RETIRE_MS)));
    return meant.map(({ key }) => `${key.service}@${key.version}`);
  }

  /** Refuses clients from now on, and ends when all is drained. */
  async shutdown(leaveBackends: boolean): Promise<void> {
    this.#isStopping = true;
    if (!leaveBackends) {
      await this.lease?.end();
      this.pool.killStarting();
      await this.quiesce(undefined);
    }
    this.stop();
  }

  /** At once. Backends stay: the next broker finds them. */
  stop(): void {
    this.#isStopping = true;
    clearInterval(this.#idling);
    this.door.close(); // R1
    this.#lock.release();
    this.#ended.resolve();
  }

  async #receive(visitor: Visitor, { atUs, pid }: Arrival): Promise<void> {
    const { first } = visitor;
    if (first.kind === "admin") return AdminSession.begin(this, visitor, first);
    if (first.kind === "attach") return visitor.release(); // That is for backends.
    this.#hellosPending += 1;
    try {
      if (this.#isStopping) throw refusal("shutting-down", "the broker is shutting down");
      this.door.admit(pid ?? first.pid);
      const route = await this.#reception.receive(visitor, first);
      this.metrics.recordHello(route, monotonicUs() - atUs);
    } catch (error) {
      const refused = asRefusal(error);
      this.metrics.recordHello(refused.code, monotonicUs() - atUs);
      visitor.refuse(refused); // R2
    } finally {
      this.#hellosPending -= 1;
    }
  }

  #endIfIdle(): void {
    if (this.door.open > 0 || this.lease !== undefined || !this.pool.isEmpty) this.#busyAtMs = performance.now();
    else if (performance.now() - Math.max(this.#busyAtMs, this.door.lastArrivalMs) >= this.#options.idleMs) this.stop();
  }

  #gauges() {
    const backends = { starting: this.pool.starting.length, running: 0, draining: 0, adopted: 0 };
    for (const { draining, adopted } of this.pool.list()) backends[draining ? "draining" : adopted ? "adopted" : "running"]++;
    return {
      backends, connectionsOpen: this.door.open, hellosPending: this.#hellosPending, descriptorsUsedShare: this.door.pressure.usedShare,
      uptimeSeconds: this.uptimeMs / 1000, residentMemoryBytes: process.memoryUsage.rss(),
    };
  }
}
