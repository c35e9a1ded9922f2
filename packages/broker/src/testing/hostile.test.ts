import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { once } from "node:events";
import { connect as dial } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { brokerArgv } from "../client/start-broker.ts";
import { BrokerClient } from "../client/broker-client.ts";
import { connect } from "../client/connect.ts";
import { readFirstFrame } from "../protocol/first-frame.ts";
import { encodeMessage } from "../protocol/message-stream.ts";
import { Attached, PROTOCOL } from "../protocol/messages.ts";
import { REFUSAL_CODES, RefusedError } from "../protocol/refusal.ts";
import { proofOf, readIdentities } from "../runtime/backend-identity.ts";
import { BrokerWorld } from "./broker-world.ts";
import { helloOf, RawClient } from "./raw-client.ts";
import { PATIENCE_MS, until, within } from "./until.ts";
import type { Socket } from "node:net";
import type { TestContext } from "node:test";
import type { Refusal } from "../protocol/refusal.ts";

const NOBODY = 65_534;
const json = (value: unknown) => encodeMessage(value as object);
const frame = (body: Uint8Array | string, length = Buffer.byteLength(body as string)) => {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(length);
  return Buffer.concat([head, Buffer.from(body)]);
};
const HELLO = { kind: "hello", protocol: PROTOCOL, service: "echo", version: "1.0.0", pid: 1, accepts: ["redirect"] };
const NONCE = "0".repeat(64);

/** What nobody is to send as the first frame; each is closed without a word. */
const NONSENSE = {
  "a first frame over its bound": frame("", 64 * 1024 + 1),
  "the longest length": frame("", 0xffff_ffff),
  "an empty frame": frame(""),
  "no JSON": frame("{"),
  "no text": frame(Buffer.from([0xc3, 0x28, 0xff])),
  "null": frame("null"),
  "a list": frame("[]"),
  "a number": frame("7"),
  "an unknown kind": json({ ...HELLO, kind: "goodbye" }),
  "a message for clients": json({ kind: "redirect", service: "echo", version: "1.0.0", build: "x", endpoint: "/tmp/x", reason: "none" }),
  "no protocol": json({ ...HELLO, protocol: undefined }),
  "a path for a service": json({ ...HELLO, service: "../echo" }),
  "a long service": json({ ...HELLO, service: "e".repeat(65) }),
  "no version": json({ ...HELLO, version: "" }),
  "a negative process": json({ ...HELLO, pid: -1 }),
  "half a process": json({ ...HELLO, pid: 1.5 }),
  "a route that there is not": json({ ...HELLO, accepts: ["teleport"] }),
  "a text for a truth": json({ ...HELLO, exact: "yes" }),
  "an attach without a nonce": json({ kind: "attach", protocol: PROTOCOL }),
  "an admin without a verb": json({ kind: "admin", protocol: PROTOCOL }),
  "a deep list": frame("[".repeat(60_000)),
  "10 MB of garbage": randomBytes(10_000_000),
} as const;

async function openWorld(t: TestContext, environment: NodeJS.ProcessEnv = {}) {
  const world = BrokerWorld.open(t);
  world.service("echo");
  const { pid } = await world.startBroker({ environment });
  const door = world.directory().door;
  const first = await world.visit("echo", { routes: ["redirect"] });
  return { world, door, brokerPid: pid, backendPid: first.pid, endpoint: world.directory().endpoint({ service: "echo", version: "1.0.0", build: first.build }) };
}

/** It is there for the next client, and nobody is still connected. A process that asked too often waits as it is told. */
async function assertUnharmed({ world, backendPid, brokerPid }: Awaited<ReturnType<typeof openWorld>>): Promise<void> {
  await until("a client that is served", async () => {
    try {
      assert.equal((await world.visit("echo", { routes: ["handoff", "redirect"] })).pid, backendPid);
      return true;
    } catch (error) {
      if (error instanceof RefusedError && error.code === "rate-limited") return false;
      throw error;
    }
  });
  await until("the end of all connections", async () => (await world.status()).connections === 1);
  assert.equal((await world.status()).pid, brokerPid);
  assert.equal(world.starts("echo").length, 1);
}

