/** In a process of its own: so many calls a second through one guard, until some time after the server has begun to fail. */
import { loadUndici } from "./competitors.ts";
import { openGuards } from "./guards.ts";
import type { GuardName } from "./guards.ts";
import { CutOff, evenArrivals, openLoop } from "./open-loop.ts";
import type { Begin } from "./open-loop.ts";
import { hear, say } from "./parent.ts";

export interface OutageParameters {
  readonly name: GuardName;
  readonly url: string;
  readonly perSecond: number;
  readonly healthyMs: number;
  /** How long it is watched at most, and how long after calls are cut off. */
  readonly outageMsMax: number;
  readonly afterMs: number;
}

/** All of the outage alone. */
export interface OutageResult {
  readonly longestStallMs: number;
  /** Undefined: not within `watchedMs`. */
  readonly cutOffMs?: number | undefined;
  readonly watchedMs: number;
  /** 1 = one core. */
  readonly cpuShare: number;
}

/** A loop that stalled sends all at once what was due: they share these. */
const CONNECTIONS = 256;

export async function run({ name, url, perSecond, healthyMs, outageMsMax, afterMs }: OutageParameters): Promise<void> {
  const { Agent, request } = await loadUndici();
  const dispatcher = new Agent({ connections: CONNECTIONS });
  const guard = (await openGuards(name))(new URL(url).origin);
  const cutOff = new CutOff();
  let longestStallMs = 0;
  let watchedMs = 0;
  let cpu: NodeJS.CpuUsage | undefined;
  say({});
  const { startsAtMs } = await hear<Begin>();
  const beganAt = performance.now() + startsAtMs - Date.now();
  const outageMs = (): number => performance.now() - beganAt - healthyMs;
  const work = async (signal: AbortSignal | undefined): Promise<number> => {
    if (outageMs() >= 0) cutOff.sent(outageMs());
    const { statusCode, body } = await request(url, { dispatcher, signal });
    await body.dump();
    if (statusCode >= 500) throw new Error(`status ${statusCode}`);
    return statusCode;
  };
  await openLoop(evenArrivals(perSecond, healthyMs + outageMsMax), startsAtMs, {
    send() {
      if (outageMs() >= 0) cutOff.wanted(outageMs());
      guard(work).catch(() => {});
    },
    onTick(nowMs, lateMs) {
      if (nowMs < healthyMs) return false;
      cpu ??= process.cpuUsage();
      longestStallMs = Math.max(longestStallMs, lateMs);
      const before = Math.floor(watchedMs / afterMs);
      watchedMs = nowMs - healthyMs;
      if (Math.floor(watchedMs / afterMs) === before) return false;
      const cutOffMs = cutOff.atMs();
      return cutOffMs !== undefined && watchedMs - cutOffMs >= afterMs;
    },
  });
  const { user, system } = process.cpuUsage(cpu);
  say({ longestStallMs, cutOffMs: cutOff.atMs(), watchedMs, cpuShare: (user + system) / 1000 / watchedMs } satisfies OutageResult);
  process.exit();
}
