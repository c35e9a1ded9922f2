/** In a process of its own: what ten thousand idle peers take of memory, of timers, and of the processor. */
import { createHook } from "node:async_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { IDLE, PEERS } from "./idle-cases.ts";
import type { IdleName } from "./idle-cases.ts";
import { say } from "./parent.ts";

export interface IdleMemory {
  /** On the heap and beside it, the keys not counted. */
  readonly bytesEach: number;
  /** Of one core, while nothing is asked of anybody; 1 = all of it. */
  readonly cpuShare: number;
}

export interface IdleTimers {
  readonly timersEach: number;
}

/** Counting timers takes memory, so it is counted in a process of its own. */
export interface IdleParameters {
  readonly name: IdleName;
  readonly count: "memory" | "timers";
  readonly idleMs: number;
}

export async function run({ name, count, idleMs }: IdleParameters): Promise<void> {
  const fill = await IDLE[name]();
  await fill(keysOf("warm-up", 100));
  say(await (count === "memory" ? memoryOf(fill, idleMs) : timersOf(fill)));
}

type Fill = Awaited<ReturnType<(typeof IDLE)[IdleName]>>;

async function memoryOf(fill: Fill, idleMs: number): Promise<IdleMemory> {
  const keys = keysOf("peer", PEERS);
  const before = await usedBytes();
  const held = await fill(keys);
  const after = await usedBytes();
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  await sleep(idleMs);
  const { user, system } = process.cpuUsage(cpu);
  const cpuShare = (user + system) / 1000 / (performance.now() - startedAt);
  if (typeof held !== "object" || keys.length !== PEERS) throw new Error("they are held until here");
  return { bytesEach: (after - before) / PEERS, cpuShare };
}

/** Timers that wait, whether they keep the process alive or not. */
async function timersOf(fill: Fill): Promise<IdleTimers> {
  const waiting = new Set<number>();
  const hook = createHook({
    init: (id, type) => {
      if (type === "Timeout") waiting.add(id);
    },
    destroy: (id) => waiting.delete(id),
  }).enable();
  const held = await fill(keysOf("peer", PEERS));
  await sleep(1);
  await new Promise((done) => setImmediate(done));
  hook.disable();
  if (typeof held !== "object") throw new Error("they are held until here");
  return { timersEach: waiting.size / PEERS };
}

/** Flat: a text that was never looked up is still in pieces. */
function keysOf(kind: string, count: number): string[] {
  const keys = Array.from({ length: count }, (_, at) => `https://${kind}-${at}.example.com`);
  return [...new Set(keys)];
}

async function usedBytes(): Promise<number> {
  for (let time = 0; time < 3; time++) {
    (globalThis as unknown as { gc: () => void }).gc();
    await new Promise((done) => setImmediate(done));
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