test("hostile: 4000 connections that come and go harm neither broker nor backend", { timeout: 60_000 }, async (t) => {
  const world = await openWorld(t);
  const hello = helloOf("echo");
  /** `destroy` with bytes of the other side unread breaks the connection there. */
  const leave: readonly ((socket: Socket) => void)[] = [
    (socket) => socket.destroy(),
    (socket) => socket.end(),
    (socket) => socket.write(hello.subarray(0, 20), () => socket.destroy()),
    (socket) => socket.end(hello.subarray(0, 3)),
    (socket) => socket.write(Buffer.from("garbage"), () => socket.once("readable", () => socket.destroy())),
    (socket) => socket.write(hello, () => socket.destroy()),
    (socket) => socket.write(hello, () => socket.once("readable", () => socket.destroy())),
  ];
  for (const path of [world.door, world.endpoint]) {
    for (let batch = 0; batch < 20; batch++) {
      await within("a hundred that leave", Promise.all(Array.from({ length: 100 }, async (_, index) => {
        const socket = dial(path);
        socket.on("error", () => {});
        await once(socket, "connect");
        const closed = new Promise((done) => socket.once("close", done));
        leave[index % leave.length]!(socket);
        await closed;
      })));
    }
  }
  await assertUnharmed(world);
});

test("hostile: another protocol is refused in so many words by the broker, and closed by a backend", { timeout: 60_000 }, async (t) => {
  const world = await openWorld(t);
  const bytes = json({ ...HELLO, protocol: PROTOCOL + 1 });
  using client = new RawClient(world.door, bytes);
  assert.partialDeepStrictEqual(await client.answer, { kind: "refused", code: "version-unsupported", details: { protocol: PROTOCOL, wanted: PROTOCOL + 1 } });
  using other = new RawClient(world.endpoint, bytes);
  assert.match(String(await other.answer), /^(ended|failed)$/);
});

test("hostile: nonsense is closed without a word, by the broker and by a backend, and half a frame waits alone", { timeout: 60_000 }, async (t) => {
  const world = await openWorld(t);
  const nonsense = (path: string): [string, Uint8Array][] => [
    ...Object.entries(NONSENSE),
    path === world.door
      ? ["an attach to the broker", json({ kind: "attach", protocol: PROTOCOL, nonce: NONCE })]
      : ["a Hello for another service", helloOf("other")],
    ...(path === world.door ? [] : [["an operator's question to a backend", json({ kind: "admin", protocol: PROTOCOL, verb: "shutdown" })] as [string, Uint8Array]]),
  ];
  for (const path of [world.door, world.endpoint]) {
    const halves = Array.from({ length: 50 }, (_, index) => new RawClient(path, helloOf("echo").subarray(0, index)));
    for (const [what, bytes] of nonsense(path)) {
      using client = new RawClient(path, bytes);
      assert.match(JSON.stringify(await client.answer), /^"(ended|failed)"$/, what);
      await client.closed();
    }
    assert.equal((await world.world.visit("echo", { routes: ["handoff"] })).pid, world.backendPid);
    assert.equal((await world.world.visit("echo", { routes: ["direct"] })).pid, world.backendPid);
    for (const half of halves) {
      assert.equal(half.socket.destroyed, false);
      half.socket.destroy();
    }
  }
  await assertUnharmed(world);
});

test("hostile: a backend obeys no command of who has overheard another's proof", { timeout: 30_000 }, async (t) => {
  const world = await openWorld(t);
  const [identity] = readIdentities(world.world.directory());
  const { secret } = identity!;
  const identityPath = world.world.directory().identity(identity!);
  const attach = async () => {
    const socket = dial(world.endpoint);
    socket.on("error", () => {}).write(json({ kind: "attach", protocol: PROTOCOL, nonce: randomBytes(32).toString("hex") }));
    const answer = await within("the backend's proof", readFirstFrame(socket, Attached, PATIENCE_MS));
    assert.ok(typeof answer === "object", String(answer));
    return { socket, answer };
  };
  const quiesce = json({ kind: "quiesce", withinMs: 1 });
  const legitimate = await attach();
  const overheard = proofOf(secret, "broker", legitimate.answer.nonce);
  legitimate.socket.write(json({ kind: "proof", proof: overheard }));
  for (const [what, proofFor] of Object.entries({
    "a proof that was overheard": () => overheard,
    "a proof of another nonce": () => proofOf(secret, "broker", NONCE),
    "the backend's own proof": ({ proof }: Attached) => proof,
    "the backend's proof of its own nonce": ({ nonce }: Attached) => proofOf(secret, "backend", nonce),
    "a proof with another secret": ({ nonce }: Attached) => proofOf(NONCE, "broker", nonce),
    "no proof but a command": () => undefined,
    "a proof that is none": () => "x",
  })) {
    const { socket, answer } = await attach();
    const proof = proofFor(answer);
    socket.write(Buffer.concat([...(proof === undefined ? [] : [json({ kind: "proof", proof })]), quiesce]));
    socket.resume();
    await until(what, () => socket.closed);
    assert.ok(existsSync(identityPath), what);
    assert.equal((await world.world.visit("echo", { routes: ["direct"] })).pid, world.backendPid, what);
  }
  const silent = await attach();
  silent.socket.resume();
  await until("the end of one that proves nothing", () => silent.socket.closed);
  await assertUnharmed(world);
  legitimate.socket.write(quiesce); // What all of them wanted.
  await until("the backend's end", () => !existsSync(identityPath));
});

