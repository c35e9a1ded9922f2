/**
 * The smoke test in a process: `smoke.js learn FOLDER`, with files of undici to try besides, and then, in another, `smoke.js recall FOLDER`.
 * Prints "ok".
 */
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { AdvisedToWaitError, CoolingDownError, openPeers, PeerBlockedError } from "@holdfast/fetch";
import type { UndiciInterceptor } from "@holdfast/fetch";
import { inspectState } from "@holdfast/fetch/inspect";
import { check, checkCalls, errorOf } from "./calls.ts";
import { startServer } from "./server.ts";

const [step, folder = ".", ...undicis] = process.argv.slice(2);
const states = ["peers.db", "peers.json"].map((name) => join(folder, name));
const KEYS = ["advisor", "api", "enemy"];

if (step === "learn") {
  const { server, origin } = await startServer();
  try {
    await checkCalls(origin);
    for (const file of undicis) await checkUndici((await import(pathToFileURL(file).href)) as Undici, origin);
    for (const [at, state] of states.entries()) await learn(state, `${origin}/answers/429-30/${at}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
} else {
  for (const state of states) await recall(state);
}
console.log("ok");

/** What is used of undici here. */
interface Undici {
  readonly Agent: new () => { compose(interceptor: UndiciInterceptor): Dispatcher };
  request(url: string, options: { dispatcher: Dispatcher }): Promise<{ statusCode: number; body: { text(): Promise<string> } }>;
}

interface Dispatcher {
  destroy(): Promise<void>;
}

async function checkUndici({ Agent, request }: Undici, origin: string): Promise<void> {
  await using peers = openPeers();
  const dispatcher = new Agent().compose(peers.undici());
  const { statusCode, body } = await request(`${origin}/answers/200/undici`, { dispatcher });
  check(statusCode === 200 && await body.text() === "status 200", "undici: an answer as it is");
  check(peers.explain(origin).sites[0]?.samples === 1, "undici: and how long it took");
  for (let failure = 1; failure <= 5; failure++) await errorOf(request(`${origin}/answers/reset/undici`, { dispatcher }));
  check(await errorOf(request(`${origin}/answers/200/undici`, { dispatcher })) instanceof CoolingDownError, "undici: a peer that fails is left alone");
  await dispatcher.destroy();
}

async function learn(state: string, url: string): Promise<void> {
  await using peers = openPeers({ state });
  for (let call = 0; call < 20; call++) await peers.run("api", () => Promise.resolve());
  await (await peers.fetch({ peer: () => "advisor" })(url)).text();
  peers.block("enemy", { reason: "enough" });
}

async function recall(state: string): Promise<void> {
  const known = inspectState(state);
  check(known.map(({ peer }) => peer).join() === KEYS.join(), `${state} can be inspected`);
  await using peers = openPeers({ state });
  check(peers.explain("api").sites.some(({ samples }) => samples >= 3), `${state}: round trips`);
  check(await errorOf(peers.run("advisor", () => 1)) instanceof AdvisedToWaitError, `${state}: advice`);
  check(await errorOf(peers.run("enemy", () => 1)) instanceof PeerBlockedError, `${state}: blocks`);
}
