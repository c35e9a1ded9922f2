import { BackoffTable, RuntimeError } from "@holdfast/core/peer";
import { refusal } from "../protocol/refusal.ts";
import { monotonicUs } from "../protocol/clock.ts";
import { keyText } from "../runtime/domain-directory.ts";
import { StartFailure } from "./backend-process.ts";
import type { StartPlan } from "./backend-process.ts";
import type { BackendPool } from "./backend-pool.ts";
import type { LeaseEvent } from "./lease-messages.ts";
import type { RunningBackend } from "./running-backend.ts";

/** A process that has lived this long begins anew with the shortest delay when it dies. */
const SETTLED_MS = 1_000;
/** When somebody who holds the endpoint and did not answer is looked at again. */
const SILENCE_MS = 1_000;
const RESTART_BASE_NS = 50_000_000;
const RESTART_MAX_NS = 30_000_000_000;

export interface SupervisedServiceOptions {
  readonly plan: StartPlan;
  readonly pool: BackendPool;
  readonly onEvent: (event: LeaseEvent) => void;
}

/**
 * Keeps one service of a lease alive.
 *
 *     starting ──ready──▶ running ──exit──▶ waiting ──back-off over──▶ starting
 *     starting ──exit before ready──▶ waiting   (until it was ready once, within the start budget)
 *     starting ──endpoint held by a process that does not answer──▶ waiting
 *     starting ──unable──▶ ended                any ──end──▶ ended
 */
export class SupervisedService {
  readonly plan: StartPlan;
  readonly #pool: BackendPool;
  readonly #onEvent: (event: LeaseEvent) => void;
  readonly #backoff = new BackoffTable<string>({ baseNs: RESTART_BASE_NS, maxDelayNs: RESTART_MAX_NS });
  #state: "starting" | "running" | "waiting" | "ended" = "starting";
  #backend: RunningBackend | undefined;
  /** From a start to the end of what it started. */
  #life: Promise<void> = Promise.resolve();
  #restart: NodeJS.Timeout | undefined;
  #wasReady = false;
  #pid = 0;
  #next = Promise.withResolvers<RunningBackend>();

  constructor({ plan, pool, onEvent }: SupervisedServiceOptions) {
    this.plan = plan;
    this.#pool = pool;
    this.#onEvent = onEvent;
    this.#next.promise.catch(() => {});
  }

  get state(): "starting" | "running" | "waiting" | "ended" {
    return this.#state;
  }

  /** Now, or when it is running again. Rejects with RefusedError when it will not. */
  get backend(): Promise<RunningBackend> {
    return this.#backend === undefined ? this.#next.promise : Promise.resolve(this.#backend);
  }

  start(): void {
    this.#state = "starting";
    this.#life = this.#live();
  }

  /** For good. Connections may go on for so long. */
  async end(withinMs: number): Promise<void> {
    clearTimeout(this.#restart);
    this.#state = "ended";
    this.#next.reject(refusal("shutting-down", `${this.plan.key.service} is being stopped`));
    if (this.#backend !== undefined) await this.#pool.retire(this.#backend, withinMs);
    await this.#life;
  }

  async #live(): Promise<void> {
    const startedAt = performance.now();
    try {
      const backend = await this.#start();
      if (this.#isEnded()) return await this.#pool.retire(backend, 0);
      this.#handleReady(backend);
      const { how, output } = await backend.exited;
      this.#backend = undefined;
      if (!this.#isEnded()) this.#handleDeath(how, output, performance.now() - startedAt);
    } catch (error) {
      if (this.#isEnded()) return;
      if (error instanceof StartFailure && error.unable !== undefined) return this.#giveUp(error.unable);
      if (error instanceof RuntimeError && error.code === "ENDPOINT_BUSY") return this.#handleSilence();
      this.#handleDeath((error as Error).message, error instanceof StartFailure ? error.output : "", 0);
    }
  }

  #start(): Promise<RunningBackend> {
    const { service } = this.plan.key;
    return this.#pool.start(this.plan, !this.#wasReady, {
      onSpawned: (pid) => {
        this.#pid = pid;
        this.#onEvent({ kind: "starting", service, pid });
      },
      onTold: (message) => this.#onEvent({ kind: "told", service, message }),
    });
  }

  /** Asked again after every wait: somebody may have called `end` meanwhile. */
  #isEnded(): boolean {
    return this.#state === "ended";
  }

  #handleReady(backend: RunningBackend): void {
    this.#state = "running";
    this.#wasReady = true;
    this.#pid = backend.pid;
    this.#backend = backend;
    this.#next.resolve(backend);
    this.#next = Promise.withResolvers();
    this.#next.promise.catch(() => {});
    this.#onEvent({ kind: "ready", service: backend.key.service, pid: backend.pid, info: backend.info, adopted: backend.adopted });
  }

  #handleDeath(how: string, output: string, livedMs: number): void {
    const { key } = this.plan;
    const now = monotonicUs();
    if (this.#wasReady) this.#pool.recordRestart();
    if (livedMs >= SETTLED_MS) this.#backoff.recordSuccess(key.service);
    this.#backoff.recordFailure(key.service, now * 1000);
    const backoffMs = Math.ceil((this.#backoff.retryAt(key.service) - now * 1000) / 1_000_000);
    const budgetMs = this.#wasReady ? 0 : this.#pool.budget.retryAfterMs(keyText(key), now);
    const restartInMs = Math.max(0, backoffMs, budgetMs);
    this.#state = "waiting";
    this.#restart = setTimeout(() => this.start(), restartInMs);
    this.#onEvent({ kind: "died", service: key.service, pid: this.#pid, how, output, restartInMs });
  }

  #handleSilence(): void {
    this.#state = "waiting";
    this.#restart = setTimeout(() => this.start(), SILENCE_MS);
    this.#onEvent({ kind: "silent", service: this.plan.key.service });
  }

  #giveUp({ code, message }: { readonly code: string; readonly message: string }): void {
    this.#state = "ended";
    this.#next.reject(refusal("spawn-failed", message, { code, service: this.plan.key.service }));
    this.#onEvent({ kind: "unable", service: this.plan.key.service, code, message });
  }
}
