/**
 * One guard of one peer, by each library: what stands between a caller and the work. Where settings have no defaults they are what
 * the library's own documentation shows first, as `SETTINGS` says. No guard makes a second attempt here: what that does is
 * the caller's in the rows that use these, and the same for all.
 */
import { openPeers } from "@holdfast/fetch";
import type { Peers, RunOptions } from "@holdfast/fetch";
import { loadCockatiel, loadEffect, loadOpossum, loadPTimeout, openEffectBreaker } from "./competitors.ts";

/** Rejects if the work does, or the peer is not to be asked, or does not answer in time. */
export type Guard = (work: (signal: AbortSignal | undefined) => Promise<number>) => Promise<number>;
/** Makes guards, one for each peer. */
export type Guards = (peer: string) => Guard;

export const OURS = "peers.run";
export const NONE = "no guard";

/** In ms where it says nothing else. */
export const SETTINGS = {
  [NONE]: "the bare call",
  [OURS]: "defaults: down after 5 failures in a row, left alone for 100 ms, then twice as long each time; learned deadline",
  "cockatiel, consecutive": "its README: ConsecutiveBreaker(5), halfOpenAfter 10 000; timeout 2000, aggressive",
  "cockatiel, sampling": "its README: SamplingBreaker threshold 0.2, duration 30 000; halfOpenAfter 10 000; timeout 2000, aggressive",
  "opossum": "its README: timeout 3000, errorThresholdPercentage 50, resetTimeout 30 000",
  "Effect": "its module documentation: consecutive(5), openDuration 30 s; it names no timeout: 2 s, as cockatiel",
  "p-timeout": "no breaker; its README times out after 50, which is no request to a server: 2000, as cockatiel",
} as const;

export type GuardName = keyof typeof SETTINGS;

const OPENERS: Readonly<Record<GuardName, () => Promise<Guards>>> = {
  [NONE]: async () => () => (work) => work(undefined),
  [OURS]: async () => oursWith({ site: "GET /" }),
  "cockatiel, consecutive": () => cockatiel("consecutive"),
  "cockatiel, sampling": () => cockatiel("sampling"),
  "opossum": async () => {
    const Opossum = await loadOpossum();
    return () => {
      const settings = { timeout: 3000, errorThresholdPercentage: 50, resetTimeout: 30_000 };
      const breaker = new Opossum((work: () => Promise<number>) => work(), settings);
      return (work) => breaker.fire(work) as Promise<number>;
    };
  },
  "Effect": async () => {
    const { Effect } = await loadEffect();
    const breaker = await openEffectBreaker("30 seconds");
    return (peer) => (work) => Effect.runPromise(breaker.execute(Effect.timeout(Effect.tryPromise(work), "2 seconds"), { key: peer }));
  },
  "p-timeout": async () => {
    const pTimeout = await loadPTimeout();
    return () => (work) => pTimeout(work(undefined), { milliseconds: 2000 });
  },
};

export function openGuards(name: GuardName): Promise<Guards> {
  return OPENERS[name]();
}

function oursWith(options: RunOptions<number>): Guards {
  const peers: Peers = openPeers();
  return (peer) => (work) => peers.run(peer, work, options);
}

async function cockatiel(kind: "consecutive" | "sampling"): Promise<Guards> {
  const { circuitBreaker, ConsecutiveBreaker, handleAll, SamplingBreaker, timeout, TimeoutStrategy, wrap } = await loadCockatiel();
  return () => {
    const breaker = kind === "consecutive" ? new ConsecutiveBreaker(5) : new SamplingBreaker({ threshold: 0.2, duration: 30_000 });
    const policy = wrap(circuitBreaker(handleAll, { halfOpenAfter: 10_000, breaker }), timeout(2000, TimeoutStrategy.Aggressive));
    return (work) => policy.execute(({ signal }) => work(signal));
  };
}
