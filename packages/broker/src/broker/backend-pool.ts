import { setTimeout as sleep } from "node:timers/promises";
import { RuntimeError } from "@holdfast/core/peer";
import { monotonicUs } from "../protocol/clock.ts";
import { refusal } from "../protocol/refusal.ts";
import { isRunning, readIdentities, readIdentity } from "../runtime/backend-identity.ts";
import { keyText } from "../runtime/domain-directory.ts";
import { answers } from "../runtime/endpoint.ts";
import { trySignal } from "../runtime/process-facts.ts";
import { AttachedBackend } from "./attached-backend.ts";
import { BackendProcess, StartFailure } from "./backend-process.ts";
import { StartBudget } from "./start-budget.ts";
import type { BackendIdentity } from "../runtime/backend-identity.ts";
import type { DomainDirectory, ServiceKey } from "../runtime/domain-directory.ts";
import type { ChannelKind, StartPlan } from "./backend-process.ts";
import type { NotAttached } from "./attached-backend.ts";
import type { BrokerMetrics } from "./broker-metrics.ts";
import type { RunningBackend } from "./running-backend.ts";

/** After its connections a backend may take this long to end; then it is told by signals. */
const EXIT_GRACE_MS = 1_000;
/** When what the machine refused (a process, an endpoint) may be possible again. */
const MACHINE_RETRY_MS = 1_000;
/** Who listens at an endpoint may be a backend that starts, and whose broker was killed; or one that is stopped. So long it is waited for. */
const FOUND_MS_MAX = 5_000;
const FOUND_POLL_MS = 20;
/** Between two looks at a backend that did not answer when this broker began. */
const SILENT_PAUSE_MS_MIN = 100;
const SILENT_PAUSE_MS_MAX = 10_000;

export interface BackendPoolOptions {
  readonly directory: DomainDirectory;
  readonly channel: ChannelKind;
  readonly metrics: BrokerMetrics;
  readonly onStarted: (backend: RunningBackend) => void;
}

/** Who wants to know more of a start than how it ends. */
export interface StartWatcher {
  onSpawned(pid: number): void;
  onTold(message: unknown): void;
}

const IGNORED: StartWatcher = { onSpawned() {}, onTold() {} };

/**
 * Every backend of a domain, by key.
 *
 *     absent ──start──▶ starting ──ready──▶ running ──quiesce──▶ draining ──exit──▶ absent
 *     found at the broker's start, or at the endpoint ──attach──▶ running
 *
 * Invariants:
 *   P1. At most one start of a key is under way; whoever wants the backend meanwhile waits for that one.
 *   P2. What is running has proved who it is, or is our own child.
 */
export class BackendPool {
  readonly budget = new StartBudget();
  readonly #options: BackendPoolOptions;
  readonly #running = new Map<string, RunningBackend>();
  readonly #draining = new Set<RunningBackend>();
  readonly #starting = new Map<string, Promise<RunningBackend>>();
  readonly #processes = new Set<BackendProcess>();
  /** Found when this broker began, and not heard of since. */
  readonly #silent = new Map<BackendIdentity, Promise<void>>();

  constructor(options: BackendPoolOptions) {
    this.#options = options;
  }

  /** Takes over what an earlier broker left running. Who does not answer now, since he is stopped, may do so later. */
  async adopt(): Promise<void> {
    const { directory } = this.#options;
    await Promise.all(readIdentities(directory).map(async (identity) => {
      const found = await AttachedBackend.attach(directory, identity);
      if (typeof found === "object") this.#admit(found);
      else if (found === "silent") this.#silent.set(identity, this.#awaitAnswer(identity));
    }));
  }

