/**
 * From `createNode` with an empty data directory, in a process that has just loaded its code, to the answer of the first
 * call that a node in another process makes to it: key, certificate, store, TLS link, handshake and call included, the
 * start of Node.js and the loading of code not. Compared with opening a bare store and committing one row in it.
 */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createNode, openIdentity } from "@holdfast/host";
import { type BenchOptions, type Figure, figure, interleave, median, rounds, scratchDirectory } from "../harness.ts";
import { ask } from "./flows.ts";
import { wallMs } from "./started-node.ts";

const TARGET_MS = 400;

export async function measureStart(options: BenchOptions): Promise<Figure[]> {
  const { node, store } = await interleave(rounds(options), { node: startNode, store: startStore });
  return [figure({
    figure: "createNode with an empty store to first call answered", value: median(node), unit: "ms",
    comparison: "a bare store opened, one row committed, in a fresh process", other: median(store),
    target: `≤ ${TARGET_MS} ms`, met: median(node) <= TARGET_MS,
  })];
}

async function startNode(): Promise<number> {
  using scratch = scratchDirectory();
  // The caller must know whom to wait for, so the key is made twice: once here, timed, and once for real.
  const keyStartedAt = performance.now();
  const { peerId } = openIdentity(scratch.path);
  const keyMs = performance.now() - keyStartedAt;
  await using caller = await createNode({ name: "caller", dataDir: null, flows: [ask], peers: { callee: { id: peerId, addresses: [] } } });
  const linked = new Promise<void>((resolve) => caller.onEvent(({ event }) => event === "link-up" && resolve()));
  const child = startProcess("node", scratch.path, caller.id, caller.addresses[0]!);
  const [{ beganAt }] = (await once(child, "message")) as [{ beganAt: number }];
  await linked;
  await caller.run(ask, { n: 21 });
  const tookMs = wallMs() - beganAt + keyMs;
  child.disconnect();
  await once(child, "exit");
  return tookMs;
}

async function startStore(): Promise<number> {
  using scratch = scratchDirectory();
  const child = startProcess("store", scratch.path);
  const [{ beganAt, doneAt }] = (await once(child, "message")) as [{ beganAt: number; doneAt: number }];
  child.disconnect();
  await once(child, "exit");
  return doneAt - beganAt;
}

function startProcess(...args: readonly string[]): ChildProcess {
  return fork(join(import.meta.dirname, "started-node.ts"), args, { execArgv: process.execArgv });
}
