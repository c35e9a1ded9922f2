/**
 * What one call costs through each library, where nothing goes wrong, and where the circuit is open. The work itself is
 * an async function that returns at once. Retries are set up everywhere a library has them, and never come to be.
 */
import { openPeers } from "@holdfast/fetch";
import { loadCockatiel, loadEffect, loadOpossum, loadPRetry, loadPTimeout, openEffectBreaker } from "./competitors.ts";
import type { CockatielPolicy, Described } from "./competitors.ts";

export type Call = () => Promise<unknown>;

const PEER = "https://api.example.com";
/** Longer than any measurement. */
const LONG_MS = 600_000;
const LONG = "10 minutes";
const FAILURES = 5;
const FAILURE = new Error("the work failed");

export const bareCall = async (): Promise<number> => 42;
export const bareRefusal = async (): Promise<number> => {
  throw FAILURE;
};
const work = bareCall;

/** Called with work that succeeds. */
export const SUCCESSES = {
  "peers.run, no deadline": async () => {
    const peers = openPeers();
    const options = { deadline: "none" } as const;
    return () => peers.run(PEER, work, options);
  },
  "peers.run, learned deadline": async () => {
    const peers = openPeers();
    return () => peers.run(PEER, work);
  },
  "cockatiel retry + breaker": async () => {
    const { wrap, ...cockatiel } = await loadCockatiel();
    const policy = wrap(retryOf(cockatiel), breakerOf(cockatiel));
    return () => policy.execute(work);
  },
  "cockatiel retry + breaker + timeout": async () => {
    const { wrap, ...cockatiel } = await loadCockatiel();
    const policy = wrap(retryOf(cockatiel), breakerOf(cockatiel), cockatiel.timeout(2000, cockatiel.TimeoutStrategy.Aggressive));
    return () => policy.execute(work);
  },
  "opossum, no timeout": async () => {
    const breaker = new (await loadOpossum())(work, { timeout: false });
    return () => breaker.fire();
  },
  "opossum, defaults": async () => {
    const breaker = new (await loadOpossum())(work, {});
    return () => breaker.fire();
  },
  "p-retry": async () => {
    const pRetry = await loadPRetry();
    return () => pRetry(work);
  },
  "p-timeout": async () => {
    const pTimeout = await loadPTimeout();
    return () => pTimeout(work(), { milliseconds: 2000 });
  },
  "p-retry + p-timeout": async () => {
    const [pRetry, pTimeout] = await Promise.all([loadPRetry(), loadPTimeout()]);
    return () => pRetry(() => pTimeout(work(), { milliseconds: 2000 }));
  },
  "Effect retry + timeout": async () => {
    const { Effect } = await loadEffect();
    const described = await describedWork(work);
    return () => Effect.runPromise(described);
  },
  "Effect retry + timeout + breaker": async () => {
    const { Effect } = await loadEffect();
    const breaker = await openEffectBreaker(LONG);
    const described = breaker.execute(await describedWork(work), { key: PEER });
    return () => Effect.runPromise(described);
  },
} as const satisfies Record<string, () => Promise<Call>>;

/** Called when enough calls have failed; each call from there on is to be refused. */
export const REFUSALS = {
  "peers.run": async () => {
    const peers = openPeers({ cooldownBaseMs: LONG_MS, cooldownMaxMs: LONG_MS });
    await exhaust(() => peers.run(PEER, bareRefusal));
    return () => peers.run(PEER, work);
  },
  "cockatiel breaker": async () => {
    const breaker = breakerOf(await loadCockatiel(), LONG_MS);
    await exhaust(() => breaker.execute(bareRefusal));
    return () => breaker.execute(work);
  },
  "opossum": async () => {
    const breaker = new (await loadOpossum())((isWell: boolean) => (isWell ? work() : bareRefusal()), { resetTimeout: LONG_MS });
    await exhaust(() => breaker.fire(false));
    return () => breaker.fire(true);
  },
  "Effect breaker": async () => {
    const { Effect } = await loadEffect();
    const breaker = await openEffectBreaker(LONG);
    await exhaust(() => Effect.runPromise(breaker.execute(Effect.tryPromise(bareRefusal), { key: PEER })));
    const described = breaker.execute(Effect.tryPromise(work), { key: PEER });
    return () => Effect.runPromise(described);
  },
} as const satisfies Record<string, () => Promise<Call>>;

async function exhaust(call: Call): Promise<void> {
  for (let failure = 0; failure < FAILURES; failure++) await call().catch(() => {});
}

/** Described once, which is to its advantage: a call with arguments is described anew each time. */
async function describedWork(described: Call): Promise<Described> {
  const { Effect, Schedule } = await loadEffect();
  return Effect.retry(Effect.timeout(Effect.tryPromise(described), "2 seconds"), { times: 3, schedule: Schedule.exponential("100 millis") });
}

type CockatielParts = Pick<Awaited<ReturnType<typeof loadCockatiel>>, "handleAll" | "retry" | "circuitBreaker" | "ConsecutiveBreaker" | "ExponentialBackoff">;

const retryOf = ({ retry, handleAll, ExponentialBackoff }: CockatielParts): CockatielPolicy => retry(handleAll, { maxAttempts: 3, backoff: new ExponentialBackoff() });

function breakerOf({ circuitBreaker, handleAll, ConsecutiveBreaker }: CockatielParts, halfOpenAfter = 10_000): CockatielPolicy {
  return circuitBreaker(handleAll, { halfOpenAfter, breaker: new ConsecutiveBreaker(FAILURES) });
}
