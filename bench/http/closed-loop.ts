/** In a process of its own: as many requests as 64 callers make, each sending its next when it has its answer. */
import { percentile } from "../harness.ts";
import { CLIENTS } from "./client-cases.ts";
import type { ClientName } from "./client-cases.ts";
import { say } from "./parent.ts";

export interface LoopParameters {
  readonly name: ClientName;
  readonly url: string;
  readonly warmUpMs: number;
  readonly measuredMs: number;
}

export interface LoopResult {
  readonly perSecond: number;
  /** Of this process, for one request, in µs; collecting garbage on other threads included. */
  readonly cpuUs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const CALLERS = 64;

export async function run({ name, url, warmUpMs, measuredMs }: LoopParameters): Promise<void> {
  const send = await CLIENTS[name](url);
  await loop(send, warmUpMs);
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  const tookMs = await loop(send, measuredMs);
  const elapsedMs = performance.now() - startedAt;
  const { user, system } = process.cpuUsage(cpu);
  say({
    perSecond: (tookMs.length / elapsedMs) * 1000, cpuUs: (user + system) / tookMs.length, p50Ms: percentile(tookMs, 0.5), p99Ms: percentile(tookMs, 0.99),
  } satisfies LoopResult);
  process.exit();
}

async function loop(send: () => Promise<unknown>, forMs: number): Promise<number[]> {
  const tookMs: number[] = [];
  const endsAt = performance.now() + forMs;
  const caller = async (): Promise<void> => {
    for (let sentAt = performance.now(); sentAt < endsAt;) {
      await send();
      const now = performance.now();
      tookMs.push(now - sentAt);
      sentAt = now;
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
  return tookMs;
}
