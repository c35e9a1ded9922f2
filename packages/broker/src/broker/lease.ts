import { keyText } from "../runtime/domain-directory.ts";
import { SupervisedService } from "./supervised-service.ts";
import { RETIRE_MS } from "./backend-pool.ts";
import type { BackendPool } from "./backend-pool.ts";
import type { LeasedService, LeaseEvent } from "./lease-messages.ts";

/**
 * Services that run as long as somebody wants them to, and says so by keeping a connection. A backend of the same key that an
 * earlier broker left is taken over as it is; whatever else of this domain still runs is drained before anything is started.
 */
export class Lease {
  /** The holder's process. */
  readonly pid: number;
  readonly #pool: BackendPool;
  readonly #services: ReadonlyMap<string, SupervisedService>;

  constructor(pid: number, services: readonly LeasedService[], pool: BackendPool, onEvent: (event: LeaseEvent) => void) {
    this.pid = pid;
    this.#pool = pool;
    this.#services = new Map(services.map(({ service, version, build, argv, cwd, environment }) => {
      const plan = { key: { service, version, build }, argv, cwd, environment };
      return [service, new SupervisedService({ plan, pool, onEvent })];
    }));
  }

  get services(): readonly SupervisedService[] {
    return [...this.#services.values()];
  }

  find(service: string): SupervisedService | undefined {
    return this.#services.get(service);
  }

  async start(): Promise<void> {
    const wanted = new Set(this.services.map(({ plan }) => keyText(plan.key)));
    await this.#pool.wakeSilent((key) => !wanted.has(keyText(key)));
    const strangers = this.#pool.list().filter(({ key, draining }) => draining || !wanted.has(keyText(key)));
    await Promise.all(strangers.map((backend) => this.#pool.retire(backend, RETIRE_MS)));
    for (const service of this.#services.values()) service.start();
  }

  /** Drains all. */
  async end(): Promise<void> {
    this.#pool.killStarting();
    await Promise.all(this.services.map((service) => service.end(RETIRE_MS)));
  }
}
