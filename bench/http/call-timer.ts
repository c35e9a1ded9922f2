/** In a process of its own: what a call costs in ns through one library, and bare, by turns. */
import { median } from "../harness.ts";
import { bareCall, bareRefusal, REFUSALS, SUCCESSES } from "./call-cases.ts";
import type { Call } from "./call-cases.ts";
import { say } from "./parent.ts";

export interface CallTiming {
  readonly ns: number;
  readonly bareNs: number;
}

export type CallParameters = Readonly<{ kind: "success"; name: keyof typeof SUCCESSES } | { kind: "refusal"; name: keyof typeof REFUSALS }> & {
  /** How long one round of either takes, in ms, and how many there are. */
  readonly roundMs: number;
  readonly rounds: number;
};

const WARM_UP_MS = 250;
const WARM_UP_CALLS = 1000;

export async function run(parameters: CallParameters): Promise<void> {
  say(await (parameters.kind === "success" ? timeSuccesses(parameters) : timeRefusals(parameters)));
}

async function timeSuccesses({ name, roundMs, rounds }: CallParameters & { kind: "success" }): Promise<CallTiming> {
  const call: Call = await SUCCESSES[name]();
  // Each has a loop of its own: a shared one would call what it cannot inline.
  const through = async (count: number): Promise<void> => {
    for (let at = 0; at < count; at++) await call();
  };
  const bare = async (count: number): Promise<void> => {
    for (let at = 0; at < count; at++) await bareCall();
  };
  return alternate(through, bare, roundMs, rounds);
}

async function timeRefusals({ name, roundMs, rounds }: CallParameters & { kind: "refusal" }): Promise<CallTiming> {
  const call: Call = await REFUSALS[name]();
  const through = async (count: number): Promise<void> => {
    let refused = 0;
    for (let at = 0; at < count; at++) {
      try {
        await call();
      } catch {
        refused++;
      }
    }
    if (refused !== count) throw new Error(`${name} let ${count - refused} of ${count} calls pass`);
  };
  const bare = async (count: number): Promise<void> => {
    let refused = 0;
    for (let at = 0; at < count; at++) {
      try {
        await bareRefusal();
      } catch {
        refused++;
      }
    }
    if (refused !== count) throw new Error("not all failed");
  };
  return alternate(through, bare, roundMs, rounds);
}

type Loop = (count: number) => Promise<void>;

async function alternate(through: Loop, bare: Loop, roundMs: number, rounds: number): Promise<CallTiming> {
  const count = await countFor(through, roundMs);
  const bareCount = await countFor(bare, roundMs);
  const [ns, bareNs]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    ns.push(await nsEach(through, count));
    bareNs.push(await nsEach(bare, bareCount));
  }
  return { ns: median(ns), bareNs: median(bareNs) };
}

/** How many take so long, once they are as fast as they become. */
async function countFor(loop: Loop, roundMs: number): Promise<number> {
  const endsAt = performance.now() + WARM_UP_MS;
  let count = WARM_UP_CALLS;
  while (performance.now() < endsAt) count = Math.max(1, Math.ceil((roundMs * 1e6) / (await nsEach(loop, count))));
  return count;
}

async function nsEach(loop: Loop, count: number): Promise<number> {
  const startedAt = performance.now();
  await loop(count);
  return ((performance.now() - startedAt) * 1e6) / count;
}
