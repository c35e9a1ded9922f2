/** One request and its whole answer, by each HTTP client and what is around it. */
import { openPeers } from "@holdfast/fetch";
import { loadCockatiel, loadGot, loadKy, loadOpossum, loadUndici } from "./competitors.ts";
import type { CockatielPolicy, UndiciAgent } from "./competitors.ts";

export type Send = () => Promise<unknown>;

export const UNDICI = "undici.request";
export const FETCH = "global fetch";

const TIMEOUT_MS = 10_000;

export const CLIENTS = {
  [UNDICI]: async (url: string) => undiciThrough(url),
  "undici + peers.undici()": async (url: string) => undiciThrough(url, openPeers().undici()),
  "undici + retry interceptor": async (url: string) => undiciThrough(url, (await loadUndici()).interceptors.retry()),
  "undici + opossum": async (url: string) => {
    const breaker = new (await loadOpossum())(await undiciThrough(url), {});
    return () => breaker.fire();
  },
  "undici + cockatiel retry + breaker + timeout": async (url: string) => {
    const { Agent, request } = await loadUndici();
    const [dispatcher, policy] = [new Agent(), await cockatiel()];
    return () => policy.execute(async ({ signal }) => (await request(url, { dispatcher, signal })).body.text());
  },
  [FETCH]: async (url: string) => async () => (await fetch(url)).text(),
  "peers.fetch()": async (url: string) => {
    const peersFetch = openPeers().fetch();
    return async () => (await peersFetch(url)).text();
  },
  "fetch + AbortSignal.timeout": async (url: string) => async () => (await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) })).text(),
  "fetch + cockatiel retry + breaker + timeout": async (url: string) => {
    const policy = await cockatiel();
    return () => policy.execute(async ({ signal }) => (await fetch(url, { signal })).text());
  },
  "got": async (url: string) => {
    const got = await loadGot();
    return () => got(url);
  },
  "ky": async (url: string) => {
    const ky = await loadKy();
    return async () => (await ky(url)).text();
  },
} as const satisfies Record<string, (url: string) => Promise<Send>>;

export type ClientName = keyof typeof CLIENTS;

async function undiciThrough(url: string, interceptor?: unknown): Promise<Send> {
  const { Agent, request } = await loadUndici();
  const agent = new Agent();
  const dispatcher: UndiciAgent = interceptor === undefined ? agent : agent.compose(interceptor);
  return async () => (await request(url, { dispatcher })).body.text();
}

async function cockatiel(): Promise<CockatielPolicy> {
  const { circuitBreaker, ConsecutiveBreaker, ExponentialBackoff, handleAll, retry, timeout, TimeoutStrategy, wrap } = await loadCockatiel();
  const breaker = circuitBreaker(handleAll, { halfOpenAfter: 10_000, breaker: new ConsecutiveBreaker(5) });
  return wrap(retry(handleAll, { maxAttempts: 3, backoff: new ExponentialBackoff() }), breaker, timeout(TIMEOUT_MS, TimeoutStrategy.Aggressive));
}
