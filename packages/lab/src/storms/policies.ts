import type { Random } from "@holdfast/core";
import { BackoffTable, ProbeLeases, RetryBudget } from "@holdfast/core/peer";

/** One client's opinion on one server. Times in ns. */
export interface Client {
  /** When a send may go out: `now`, or later. First attempts of the published rules always may. */
  readyAt(now: number): number;
  /** A send goes out. */
  sent(now: number, request: number): void;
  /** One came back. */
  succeeded(now: number, request: number): void;
  failed(now: number, request: number): void;
  /** After `attempts` failures of a request: how long to wait for the next one, or undefined to give up. */
  retryIn(attempts: number, last: number, now: number): number | undefined;
  /** The request is over, one way or the other. */
  ended(request: number): void;
}

export interface Policy {
  readonly name: string;
  readonly settings: string;
  readonly isOurs?: boolean;
  begin(random: Random): Client;
}

const MS = 1e6;
const BASE = 100 * MS;
const CAP = 10_000 * MS;
const ATTEMPTS_MAX = 10;

/** A client that sends at once and differs only in its delays. */
class Plain implements Client {
  readonly #delay: (attempts: number, last: number) => number;
  constructor(delay: (attempts: number, last: number) => number) {
    this.#delay = delay;
  }
  readyAt(now: number): number {
    return now;
  }
  sent(_now: number, _request: number): void {}
  succeeded(_now: number, _request: number): void {}
  failed(_now: number, _request: number): void {}
  ended(_request: number): void {}
  retryIn(attempts: number, last: number, _now: number): number | undefined {
    return attempts >= ATTEMPTS_MAX ? undefined : this.#delay(attempts, last);
  }
}

const exponential = (attempts: number): number => Math.min(CAP, BASE * 2 ** (attempts - 1));
const full = (random: Random) => (attempts: number) => random.nextFraction() * exponential(attempts);

/** gRPC proposal A6, "Throttling Retry Attempts": −1 a failure, + tokenRatio a success, no retry at half of maxTokens or less. */
class Throttled extends Plain {
  #tokens = 10;
  override succeeded(): void {
    this.#tokens = Math.min(10, this.#tokens + 0.1);
  }
  override failed(): void {
    this.#tokens = Math.max(0, this.#tokens - 1);
  }
  override retryIn(attempts: number, last: number, now: number): number | undefined {
    return this.#tokens > 5 && attempts < 5 ? super.retryIn(attempts, last, now) : undefined;
  }
}

