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
  /** Requests that were refused, or not answered in time: a machine that stands still for long makes some. */
  readonly failed: number;
}

const CALLERS = 64;

export async function run({ name, url, warmUpMs, measuredMs }: LoopParameters): Promise<void> {
  const send = await CLIENTS[name](url);
  const warmUp = await loop(send, warmUpMs);
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  const { tookMs, failed } = await loop(send, measuredMs);
  const elapsedMs = performance.now() - startedAt;
  const { user, system } = process.cpuUsage(cpu);
  say({
    perSecond: (tookMs.length / elapsedMs) * 1000, cpuUs: (user + system) / tookMs.length, p50Ms: percentile(tookMs, 0.5), p99Ms: percentile(tookMs, 0.99),
    failed: failed + warmUp.failed,
  } satisfies LoopResult);
  process.exit();
}

async function loop(send: () => Promise<unknown>, forMs: number): Promise<{ readonly tookMs: number[]; readonly failed: number }> {
  const tookMs: number[] = [];
  let failed = 0;
  const endsAt = performance.now() + forMs;
  const caller = async (): Promise<void> => {
    for (let sentAt = performance.now(); sentAt < endsAt;) {
      try {
        await send();
        tookMs.push(performance.now() - sentAt);
      } catch {
        failed++;
        // One that is refused at once would else ask again before any other is heard.
        await new Promise((done) => setImmediate(done));
      }
      sentAt = performance.now();
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
  return { tookMs, failed };
}
