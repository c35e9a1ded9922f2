/**
 * In a process of its own: requests at random instants to five backends, by turns. One that fails or is refused goes to the next backend,
 * and once more to the one after that: the same loop, whatever stands between it and the network.
 */
import { openPeers } from "@holdfast/fetch";
import { dice } from "../harness.ts";
import { loadGot, loadKy, loadUndici } from "./competitors.ts";
import type { UndiciAgent } from "./competitors.ts";
import { openGuards, SETTINGS } from "./guards.ts";
import type { GuardName } from "./guards.ts";
import { openLoop, randomArrivals } from "./open-loop.ts";
import type { Begin, Taken } from "./open-loop.ts";
import { hear, say } from "./parent.ts";

/** Clients that bring their own transport, as they come. */
export const OWN_TRANSPORT = {
  "peers.fetch": "attempts: 1; else defaults",
  "undici retry interceptor": "defaults: 5 more attempts at the same backend, from 500 ms on doubling, no jitter",
  "got": "defaults: 2 more attempts, from 1 s on doubling; no timeout",
  "ky": "defaults: 2 more attempts, from 300 ms on doubling; timeout 10 s",
} as const;

export const CLIENT_SETTINGS = { ...SETTINGS, ...OWN_TRANSPORT } as const;
export type BackendClientName = keyof typeof CLIENT_SETTINGS;

export interface BackendParameters {
  readonly name: BackendClientName;
  readonly origins: readonly string[];
  /** This client's own at every backend: they count by it. */
  readonly path: string;
  readonly perSecond: number;
  readonly seed: number;
  readonly forMs: number;
  /** Which of the backends is in trouble, and when it is back, in ms from the beginning. */
  readonly troubled: number;
  readonly backAtMs: number;
}

export interface BackendResult {
  readonly taken: readonly Taken[];
  /** From when the backend was back until it answered; undefined: it was not asked. */
  readonly usedAgainMs?: number | undefined;
}

const TURNS = 3;
/** What is not answered by then is not answered. */
const GRACE_MS = 8000;
const WARM_UP_PATH = "/warm-up";
const WARM_UP_REQUESTS = 500;
const WARM_UP_CALLERS = 4;

/** Rejects unless the answer is a good one. */
type Send = (path: string) => Promise<unknown>;

export async function run({ name, origins, path, perSecond, seed, forMs, troubled, backAtMs }: BackendParameters): Promise<void> {
  const sends = await openSends(name, origins);
  await warmUp(sends);
  const taken: Taken[] = [];
  let usedAgainMs: number | undefined;
  say({});
  const { startsAtMs } = await hear<Begin>();
  const beganAt = performance.now() + startsAtMs - Date.now();
  const nowMs = (): number => performance.now() - beganAt;
  const ask = async (first: number): Promise<boolean> => {
    for (let turn = 0; turn < TURNS; turn++) {
      const backend = (first + turn) % sends.length;
      try {
        await (sends[backend] as Send)(path);
        if (backend === troubled && nowMs() > backAtMs) usedAgainMs ??= nowMs() - backAtMs;
        return true;
      } catch {
        // The next one.
      }
    }
    return false;
  };
  const arrivals = randomArrivals(perSecond, forMs, dice(seed));
  const answered = new Set<number>();
  await openLoop(arrivals, startsAtMs, {
    send(index, plannedMs) {
      void ask(index).then((ok) => {
        answered.add(index);
        taken.push({ plannedMs, tookMs: nowMs() - plannedMs, ok });
      });
    },
  });
  const endsAt = performance.now() + GRACE_MS;
  while (taken.length < arrivals.length && performance.now() < endsAt) await new Promise((done) => setTimeout(done, 20));
  const unanswered = arrivals.flatMap((plannedMs, index) => (answered.has(index) ? [] : [{ plannedMs, tookMs: nowMs() - plannedMs, ok: false }]));
  say({ taken: [...taken, ...unanswered], usedAgainMs } satisfies BackendResult);
}

/** The first requests of a process take many times what they take later. */
async function warmUp(sends: readonly Send[]): Promise<void> {
  let left = WARM_UP_REQUESTS;
  const caller = async (): Promise<void> => {
    while (left-- > 0) await sends[left % sends.length]?.(WARM_UP_PATH);
  };
  await Promise.all(Array.from({ length: WARM_UP_CALLERS }, caller));
}

async function openSends(name: BackendClientName, origins: readonly string[]): Promise<Send[]> {
  switch (name) {
    case "peers.fetch": {
      const fetch = openPeers().fetch({ attempts: 1 });
      return origins.map((origin) => async (path) => {
        const response = await fetch(origin + path);
        await response.text();
        if (!response.ok) throw new Error(`status ${response.status}`);
      });
    }
    case "undici retry interceptor": {
      const { Agent, interceptors } = await loadUndici();
      const dispatcher = new Agent().compose(interceptors.retry());
      return origins.map((origin) => (path) => requestOnce(origin + path, dispatcher, undefined));
    }
    case "got": {
      const got = await loadGot();
      return origins.map((origin) => (path) => got(origin + path));
    }
    case "ky": {
      const ky = await loadKy();
      return origins.map((origin) => async (path) => (await ky(origin + path)).text());
    }
    default: return guardedSends(name, origins);
  }
}

async function guardedSends(name: GuardName, origins: readonly string[]): Promise<Send[]> {
  const { Agent } = await loadUndici();
  const dispatcher = new Agent();
  const guards = await openGuards(name);
  return origins.map((origin) => {
    const guard = guards(origin);
    return (path) => guard((signal) => requestOnce(origin + path, dispatcher, signal));
  });
}

async function requestOnce(url: string, dispatcher: UndiciAgent, signal: AbortSignal | undefined): Promise<number> {
  const { request } = await loadUndici();
  const { statusCode, body } = await request(url, { dispatcher, signal });
  await body.dump();
  if (statusCode >= 500) throw new Error(`status ${statusCode}`);
  return statusCode;
}
