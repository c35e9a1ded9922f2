/** The smoke test in a process: `smoke.js learn FOLDER`, and then, in another, `smoke.js recall FOLDER`. Prints "ok". */
import { join } from "node:path";
import process from "node:process";
import { AdvisedToWaitError, openPeers, PeerBlockedError } from "@holdfast/fetch";
import { inspectState } from "@holdfast/fetch/inspect";
import { check, checkCalls, errorOf } from "./calls.ts";
import { startServer } from "./server.ts";

const [step, folder = "."] = process.argv.slice(2);
const states = ["peers.db", "peers.json"].map((name) => join(folder, name));
const KEYS = ["advisor", "api", "enemy"];

if (step === "learn") {
  const { server, origin } = await startServer();
  try {
    await checkCalls(origin);
    for (const [at, state] of states.entries()) await learn(state, `${origin}/answers/429-30/${at}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
} else {
  for (const state of states) await recall(state);
}
console.log("ok");

async function learn(state: string, url: string): Promise<void> {
  await using peers = openPeers({ state });
  for (let call = 0; call < 20; call++) await peers.run("api", () => Promise.resolve());
  await (await peers.fetch({ peer: () => "advisor" })(url)).text();
  peers.block("enemy", { reason: "enough" });
  check(typeof peers.undici() === "function", "servers have an interceptor for undici");
}

async function recall(state: string): Promise<void> {
  const known = inspectState(state);
  check(known.map(({ peer }) => peer).join() === KEYS.join(), `${state} can be inspected`);
  await using peers = openPeers({ state });
  check(peers.explain("api").sites.some(({ samples }) => samples >= 3), `${state}: round trips`);
  check(await errorOf(peers.run("advisor", () => 1)) instanceof AdvisedToWaitError, `${state}: advice`);
  check(await errorOf(peers.run("enemy", () => 1)) instanceof PeerBlockedError, `${state}: blocks`);
}