test("hostile: an operator's or a lease's question of a wrong shape is refused with a code", { timeout: 30_000 }, async (t) => {
  const world = await openWorld(t);
  using client = await BrokerClient.open(world.world.directory());
  const service = { service: "leased", version: "1.0.0", build: "1", argv: ["x.js"], cwd: "/", environment: {} };
  const questions: [string, Record<string, unknown>][] = [
    ["lease", {}], ["lease", { pid: "1", services: [] }], ["lease", { pid: 1, services: "all" }], ["lease", { pid: 1, services: [{}] }],
    ["lease", { pid: 1, services: [{ ...service, service: "../x" }] }], ["lease", { pid: 1, services: [{ ...service, argv: [] }] }],
    ["lease", { pid: 1, services: [{ ...service, environment: { A: 1 } }] }], ["lease", { pid: 1, services: Array.from({ length: 1025 }, () => service) }],
    ["upgrade", {}], ["upgrade", { service: 7, version: "1.0.0" }], ["upgrade", { service: "echo", version: {} }], ["upgrade", { service: "echo", version: "../1" }],
    ["upgrade", { service: "nobody", version: "1.0.0" }], ["quiesce", { service: [] }], ["shutdown", { leaveBackends: "yes" }], ["", {}], ["constructor", {}], ["eat", {}],
  ];
  for (const [verb, params] of questions) {
    await assert.rejects(within(verb, client.ask(verb, params)), (error) => error instanceof RefusedError && REFUSAL_CODES.includes(error.code), `${verb} ${JSON.stringify(params)}`);
  }
  assert.deepEqual(await client.ask("healthz"), { ok: true });
  assert.equal((await world.world.status()).lease, null);
  client.close();
  // A question that is none ends the connection.
  for (const bytes of [json({ kind: "admin", protocol: PROTOCOL, verb: "status", params: 7 }), frame("{"), helloOf("echo")]) {
    using raw = new RawClient(world.door, json({ kind: "admin", protocol: PROTOCOL, verb: "healthz" }), bytes);
    await raw.closed();
  }
  await assertUnharmed(world);
});

test("hostile: 10 000 Hellos leave nothing in the broker's memory", { timeout: 60_000 }, async (t) => {
  // Without koffi the broker believes who a client says that it is, so that this one process is many. A small young generation
  // and a small heap: what is kept shows, and what is garbage goes soon.
  const world = await openWorld(t, { NODE_PATH: "", NODE_OPTIONS: "--max-semi-space-size=1 --max-old-space-size=48" });
  const kinds: readonly ((pid: number) => Uint8Array)[] = [
    (pid) => helloOf("echo", { pid, accepts: ["redirect"] }),
    (pid) => helloOf("echo", { pid, accepts: ["handoff"] }),
    (pid) => helloOf("nobody", { pid }),
    (pid) => helloOf("echo", { pid, accepts: ["redirect"], version: "9.0.0", exact: true }),
    (pid) => helloOf("echo", { pid, accepts: ["proxy"] }),
  ];
  let next = 0;
  const sayHello = async (count: number) => {
    const end = next + count;
    await Promise.all(Array.from({ length: 8 }, async () => {
      while (next < end) {
        const index = next++;
        using client = new RawClient(world.door, kinds[index % kinds.length]!(1 + (index % 997)));
        assert.equal(typeof (await client.answer), "object");
      }
    }));
  };
  const residentBytes = async () => {
    let least = Infinity;
    for (let sample = 0; sample < 5; sample++) {
      await sayHello(20); // Some work, that garbage is collected.
      least = Math.min(least, (await world.world.status()).residentBytes);
    }
    return least;
  };
  await sayHello(2_000);
  const before = await residentBytes();
  await sayHello(8_000);
  const grown = (await residentBytes()) - before;
  t.diagnostic(`grown by ${grown} bytes in 8000 Hellos`);
  assert.ok(grown < 10_000_000, `grown by ${grown} bytes in 8000 Hellos`);
  await assertUnharmed(world);
});