/** Finagle's RetryBudget: each request deposits 20 %, besides 10 a second; deposits live for 10 s. */
class Deposited extends Plain {
  #slices = new Map<number, number>();
  override sent(now: number, request: number): void {
    if (!this.#retrying.has(request)) this.#add(now, 0.2);
  }
  readonly #retrying = new Set<number>();
  override failed(_now: number, request: number): void {
    this.#retrying.add(request);
  }
  override ended(request: number): void {
    this.#retrying.delete(request);
  }
  override retryIn(attempts: number, last: number, now: number): number | undefined {
    const second = Math.floor(now / 1e9);
    for (const slice of this.#slices.keys()) if (slice <= second - 10) this.#slices.delete(slice);
    let balance = 100; // 10 a second for the life of a deposit
    for (const part of this.#slices.values()) balance += part;
    if (balance < 1) return undefined;
    const delay = super.retryIn(attempts, last, now);
    if (delay !== undefined) this.#add(now, -1);
    return delay;
  }
  #add(now: number, by: number): void {
    const slice = Math.floor(now / 1e9);
    this.#slices.set(slice, (this.#slices.get(slice) ?? 0) + by);
  }
}

/** Envoy's retry budget: retries under way, their back-off included, at most 20 % of the active requests, and 3. */
class Concurrent extends Plain {
  readonly #active = new Set<number>();
  #retries = new Set<number>();
  override sent(_now: number, request: number): void {
    this.#active.add(request);
  }
  override failed(_now: number, request: number): void {
    this.#current = request;
  }
  #current = 0;
  override ended(request: number): void {
    this.#active.delete(request);
    this.#retries.delete(request);
  }
  override retryIn(attempts: number, last: number, now: number): number | undefined {
    if (!this.#retries.has(this.#current) && this.#retries.size >= Math.max(3, 0.2 * this.#active.size)) return undefined;
    this.#retries.add(this.#current);
    return super.retryIn(attempts, last, now);
  }
}

/** The engine dials a peer for which work waits at least this often (`redialMaxNs`), and its Hello ends the back-off. */
const REDIAL = 5000 * MS;

/** What core ships, put together as the engine does: a gate before every send, leases, one budget. */
class Ours implements Client {
  readonly #backoff: BackoffTable<string>;
  readonly #probes = new ProbeLeases<string>();
  readonly #budget = new RetryBudget();
  constructor(random: Random) {
    this.#backoff = new BackoffTable<string>({ maxDelayNs: REDIAL, jitter: "equal", random: () => random.nextFraction() });
  }
  readyAt(now: number): number {
    const retryAt = Math.max(1, this.#backoff.retryAt("server"));
    if (retryAt > now) return retryAt;
    return this.#backoff.attempts("server") > 0 || this.#probes.isHalfOpen("server") ? this.#probes.freeAt("server", now) : now;
  }
  sent(now: number, request: number): void {
    if (!this.#probes.isHalfOpen("server")) return;
    this.#probes.take("server", String(request), now);
    this.#budget.take(now);
  }
  succeeded(now: number, request: number): void {
    this.#probes.release("server", String(request));
    this.#probes.recordSuccess("server");
    this.#backoff.recordSuccess("server", now);
    this.#budget.recordSuccess(now);
  }
  failed(now: number, _request: number): void {
    this.#probes.recordFailure("server");
    this.#backoff.recordFailure("server", now);
  }
  retryIn(attempts: number, _last: number, now: number): number | undefined {
    return attempts < ATTEMPTS_MAX && this.#budget.take(now) ? 0 : undefined; // the gate makes it wait
  }
  ended(request: number): void {
    this.#probes.release("server", String(request));
  }
}

const AWS = "Brooker, Exponential Backoff And Jitter (AWS, 2015); base 100 ms, cap 10 s, 10 attempts";

export const POLICIES: readonly Policy[] = [
  { name: "no retry", settings: "one attempt", begin: () => new Plain(() => 0) },
  { name: "exponential", settings: `min(cap, base · 2^n). ${AWS}`, begin: () => new Plain(exponential) },
  { name: "full jitter", settings: `uniform(0, min(cap, base · 2^n)). ${AWS}`, begin: (random) => new Plain(full(random)) },
  {
    name: "equal jitter", settings: `half of it, and uniform of the other half. ${AWS}`,
    begin: (random) => new Plain((attempts) => exponential(attempts) / 2 + (random.nextFraction() * exponential(attempts)) / 2),
  },
  {
    name: "decorrelated", settings: `min(cap, uniform(base, 3 · last)). ${AWS}`,
    begin: (random) => new Plain((_attempts, last) => Math.min(CAP, BASE + random.nextFraction() * (3 * Math.max(last, BASE) - BASE))),
  },
  {
    name: "gRPC throttle", settings: "gRPC proposal A6: 5 attempts, ± 20 %, maxTokens 10, tokenRatio 0.1, base 100 ms, cap 10 s",
    begin: (random) => new Throttled((attempts) => exponential(attempts) * (0.8 + 0.4 * random.nextFraction())),
  },
  { name: "Finagle budget", settings: "RetryBudget: 20 % + 10 a second for each client, 10 s to live; full jitter", begin: (random) => new Deposited(full(random)) },
  { name: "Envoy budget", settings: "retry_budget: 20 % of what is active, at least 3; full jitter", begin: (random) => new Concurrent(full(random)) },
  {
    name: "ours", settings: "core as shipped: BackoffTable 10 ms … 5 s (the engine's redialMaxNs), equal jitter; ProbeLeases 1 … 64; RetryBudget 10 % of successes, reserve 10", isOurs: true,
    begin: (random) => new Ours(random),
  },
];
