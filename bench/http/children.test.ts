import assert from "node:assert/strict";
import { connect } from "node:net";
import { once } from "node:events";
import { test } from "node:test";
import { Children } from "./children.ts";
import type { ServerBegan, ServerOrder, ServerReport } from "./server.ts";

async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

test("children: the one that was asked for its result is ended, and so is its server", async () => {
  using children = new Children();
  const { port } = await children.result<ServerBegan>("server.ts", {});
  assert.equal(await isListening(port), false);
});

test("children: those that are left end with the benchmark; who waits for them hears of it", async () => {
  const children = new Children();
  const child = children.start("server.ts", {});
  const { port } = await child.next<ServerBegan>();
  assert.equal(await isListening(port), true);
  const next = child.next();
  children[Symbol.dispose]();
  await assert.rejects(next, /server\.ts ended before it had measured: SIGKILL/);
  await assert.rejects(child.next(), /server\.ts ended/);
  assert.equal(await isListening(port), false);
});

test("server: counts requests by their path; fails, is gone and comes back when it is told to", async () => {
  using children = new Children();
  const server = children.start("server.ts", {});
  const { port } = await server.next<ServerBegan>();
  const status = async (): Promise<number> => (await fetch(`http://127.0.0.1:${port}/a`)).status;
  const until = async (isSo: () => Promise<boolean>): Promise<void> => {
    while (!(await isSo())) await new Promise(setImmediate);
  };
  const behave = (manner: "well" | "failing" | "gone"): void => server.tell({ manners: [{ atMs: Date.now(), manner }] } satisfies ServerOrder);
  assert.equal(await status(), 200);
  server.tell({ report: true } satisfies ServerOrder);
  assert.deepEqual(await server.next<ServerReport>(), { received: { "/a": 1 } });
  behave("failing");
  await until(async () => (await status()) === 500);
  behave("gone");
  await until(async () => !(await isListening(port)));
  behave("well");
  await until(async () => isListening(port));
  assert.equal(await status(), 200);
});