test("hostile: an operator that asks 20 000 times and does not listen costs the broker no memory", { timeout: 60_000 }, async (t) => {
  const world = await openWorld(t);
  const before = (await world.world.status()).residentBytes;
  using deaf = new RawClient(world.door);
  deaf.socket.pause();
  const question = json({ kind: "admin", protocol: PROTOCOL, verb: "metrics" });
  for (let asked = 0; asked < 20_000; asked++) deaf.socket.write(question);
  for (let sample = 0; sample < 50; sample++) {
    const grown = (await world.world.status()).residentBytes - before;
    assert.ok(grown < 30_000_000, `grown by ${grown} bytes`);
  }
  deaf.socket.destroy();
  using patient = await BrokerClient.open(world.world.directory());
  const answers = await within("1000 answers", Promise.all(Array.from({ length: 1_000 }, () => patient.ask("healthz"))));
  assert.ok(answers.every((answer) => (answer as { ok: boolean }).ok));
  patient.close();
  await assertUnharmed(world);
});

/** Connects as another user and says Hello; prints what came of it. */
const STRANGER = `
  const socket = require("node:net").connect(process.argv[1]);
  let read = 0;
  socket.on("connect", () => socket.write(Buffer.from(process.argv[2], "base64")));
  socket.on("data", (chunk) => (read += chunk.length));
  socket.on("error", (error) => { console.log(error.code); process.exit(); });
  socket.on("close", () => console.log("closed after " + read));
`;

