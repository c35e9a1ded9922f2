/** Ten thousand peers, each with its own instance where a library has no keys, each having made one successful call. */
import { openPeers } from "@holdfast/fetch";
import { loadCockatiel, loadEffect, loadOpossum, openEffectBreaker } from "./competitors.ts";

export const PEERS = 10_000;

/** Makes them, calls each once, and answers what holds on to them. */
type Fill = (peers: readonly string[]) => Promise<object>;

const work = async (): Promise<number> => 42;

/** Each answers what fills it, with everything loaded. */
export const IDLE = {
  "peers.run (its site's round trip learned)": async (): Promise<Fill> => async (keys) => {
    const peers = openPeers({ peersMax: PEERS });
    for (const key of keys) await peers.run(key, work);
    return peers;
  },
  "peers.acquire (nothing learned)": async (): Promise<Fill> => async (keys) => {
    const peers = openPeers({ peersMax: PEERS });
    for (const key of keys) peers.acquire(key).success();
    return peers;
  },
  "cockatiel retry + breaker + timeout": async (): Promise<Fill> => {
    const { circuitBreaker, ConsecutiveBreaker, ExponentialBackoff, handleAll, retry, timeout, TimeoutStrategy, wrap } = await loadCockatiel();
    return (keys) => fillMap(keys, () => {
      const breaker = circuitBreaker(handleAll, { halfOpenAfter: 10_000, breaker: new ConsecutiveBreaker(5) });
      const policy = wrap(retry(handleAll, { maxAttempts: 3, backoff: new ExponentialBackoff() }), breaker, timeout(2000, TimeoutStrategy.Aggressive));
      return { policy, call: () => policy.execute(work) };
    });
  },
  "opossum, defaults": async (): Promise<Fill> => {
    const Opossum = await loadOpossum();
    return (keys) => fillMap(keys, () => {
      const breaker = new Opossum(work, {});
      return { policy: breaker, call: () => breaker.fire() };
    });
  },
  "opossum, no snapshots": async (): Promise<Fill> => {
    const Opossum = await loadOpossum();
    return (keys) => fillMap(keys, () => {
      const breaker = new Opossum(work, { enableSnapshots: false });
      return { policy: breaker, call: () => breaker.fire() };
    });
  },
  "Effect's keyed breaker": async (): Promise<Fill> => {
    const { Effect } = await loadEffect();
    const breaker = await openEffectBreaker("30 seconds");
    return async (keys) => {
      for (const key of keys) await Effect.runPromise(breaker.execute(Effect.tryPromise(work), { key }));
      return breaker;
    };
  },
  "an empty object in a map": async (): Promise<Fill> => (keys) => fillMap(keys, () => ({ policy: {}, call: work })),
} as const satisfies Record<string, () => Promise<Fill>>;

export type IdleName = keyof typeof IDLE;

async function fillMap(keys: readonly string[], open: () => { readonly policy: object; readonly call: () => Promise<unknown> }): Promise<object> {
  const held = new Map<string, object>();
  for (const key of keys) {
    const { policy, call } = open();
    held.set(key, policy);
    await call();
  }
  return held;
}