  /** Wakes backends that have not answered since this broker began, and waits a moment for their answers. */
  async wakeSilent(isMeant: (key: ServiceKey) => boolean): Promise<void> {
    const meant = [...this.#silent].filter(([identity]) => isMeant(identity));
    for (const [identity] of meant) if (isRunning(identity)) trySignal(identity.pid, "SIGCONT");
    if (meant.length > 0) await Promise.race([sleep(FOUND_MS_MAX, undefined, { ref: false }), Promise.all(meant.map(([, answer]) => answer))]);
  }

  recordRestart(): void {
    this.#options.metrics.count("backend_restarts");
  }

  find(key: ServiceKey): RunningBackend | undefined {
    return this.#running.get(keyText(key));
  }

  /** Any build of this version: for services that no definition names. */
  findVersion(service: string, version: string): RunningBackend | undefined {
    return this.list().find(({ key, draining }) => !draining && key.service === service && key.version === version);
  }

  list(): RunningBackend[] {
    return [...this.#running.values(), ...this.#draining];
  }

  /** Keys that are being started, with the process, once there is one. */
  get starting(): readonly { readonly key: ServiceKey; readonly pid: number }[] {
    return [...this.#processes].map(({ key, pid }) => ({ key, pid }));
  }

  /** Neither running nor starting nor draining. */
  get isEmpty(): boolean {
    return this.#running.size === 0 && this.#starting.size === 0 && this.#draining.size === 0 && this.#silent.size === 0;
  }

  /**
   * The backend of this plan, started if need be and, while the budget lasts, started again if it ends before it is ready.
   * Throws RefusedError spawn-failed.
   */
  async ensure(plan: StartPlan): Promise<RunningBackend> {
    const name = keyText(plan.key);
    const refuse = (error: Error, retryAfterMs: number | null) => refuseStart(plan, error, retryAfterMs, this.#options.directory);
    for (let last: StartFailure | undefined; ; ) {
      const waitMs = this.#running.has(name) ? 0 : this.budget.retryAfterMs(name, monotonicUs());
      if (waitMs > 0) {
        this.#options.metrics.count("start_budget_spent");
        throw refuse(last ?? new Error("it ended too often before it was ready"), waitMs);
      }
      try {
        return await this.start(plan, true);
      } catch (error) {
        if (!(error instanceof StartFailure)) throw refuse(error as Error, MACHINE_RETRY_MS);
        if (error.unable !== undefined) throw refuse(error, null);
        last = error;
      }
    }
  }

  /** One start, joined if it is under way (P1). Throws StartFailure, or RuntimeError for what the machine refuses. */
  start(plan: StartPlan, isCounted: boolean, watcher: StartWatcher = IGNORED): Promise<RunningBackend> {
    const name = keyText(plan.key);
    const running = this.#running.get(name);
    if (running !== undefined) {
      running.onTold = watcher.onTold;
      return Promise.resolve(running);
    }
    let start = this.#starting.get(name);
    if (start === undefined) {
      start = this.#startOnce(plan, isCounted, watcher).finally(() => this.#starting.delete(name));
      this.#starting.set(name, start);
    }
    return start;
  }

  /** Drains a backend and waits for its end, by signals if it must be. */
  async retire(backend: RunningBackend, withinMs: number): Promise<void> {
    if (this.#draining.has(backend)) return void (await backend.exited); // Somebody does that already.
    this.#running.delete(keyText(backend.key));
    this.#draining.add(backend);
    backend.signal("SIGCONT"); // A stopped process hears nothing.
    backend.quiesce(withinMs);
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      if (await endsWithin(backend, signal === "SIGTERM" ? withinMs + EXIT_GRACE_MS : EXIT_GRACE_MS)) return;
      backend.signal(signal);
    }
    await backend.exited;
  }

  /** Nobody waits any more: of those that are not ready. */
  killStarting(): void {
    for (const process of this.#processes) process.signal("SIGKILL");
  }

  async #startOnce(plan: StartPlan, isCounted: boolean, watcher: StartWatcher): Promise<RunningBackend> {
    const { directory, channel, metrics } = this.#options;
    let process: BackendProcess;
    try {
      process = await BackendProcess.start(directory, plan, channel);
    } catch (error) {
      const attached = error instanceof RuntimeError && error.code === "ENDPOINT_BUSY" ? await this.#findServing(plan.key) : "stranger";
      if (attached === "absent") return await this.#startOnce(plan, isCounted, watcher); // It has just ended.
      if (typeof attached === "object") {
        attached.onTold = watcher.onTold;
        return this.#admit(attached);
      }
      metrics.recordSpawn("failed");
      throw error;
    }
    this.#processes.add(process);
    process.onTold = watcher.onTold;
    watcher.onSpawned(process.pid);
    try {
      await process.ready;
      metrics.recordSpawn("ready");
      this.budget.recordReady(keyText(plan.key));
      return this.#admit(process);
    } catch (error) {
      metrics.recordSpawn(error instanceof StartFailure && error.unable !== undefined ? "unable" : "failed");
      if (isCounted) this.budget.recordExit(keyText(plan.key), monotonicUs());
      throw error;
    } finally {
      this.#processes.delete(process);
    }
  }

  /** Somebody serves there: a backend that was started by hand, or one that could not answer when this broker began. */
  async #findServing(key: ServiceKey): Promise<AttachedBackend | NotAttached> {
    const { directory } = this.#options;
    for (const lateAt = performance.now() + FOUND_MS_MAX; ; ) {
      const identity = readIdentity(directory.identity(key));
      const isDraining = [...this.#draining].some(({ pid }) => pid === identity?.pid); // It is about to leave this endpoint.
      const found = identity === undefined || isDraining ? "silent" : await AttachedBackend.attach(directory, identity);
      if (found !== "silent" || performance.now() > lateAt) return found;
      if (!(await answers(directory.endpoint(key)))) return "absent";
      await sleep(FOUND_POLL_MS);
    }
  }

  async #awaitAnswer(identity: BackendIdentity): Promise<void> {
    let found: AttachedBackend | NotAttached = "silent";
    for (let pauseMs = SILENT_PAUSE_MS_MIN; found === "silent"; pauseMs = Math.min(2 * pauseMs, SILENT_PAUSE_MS_MAX)) {
      await sleep(pauseMs);
      found = await AttachedBackend.attach(this.#options.directory, identity);
    }
    this.#silent.delete(identity);
    if (typeof found === "object") this.#admit(found);
  }

  #admit(backend: RunningBackend): RunningBackend {
    const name = keyText(backend.key);
    const known = this.#running.get(name);
    if (known !== undefined && backend instanceof AttachedBackend && known.pid === backend.pid) {
      backend.release(); // Somebody else has waited for its answer, too.
      return known;
    }
    if (backend.draining) this.#draining.add(backend);
    else this.#running.set(name, backend);
    void backend.exited.then(() => {
      if (this.#running.get(name) === backend) this.#running.delete(name);
      this.#draining.delete(backend);
    });
    if (backend.draining) return backend;
    this.#options.onStarted(backend);
    // A rebuilt program takes the place of the one that still runs.
    for (const other of this.#running.values()) {
      const { service, version } = other.key;
      if (other !== backend && service === backend.key.service && version === backend.key.version) void this.retire(other, RETIRE_MS);
    }
    return backend;
  }
}

/** How long the connections of a backend that was replaced may go on. */
export const RETIRE_MS = 10_000;

/** Has this backend ended before so long? */
export async function endsWithin(backend: RunningBackend, withinMs: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const late = setTimeout(() => resolve(false), withinMs);
  void backend.exited.then(() => resolve(true));
  return await promise.finally(() => clearTimeout(late));
}

function refuseStart({ key }: StartPlan, error: Error, retryAfterMs: number | null, directory: DomainDirectory) {
  const unable = error instanceof StartFailure ? error.unable : undefined;
  const details = { ...key, reason: unable?.message ?? error.message, ...(unable && { code: unable.code }), output: directory.output(key) };
  return refusal("spawn-failed", `${keyText(key)} does not start: ${unable?.message ?? error.message}`, details, retryAfterMs);
}