test("hostile: another user does not get through the door", { timeout: 30_000, skip: process.getuid?.() !== 0 && "only root can become another user" }, async (t) => {
  const world = await openWorld(t);
  const visitAs = async (uid: number) => {
    const child = spawn("/proc/self/exe", ["-e", STRANGER, world.door, Buffer.from(helloOf("echo", { accepts: ["redirect"] })).toString("base64")], {
      argv0: "node", uid, gid: uid, cwd: "/", env: {}, stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.on("data", (chunk) => (output += String(chunk)));
    await within("the stranger's end", once(child, "close"));
    return output.trim();
  };
  assert.equal(await visitAs(NOBODY), "EACCES");
  for (const path of [world.world.path, world.world.runtime, world.world.directory().path]) chmodSync(path, 0o755);
  assert.equal(await visitAs(NOBODY), "EACCES", "the door itself is closed, too");
  chmodSync(world.door, 0o666);
  await t.test("nor, where the kernel tells who it is, through an open one", { skip: !hasKoffi() && "koffi is not installed" }, async () => {
    assert.match(await visitAs(NOBODY), /^(closed after 0|ECONNRESET|EPIPE)$/);
    assert.equal(await world.world.metric("holdfast_broker_connections_refused_uid_total"), 1);
    assert.match(await visitAs(0), /^closed after [1-9]/);
    assert.equal(await world.world.metric("holdfast_broker_connections_refused_uid_total"), 1);
  });
});

function hasKoffi(): boolean {
  try {
    createRequire(import.meta.url)("koffi");
    return true;
  } catch {
    return false;
  }
}

test("hostile: a client believes in no directory that another could have made, and starts no broker in it", { timeout: 30_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  world.service("echo");
  const ours = join(world.path, "ours");
  mkdirSync(ours, { mode: 0o700 });
  const makers: Record<string, (path: string) => void> = {
    "open to all": (path) => (mkdirSync(path), chmodSync(path, 0o777)),
    "open to a group": (path) => (mkdirSync(path), chmodSync(path, 0o770)),
    "a link to one of ours": (path) => symlinkSync(ours, path),
    "a link to nothing": (path) => symlinkSync(join(world.path, "nothing"), path),
    "a file": (path) => writeFileSync(path, ""),
    ...(process.getuid?.() === 0 && { "another user's": (path: string) => (mkdirSync(path, { mode: 0o700 }), chownSync(path, NOBODY, NOBODY)) }),
  };
  let number = 0;
  for (const [what, make] of Object.entries(makers)) {
    for (const level of ["root", "domain"] as const) {
      const root = join(world.path, `r${number++}`);
      if (level === "domain") mkdirSync(root, { mode: 0o700 });
      const path = level === "root" ? root : join(root, "shared");
      make(path);
      process.env["HOLDFAST_RUNTIME_DIR"] = root;
      for (const broker of ["start", "use"] as const) {
        if (broker === "use" && level === "root") continue; // There is nothing in it yet: nobody answers.
        await assert.rejects(connect({ service: "echo", version: "1.0.0", broker }), { code: "BROKER_REFUSED" }, `${level}: ${what}`);
      }
      if (lstatSync(path).isDirectory()) assert.deepEqual(readdirSync(path), [], `${level}: ${what}`);
    }
  }
  assert.deepEqual(readdirSync(ours), []);
  // A domain of ours in a directory that is not.
  const root = join(world.path, "mixed");
  mkdirSync(join(root, "shared"), { recursive: true, mode: 0o700 });
  chmodSync(root, 0o777);
  process.env["HOLDFAST_RUNTIME_DIR"] = root;
  await assert.rejects(connect({ service: "echo", version: "1.0.0", broker: "use" }), { code: "BROKER_REFUSED" });
  assert.deepEqual(world.brokers(), []);
});

test("hostile: a broker whose descriptors are used up refuses clients, hears operators, and recovers", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  world.service("echo");
  const directory = world.directory();
  directory.create();
  const broker = spawn("/bin/sh", ["-c", 'ulimit -n 100; exec "$0" "$@"', process.execPath, ...brokerArgv(directory, true)], { env: world.environment(), stdio: "ignore" });
  await until("a broker that answers", async () => await world.status().catch(() => undefined));
  assert.equal((await world.visit("echo", { routes: ["handoff"] })).route, "handoff");
  const hold = async (count: number) => {
    const sockets = Array.from({ length: count }, () => dial(directory.door));
    for (const socket of sockets) socket.on("error", () => {});
    await Promise.all(sockets.map((socket) => once(socket, "connect")));
    return sockets;
  };
  const used = await until("a count of descriptors", async () => Math.round((await world.status()).descriptors.usedShare! * 100));
  const silent = await hold(86 - used);
  const refusal = await until("a refusal", async () => await refusalOf(directory.door));
  assert.equal(refusal.code, "fd-pressure");
  assert.ok(refusal.retryAfterMs! > 0);
  assert.equal((await world.status()).descriptors.high, true);
  using operator = await BrokerClient.open(directory);
  assert.deepEqual(await operator.ask("readyz"), { ready: false, reason: "fd-pressure" });
  // Far more than there are descriptors. Those who have said nothing make room for those who come.
  silent.push(...(await hold(200)));
  for (let visits = 0; visits < 5; visits++) {
    assert.equal((await world.status()).descriptors.high, true);
    assert.equal((await refusalOf(directory.door))?.code, "fd-pressure");
  }
  assert.ok((await world.metric("holdfast_broker_connections_dropped_total")) > 0);
  for (const socket of silent) socket.destroy();
  await until("a client that is served", async () => (await refusalOf(directory.door)) === undefined);
  assert.equal((await world.visit("echo", { routes: ["handoff"] })).route, "handoff");
  assert.equal(world.starts("echo").length, 1);
  assert.equal(broker.exitCode, null);
});

/** Of one Hello; undefined if it is not refused. */
async function refusalOf(door: string, hello = helloOf("echo")): Promise<Refusal | undefined> {
  using client = new RawClient(door, hello);
  const answer = await client.answer;
  assert.equal(typeof answer, "object", `no answer: ${JSON.stringify(answer)}`);
  return typeof answer === "object" && answer.kind === "refused" ? answer : undefined;
}

test("hostile: a process that says Hello too often is told when to come again, and let in then", { timeout: 30_000 }, async (t) => {
  const world = await openWorld(t);
  // The kernel knows who it is, whatever it says.
  const hello = (index: number) => helloOf("echo", { accepts: ["redirect"], ...(hasKoffi() && { pid: index }) });
  const refusals = await Promise.all(Array.from({ length: 600 }, (_, index) => refusalOf(world.door, hello(index))));
  const limited = refusals.filter((refused) => refused !== undefined);
  assert.ok(limited.length > 0 && limited.length <= 600 - 255, `${limited.length} of 600`);
  for (const { code, retryAfterMs } of limited) assert.ok(code === "rate-limited" && retryAfterMs! > 0 && retryAfterMs! <= 1_000, `${code} ${retryAfterMs}`);
  await until("an admission", async () => (await refusalOf(world.door, hello(0))) === undefined, 2_000);
  const another = await world.world.clients();
  const [outcome] = await another.visit({ service: "echo", version: "1.0.0", routes: ["redirect"] });
  assert.equal(outcome?.ok, true, "another process");
});
