import { type Driver, type Effect, type EngineEvent, NS_PER_MS, RuntimeError } from "@holdfast/core";
import type { Clock } from "./clock.ts";
import type { Store } from "./stores/store.ts";

/** Turns run back to back at most this long before sockets get their share. */
const BURST_MS = 20;
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

/** What the loop drives. */
export interface LoopPorts {
  readonly driver: Driver;
  readonly clock: Clock;
  /** Null: nothing is durable, effects leave at once. */
  readonly store: Store | null;
  perform(effect: Effect): void;
  /** The store could not commit: nothing may leave any more. */
  fail(error: Error): void;
}

/**
 * The glue between a driver and Node.js: takes events, runs turns, commits, performs what is released, and sleeps until
 * the engine wants to be polled.
 */
export class NodeLoop {
  readonly #ports: LoopPorts;
  #pumping = false;
  #scheduled = false;
  #stopped = false;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Infinity;
  /** The last commit that is durable. */
  #durable: number;
  #idleWaiters: { readonly position: number; readonly resolve: () => void; readonly reject: (error: Error) => void }[] = [];

  constructor(ports: LoopPorts) {
    this.#ports = ports;
    this.#durable = ports.driver.position;
  }

  /** Takes an event; the turn for it runs soon, together with what else comes in this tick. */
  handle(event: EngineEvent): void {
    this.take(event);
    this.#schedule();
  }

  /** Takes an event without asking for a turn: `pump` follows. */
  take(event: EngineEvent): void {
    if (this.#stopped) return;
    while (this.#ports.driver.handle(event) === "full") this.#turn();
  }

  /** Runs turns until there is nothing more to do now. */
  pump(): void {
    if (this.#pumping || this.#stopped) return;
    this.#pumping = true;
    try {
      const until = performance.now() + BURST_MS;
      let more: boolean;
      do {
        more = this.#turn();
      } while (more && performance.now() < until);
      if (more) setImmediate(() => this.pump());
    } finally {
      this.#pumping = false;
    }
    this.#armTimer();
  }

  /** Resolves when everything that the state shows now is durable and released; what comes later need not be. */
  idle(): Promise<void> {
    const { driver, store } = this.#ports;
    // What is not in a record yet will be in the next.
    const position = store === null ? this.#durable : driver.position + (driver.engine.hasChanges ? 1 : 0);
    if (position <= this.#durable) return Promise.resolve();
    if (this.#stopped) return Promise.reject(notRunning());
    return new Promise((resolve, reject) => this.#idleWaiters.push({ position, resolve, reject }));
  }

  /** Nothing happens after this, and what was not durable by now is not confirmed. */
  stop(error: Error = notRunning()): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    for (const { reject } of this.#idleWaiters.splice(0)) reject(error);
  }

  #schedule(): void {
    if (this.#scheduled || this.#pumping) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.pump();
    });
  }

  #turn(): boolean {
    const { driver, clock } = this.#ports;
    driver.poll(clock.now(), clock.wallMs());
    this.#commit();
    this.#release();
    return driver.engine.hasWork;
  }

  #commit(): void {
    const { driver, store } = this.#ports;
    if (store === null) return;
    const commit = driver.pollCommit();
    if (commit === undefined) return;
    store.commit(commit).then(
      () => {
        if (this.#stopped) return;
        driver.handleCommitted(commit.position);
        this.#durable = commit.position;
        // The next commit goes out before anything else: turns gathered behind this one.
        this.#commit();
        this.#release();
        if (driver.engine.hasWork) this.pump();
        else this.#armTimer();
      },
      (error: Error) => this.#ports.fail(error),
    );
  }

  #release(): void {
    const { driver } = this.#ports;
    for (let effect = driver.pollEffect(); effect !== undefined; effect = driver.pollEffect()) {
      if (this.#stopped) return;
      this.#ports.perform(effect);
    }
    // Waiters come in ascending order of position.
    while (this.#idleWaiters[0] !== undefined && this.#idleWaiters[0].position <= this.#durable) this.#idleWaiters.shift()?.resolve();
  }

  /** An armed timer that is early is left alone: it fires, finds nothing due, and arms the next. */
  #armTimer(): void {
    const wake = this.#ports.driver.nextTimeout();
    if (wake === undefined || wake.at === "never" || this.#stopped) return;
    if (wake.at >= this.#timerAt && this.#timer !== undefined) return;
    clearTimeout(this.#timer);
    this.#timerAt = wake.at;
    const delayMs = Math.max(0, (wake.at - this.#ports.clock.now()) / NS_PER_MS);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#timerAt = Infinity;
      this.pump();
    }, Math.min(Math.ceil(delayMs), TIMEOUT_MS_MAX));
  }
}

function notRunning(): RuntimeError {
  return new RuntimeError("NOT_RUNNING");
}
