import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Agent, request } from "undici";
import type { Dispatcher } from "undici";
import { openPeers } from "../mod.ts";
import { VirtualClock } from "../virtual-clock.ts";
import { CountedClock } from "./counted-clock.ts";
import { serveHttp } from "./servers.ts";
import { builtInAgent } from "./ways.ts";

/**
 * Aborts calls at random moments: before they are sent, while they wait for headers, within the body, while they back off, while they
 * are held. A program of its own, as the test runner follows each promise, and that takes longer than all the rest.
 *
 *     node abort-storm.ts in-process|fetch|interceptor ABORTS
 *
 * Writes what is left of it as JSON.
 */

/** What is left after a storm. */
export interface Remains {
  readonly aborted: number;
  readonly inFlight: number;
  readonly probes: number;
  /** Timers of ours, and those of the process. */
  readonly timers: number;
  readonly timeouts: number;
  /** On the signal that outlives all calls. */
  readonly listeners: number;
  readonly sockets: number;
  /** How much the heap grew while the second half was aborted. */
  readonly grownBytes: number;
}

const AT_ONCE = 64;
const PEERS = 16;
const draw = dice(11);

/** Calls that share a signal which is aborted in the end. */
const CROWD = 200;

/** Draws as the seed says. */
function dice(seed: number): (below: number) => number {
  const generator = new VirtualClock({ seed });
  return (below) => Math.floor(generator.random() * below);
}

/** Lets `turns` rounds of the loop pass; 0 = none. */
async function turnsOf(turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
}

/** What AbortSignals mean to a fetch: a rejection with the reason, before or within the body, and no listener left. */
function inProcessFetch(): typeof fetch {
  const settle = (signal: AbortSignal | null | undefined, turns: number): Promise<void> => new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(signal.reason as Error);
    const onAbort = (): void => reject(signal?.reason as Error);
    signal?.addEventListener("abort", onAbort, { once: true });
    void turnsOf(turns).then(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
  });
  return (async (_input: string, init: RequestInit) => {
    const fate = draw(100);
    await settle(init.signal, draw(3));
    if (fate < 5) throw new TypeError("fetch failed", { cause: Object.assign(new Error("reset"), { code: "ECONNRESET" }) });
    if (fate < 10) return new Response(null, { status: 503 });
    if (fate < 60) return new Response(null, { status: 200 });
    const body = new ReadableStream({
      async pull(controller) {
        await settle(init.signal, draw(3));
        controller.enqueue(new Uint8Array(10));
        if (draw(2) === 0) controller.close();
      },
    }, { highWaterMark: 0 });
    return new Response(body);
  }) as unknown as typeof fetch;
}

type Send = (peer: number, signal: AbortSignal) => Promise<unknown>;

/**
 * Makes calls until so many were aborted, each with one of three signals: its own, which is aborted after a few rounds of the loop;
 * one of a crowd; one that outlives all and is never aborted.
 */
async function abortMany(send: Send, aborts: number): Promise<void> {
  const reason = new Error("mine");
  let crowd = new AbortController();
  let calls = 0;
  let left = aborts;
  const worker = async (): Promise<void> => {
    while (left > 0) {
      const own = new AbortController();
      const which = draw(16);
      const { signal } = which === 0 ? { signal: shared } : which < 4 ? crowd : own;
      const moment = draw(5);
      if (moment === 0) own.abort(reason);
      const outcome = send(draw(PEERS), signal).then(() => undefined, (error: unknown) => error);
      await turnsOf(moment);
      own.abort(reason);
      if (++calls % CROWD === 0) {
        crowd.abort(reason);
        assert.equal(getEventListeners(crowd.signal, "abort").length, 0, "no listener is left on a signal that was aborted");
        crowd = new AbortController();
      }
      if ((await outcome) === reason) left--;
      assert.equal(getEventListeners(own.signal, "abort").length, 0, "nor on a call's own");
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  crowd.abort(reason);
}

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

function heapBytes(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

const [kind, aborts] = process.argv.slice(2) as ["in-process" | "fetch" | "interceptor", string];
const clock = new CountedClock();
const peers = openPeers({ clock, cooldownBaseMs: 1, cooldownMaxMs: 5, adviceTotalMaxMs: 10, failureThreshold: 3 });
const { signal: shared } = new AbortController();
const ends: (() => Promise<void>)[] = [];
const { send, sockets } = await makeSender(kind);
await abortMany(send, Number(aborts) / 2);
const before = heapBytes();
await abortMany(send, Number(aborts) / 2);
const grownBytes = heapBytes() - before;
// undici itself lets go of a signal some turns after the body ended.
await turnsOf(100);
const left = peers.keys().map((key) => peers.explain(key));
const remains: Remains = {
  aborted: Number(aborts), grownBytes, timers: clock.timers, sockets: sockets.size,
  inFlight: left.reduce((sum, { inFlight }) => sum + inFlight, 0), probes: left.reduce((sum, { probes }) => sum + probes, 0),
  timeouts: process.getActiveResourcesInfo().filter((resource) => resource === "Timeout").length,
  listeners: getEventListeners(shared, "abort").length,
};
process.stdout.write(JSON.stringify(remains));
for (const end of ends) await end();

async function makeSender(what: typeof kind): Promise<{ send: Send; sockets: ReadonlySet<unknown> }> {
  const terms = { backoffBaseMs: 2, backoffMaxMs: 20, whenHeld: "wait", attemptMs: 100 } as const;
  if (what === "in-process") {
    const fetch = peers.fetch({ ...terms, fetch: inProcessFetch() });
    return { sockets: new Set(), send: async (peer, signal) => (await fetch(`http://peer-${peer}.example/a`, { signal })).text() };
  }
  const { origin, sockets } = await serveHttp({ after: (end) => void ends.push(end) }, (message, response) => {
    message.on("error", () => {}).resume();
    const fate = draw(10);
    if (fate === 0) return void message.socket.destroy();
    if (fate === 1) return void response.writeHead(503).end();
    if (fate < 6) return void response.end("a small answer");
    if (fate === 6) return; // never
    response.write("begin");
    setImmediate(() => response.end("the end"));
  });
  const agent = what === "fetch" ? builtInAgent({ connections: AT_ONCE }) : new Agent({ connections: AT_ONCE });
  ends.unshift(() => agent.destroy());
  if (what === "fetch") {
    const fetch = peers.fetch(terms);
    return { sockets, send: async (_peer, signal) => (await fetch(`${origin}/a`, { signal, dispatcher: agent } as unknown as RequestInit)).text() };
  }
  const dispatcher = agent.compose(peers.undici({ attemptMs: 100 })) as Dispatcher;
  return { sockets, send: async (_peer, signal) => (await request(`${origin}/b`, { signal, dispatcher })).body.text() };
}
