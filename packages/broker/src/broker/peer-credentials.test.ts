import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { ChildProcess } from "node:child_process";
import type { ListenOptions, Server, Socket } from "node:net";
import type { TestContext } from "node:test";
import { loadPeerCredentials, peerCredentials } from "./peer-credentials.ts";

const NOBODY = 65_534;
const skip = reasonToSkip();

function reasonToSkip(): string | false {
  if (process.platform !== "linux") return "only Linux is asked";
  try {
    createRequire(import.meta.url).resolve("koffi");
    return false;
  } catch {
    return "koffi is not in NODE_PATH: run through npm test";
  }
}

async function listen(t: TestContext, options: ListenOptions): Promise<Server> {
  const server = createServer({ pauseOnConnect: true }).listen(options);
  t.after(() => server.close());
  await once(server, "listening");
  return server;
}

/** A socket whose path any user can reach. */
async function listenForAll(t: TestContext): Promise<{ server: Server; path: string }> {
  const directory = mkdtempSync(join(tmpdir(), "holdfast-peer-"));
  t.after(() => rmSync(directory, { recursive: true }));
  chmodSync(directory, 0o755);
  const path = join(directory, "s");
  const server = await listen(t, { path });
  chmodSync(path, 0o666);
  return { server, path };
}

async function accepted(t: TestContext, server: Server): Promise<Socket> {
  const [socket] = await once(server, "connection") as [Socket];
  t.after(() => socket.destroy());
  return socket;
}

/** A process that connects, as `uid` if given. It becomes that user by itself: that user need not be able to reach node. */
function connector(t: TestContext, path: string, uid?: number): ChildProcess {
  const become = uid === undefined ? "" : `process.setgroups([]); process.setgid(${uid}); process.setuid(${uid});`;
  const child = spawn(process.execPath, ["-e", `${become} require("net").connect(${JSON.stringify(path)})`], { stdio: ["ignore", "ignore", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  return child;
}

test("peer credentials: a connection of this process is this process's", { skip }, async (t) => {
  const { server, path } = await listenForAll(t);
  const client = connect(path);
  t.after(() => client.destroy());
  const socket = await accepted(t, server);
  assert.deepEqual(peerCredentials(socket), { uid: process.getuid?.(), pid: process.pid });
});

test("peer credentials: a child's connection is the child's, even after it has ended", { skip }, async (t) => {
  const { server, path } = await listenForAll(t);
  const child = connector(t, path);
  const socket = await accepted(t, server);
  const expected = { uid: process.getuid?.(), pid: child.pid };
  assert.deepEqual(peerCredentials(socket), expected);
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.deepEqual(peerCredentials(socket), expected);
});

const notRoot = skip || (process.getuid?.() !== 0 && "only root can become another user");
test("peer credentials: another user's connection is another user's", { skip: notRoot }, async (t) => {
  const { server, path } = await listenForAll(t);
  const child = connector(t, path, NOBODY);
  const socket = await accepted(t, server);
  assert.deepEqual(peerCredentials(socket), { uid: NOBODY, pid: child.pid });
});

test("peer credentials: a closed socket and one of TCP have none", { skip }, async (t) => {
  const server = await listen(t, { port: 0, host: "127.0.0.1" });
  const client = connect(server.address() as { port: number });
  t.after(() => client.destroy());
  const socket = await accepted(t, server);
  assert.equal(peerCredentials(socket), undefined);
  socket.destroy();
  assert.equal(peerCredentials(socket), undefined);
});

test("peer credentials: loaded once", { skip }, () => {
  assert.notEqual(loadPeerCredentials(), undefined);
  assert.equal(loadPeerCredentials(), loadPeerCredentials());
});

test("peer credentials: without koffi nobody is told, and nothing fails", () => {
  const { NODE_PATH: _, ...env } = process.env;
  const module = JSON.stringify(new URL("peer-credentials.ts", import.meta.url).href);
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", `
    const { loadPeerCredentials, peerCredentials } = await import(${module});
    const { Socket } = await import("node:net");
    console.log(loadPeerCredentials(), peerCredentials(new Socket()));
  `], { env, encoding: "utf8" });
  assert.equal(stdout, "undefined undefined\n", stderr);
});
