import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { after, test } from "node:test";
import * as v from "valibot";
import { type AnyFlow, any, type BusEvent, flow, host, pure, RuntimeError, type Value } from "@holdfast/core";
import { ExecutionFailure } from "./execution-failure.ts";
import { openIdentity, temporaryIdentity } from "./identity/identity.ts";
import { openLog } from "./log.ts";
import { createNode, type NodeParts } from "./node.ts";
import type { Node, NodeOptions } from "./node-api.ts";
import { MemoryDisk, memoryStore } from "./stores/memory-store.ts";
import type { Batch, Store } from "./stores/store.ts";

const root = mkdtempSync(join(tmpdir(), "holdfast-node-"));
after(() => rmSync(root, { recursive: true, force: true }));
let directories = 0;
const newDirectory = (): string => join(root, `${++directories}`);
const log = openLog({ level: "silent", name: "test" });

const countUp = pure("count-up", { version: 1 }, (cell: number | null) => (cell ?? 0) + 1);
const counted = flow("counted", { input: { key: v.string() }, output: { n: v.number() }, deadlineMs: 5000 }, (b, { key }) => ({ n: b.update("counts", key, countUp) }));
const ask = flow("ask", { input: { key: any<string>() }, output: { n: any<number>() }, deadlineMs: 10_000 }, (b, { key }) => ({ n: b.call(counted, b.peer("bob"), { key: key as never }).n }));
const approval = flow("approval", { input: { what: any<string>() }, output: { said: any<string>() }, deadlineMs: "never" }, (b) => ({ said: b.wait("decision", v.string()) }));
const nap = flow("nap", { input: { ms: any<number>() }, output: { woke: any<null>() }, deadlineMs: "never" }, (b, { ms }) => ({ woke: b.sleep(ms) }));
let hangs = 0;
let aborts: unknown[] = [];
const hang = host("hang", { version: 1 }, (_: null, { signal }) => {
  hangs++;
  return new Promise<null>((_resolve, reject) => (signal as AbortSignal).addEventListener("abort", () => {
    aborts.push((signal as AbortSignal).reason);
    reject((signal as AbortSignal).reason);
  }));
});
const hanging = flow("hanging", { output: { never: any<null>() }, deadlineMs: "never" }, (b) => ({ never: b.host(hang, { deadlineMs: 60 }) }));
const hangingLong = flow("hanging-long", { output: { never: any<null>() }, deadlineMs: "never" }, (b) => ({ never: b.host(hang) }));
const odd = host("odd", { version: 1 }, (kind: string): unknown => {
  if (kind === "function") return () => 1;
  if (kind === "cycle") { const one: unknown[] = []; one.push(one); return one; }
  if (kind === "nan") return { at: NaN };
  if (kind === "throw-null") throw null;
  if (kind === "throw-code") throw Object.assign(new Error("x"), { code: "EMINE", details: { a: 1 } });
  if (kind === "throw-odd") throw Object.assign(new Error("x"), { details: () => 1 });
  if (kind === "getter") return { get a() { throw new Error("trap"); } };
  return kind;
});
const odds = flow("odds", { input: { kind: any<string>() }, output: { out: any<unknown>() }, deadlineMs: 5000 }, (b, { kind }) => ({ out: b.host(odd, kind) }));
const failing = { now: true };
const flaky = flow("flaky", { output: { ok: any<boolean>() }, deadlineMs: 5000 }, (b) => ({ ok: b.host(host("flake", { version: 1 }, () => { if (failing.now) throw new Error("down"); return true; })) }));
const news = flow("news", { input: { text: any<string>() }, deadlineMs: "never" }, (b, { text }) => void b.output("news", text));
const onOrder = flow("on-order", { input: { event: any<unknown>() }, deadlineMs: "never", on: ["order"] }, (b) => void b.update("counts", b.constant("orders"), countUp));
const flows = [counted, ask, approval, nap, hanging, hangingLong, odds, flaky, news, onOrder] as unknown as AnyFlow[];

function options(more: Partial<NodeOptions> = {}): NodeOptions {
  return { name: "ann", dataDir: newDirectory(), listen: null, flows, log, ...more };
}

const code = (promise: Promise<unknown>): Promise<string> => promise.then(
  () => "none",
  (error: Error) => (error instanceof ExecutionFailure ? error.failure.code : error instanceof RuntimeError ? error.code : String(error)),
);

async function until(condition: () => boolean, what: string, ms = 8000): Promise<void> {
  const deadline = Date.now() + ms;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

interface Pair {
  readonly ann: Node;
  readonly bob: Node;
}

/** Two nodes over real sockets, on real disks. */
async function pair(kind: "tls" | "unix", more: { ann?: Partial<NodeOptions>; bob?: Partial<NodeOptions> } = {}): Promise<Pair> {
  const [annDir, bobDir] = [newDirectory(), newDirectory()];
  const [annId, bobId] = [openIdentity(annDir).peerId, openIdentity(bobDir).peerId];
  const address = (name: string): string => (kind === "tls" ? "/ip4/127.0.0.1/tcp/0" : `/unix/${newDirectory()}-${name}/s`);
  const bob = await createNode({ name: "bob", dataDir: bobDir, listen: address("b"), peers: { ann: { id: annId, addresses: [] } }, flows, log, ...more.bob });
  const ann = await createNode({ name: "ann", dataDir: annDir, listen: null, peers: { bob: { id: bobId, addresses: [...bob.addresses] } }, flows, log, ...more.ann });
  return { ann, bob };
}

for (const kind of ["tls", "unix"] as const) {
  test(`node: two of them over ${kind}, with durable state`, async () => {
    const { ann, bob } = await pair(kind);
    await using _ann = ann;
    await using _bob = bob;
    assert.deepEqual(await ann.run(ask as AnyFlow, { key: "a" }), { n: 1 });
    const more = await Promise.all(Array.from({ length: 200 }, (_, n) => ann.run("ask", { key: `k${n % 10}` })));
    assert.equal(more.length, 200);
    assert.equal(bob.cells("counts").get("k3"), 20);
    assert.deepEqual(ann.peers().map(({ name, linked }) => ({ name, linked })), [{ name: "bob", linked: true }]);
    assert.equal(ann.status().executions, 0);
    await bob.close();
    assert.equal(await code(bob.start("counted", { key: "x" })), "NOT_RUNNING");
  });
}

test("node: a value that fails the callee's schema fails the call at the caller, with the issues; the callee goes on", async () => {
  const { ann, bob } = await pair("unix");
  await using _ann = ann;
  await using _bob = bob;
  const failure = await ann.run("ask", { key: 5 as never }).then(() => assert.fail(), (error: ExecutionFailure) => error.failure);
  assert.equal(failure.code, "SCHEMA");
  assert.match(failure.message, /string/i);
  assert.ok(Array.isArray((failure.details as { issues: Value[] }).issues));
  assert.deepEqual(await ann.run("ask", { key: "ok" }), { n: 1 });
});

test("node: start, result, cancel, signal, retry, publish, onOutput, onEvent", async () => {
  await using node = await createNode(options());
  assert.equal(await node.start("approval", { what: "x" }, { id: "a" }), "a");
  assert.equal(await node.start("approval", { what: "x" }, { id: "a" }), "a");
  assert.equal(await code(node.start("approval", { what: "y" }, { id: "a" })), "CONFLICT");
  assert.equal(await code(node.start("nope", {})), "NOT_FOUND");
  assert.equal(await code(node.start("counted", { key: 5 })), "INPUT_INVALID");
  assert.equal(await code(node.start("counted", { key: (() => 1) as never })), "VALUE_INVALID");
  assert.equal(await code(node.start("counted", { key: "k" }, { deadlineMs: -1 })), "OPTION_INVALID");
  assert.equal(await code(node.result("unknown")), "NOT_FOUND");
  assert.equal(await code(node.signal("a", "decision", 5)), "INPUT_INVALID");
  assert.equal(await code(node.signal("a", "other", "yes")), "NOT_FOUND");
  const waiting = node.result("a");
  const abort = new AbortController();
  const given = node.result("a", { signal: abort.signal });
  abort.abort(new Error("enough"));
  await assert.rejects(given, /enough/);
  assert.equal(node.execution("a")?.operations[0]?.waitsFor, "the event decision");
  await node.signal("a", "decision", "yes");
  assert.deepEqual(await waiting, { said: "yes" });
  assert.deepEqual(await node.result("a"), { said: "yes" });

  const cancelled = await node.start("nap", { ms: 1_000_000 });
  const result = code(node.result(cancelled));
  assert.equal(await node.cancel(cancelled), true);
  assert.equal(await result, "CANCELLED");
  assert.equal(await node.cancel(cancelled), false);
  assert.equal(await code(node.cancel("unknown")), "NOT_FOUND");

  failing.now = true;
  assert.equal(await code(node.run("flaky", {}, { id: "f" })), "HOST_THREW");
  failing.now = false;
  await node.retry("f");
  assert.deepEqual(await node.result("f"), { ok: true });
  assert.equal(await code(node.retry("f")), "NOT_FOUND");

  const heard: BusEvent[] = [];
  const stop = node.onEvent((event) => void heard.push(event));
  await node.publish("order", { n: 1 });
  await until(() => node.cells("counts").get("orders") === 1, "the flow subscribed to it ran");
  await node.block(temporaryIdentity().peerId);
  stop();

  await node.start("news", { text: "early" });
  const outputs: Value[] = [];
  node.onOutput(({ value }) => void outputs.push(value));
  await node.run("news", { text: "late" });
  assert.deepEqual(outputs, ["early", "late"]);
  await node.durable();
  assert.equal(node.status().executions + node.status().parked, 0);
});

test("node: a host operation that hangs is aborted at its deadline, and fails with it", async () => {
  await using node = await createNode(options());
  aborts = [];
  for (let round = 0; round < 5; round++) assert.equal(await code(node.run("hanging", {})), "DEADLINE");
  assert.equal(aborts.length, 5);
});

test("node: what a host operation throws or returns, however odd, is a failure value, and the node goes on", async () => {
  await using node = await createNode(options());
  const codes = [];
  for (const kind of ["function", "cycle", "nan", "throw-null", "throw-code", "throw-odd", "getter"]) codes.push(await code(node.run("odds", { kind })));
  assert.deepEqual(codes, ["VALUE_INVALID", "VALUE_INVALID", "VALUE_INVALID", "HOST_THREW", "EMINE", "HOST_THREW", "HOST_THREW"]);
  assert.deepEqual(await node.run("odds", { kind: "fine" }), { out: "fine" });
});

test("node: a host operation that changes its input changes it for nobody else", async () => {
  const sort = host("sort", { version: 1 }, (list: number[]) => void list.sort());
  const join = host("join", { version: 1 }, (list: number[]) => list.join());
  const both = flow("both", { input: { list: any<number[]>() }, output: { text: any<string>() }, deadlineMs: 5000 }, (b, { list }) => {
    b.host(sort as never, list as never);
    return { text: b.host(join, list) };
  });
  await using node = await createNode(options({ dataDir: null, flows: [both] as unknown as AnyFlow[] }));
  assert.deepEqual(await node.run("both", { list: [3, 1, 2] }), { text: "3,1,2" });
});

test("node: closed and opened again it goes on where it was; overdue timers fire", async () => {
  const given = options();
  let outputs: Value[] = [];
  {
    await using node = await createNode(given);
    await node.start("approval", { what: "x" }, { id: "a" });
    await node.start("nap", { ms: 80 }, { id: "n" });
    await node.start("hanging-long", {}, { id: "h" });
    await node.start("news", { text: "unheard" }, { id: "o" });
    await node.run("counted", { key: "k" }, { id: "c" });
    const hangsBefore = hangs;
    await until(() => hangs > hangsBefore - 1, "it runs");
    aborts = [];
  }
  assert.equal(aborts.length, 1, "shutdown aborts host work");
  const downSince = Date.now();
  await until(() => Date.now() > downSince + 80, "the nap is overdue");
  const hangsBefore = hangs;
  await using node = await createNode(given);
  node.onOutput(({ value }) => void outputs.push(value));
  assert.deepEqual(await node.result("n"), { woke: null });
  assert.deepEqual(await node.result("c"), { n: 1 });
  assert.equal(await node.start("counted", { key: "k" }, { id: "c" }), "c");
  assert.equal(node.cells("counts").get("k"), 1);
  assert.equal(hangs, hangsBefore + 1, "host work of class pure runs again");
  await node.cancel("h");
  await node.signal("a", "decision", "yes");
  assert.deepEqual(await node.result("a"), { said: "yes" });
  assert.deepEqual(outputs, ["unheard"]);
  assert.equal(node.status().incarnation, 2);
});

/** A store whose commits fail from some time on, or wait. */
class BrokenStore implements Store {
  readonly #inner = memoryStore(new MemoryDisk());
  broken = false;
  held: (() => void)[] | undefined;
  claim(owner: string) { return this.#inner.claim(owner); }
  load() { return this.#inner.load(); }
  close() { return this.#inner.close(); }
  async commit(batch: Batch): Promise<void> {
    if (this.held !== undefined) await new Promise<void>((resolve) => this.held?.push(resolve));
    if (this.broken) throw new RuntimeError("STORE_FAILED", { reason: "the disk is full" });
    return this.#inner.commit(batch);
  }
}

test("node: a commit that fails ends it: `failed` rejects, nobody is told that anything happened", async () => {
  const store = new BrokenStore();
  const node = await createNode(options(), { store } satisfies NodeParts);
  await node.run("counted", { key: "before" }, { id: "before" });
  store.held = [];
  store.broken = true;
  const started = code(node.start("counted", { key: "k" }, { id: "after" }));
  await until(() => node.execution("after") !== undefined, "it is done in memory");
  const result = code(node.result("after")); // finished, and not durable
  const durable = code(node.durable());
  const waiting = code(node.start("counted", { key: "l" }));
  for (const resolve of store.held.splice(0)) resolve();
  assert.equal(await code(node.failed), "STORE_FAILED");
  assert.deepEqual(await Promise.all([started, result, durable, waiting]), ["STORE_FAILED", "STORE_FAILED", "STORE_FAILED", "STORE_FAILED"]);
  assert.equal(await code(node.start("counted", { key: "k" })), "NOT_RUNNING");
  await node.close();
});

test("node: the result of a finished execution needs its own commit, not an end of all traffic", async () => {
  const store = new BrokenStore();
  await using node = await createNode(options(), { store });
  let busy = true;
  const traffic = (async () => {
    for (let n = 0; busy; n++) await Promise.all([node.run("counted", { key: `a${n}` }), node.run("counted", { key: `b${n}` })]);
  })();
  await node.run("counted", { key: "x" }, { id: "x" });
  for (let n = 0; n < 50; n++) await node.result("x");
  busy = false;
  await traffic;
});

test("node: bad options, a busy or foreign store, a port in use: errors that name them", async () => {
  const self = newDirectory();
  const own = openIdentity(self).peerId;
  const stranger = temporaryIdentity().peerId;
  const bad: [Partial<NodeOptions>, string, RegExp][] = [
    [{ name: "" }, "OPTION_INVALID", /name/],
    [{ nonsense: 1 } as never, "OPTION_INVALID", /nonsense/],
    [{ engine: { heartbeatMs: -1 } }, "OPTION_INVALID", /heartbeat/],
    [{ engine: { nonsense: 1 } as never }, "OPTION_INVALID", /nonsense/],
    [{ peers: { bob: { id: "junk", addresses: [] } } }, "PEER_ID_INVALID", /junk/],
    [{ peers: { bob: { id: stranger, addresses: ["nowhere"] } } }, "OPTION_INVALID", /bob/],
    [{ peers: { bob: { id: stranger, addresses: [] }, bobby: { id: stranger, addresses: [] } } }, "OPTION_INVALID", /bobby/],
    [{ groups: { g: ["ghost"] } }, "OPTION_INVALID", /ghost/],
    [{ policy: { block: ["ghost"] } }, "PEER_ID_INVALID", /ghost/],
    [{ dataDir: self, peers: { me: { id: own, addresses: [] } } }, "OPTION_INVALID", /me/],
    [{ listen: "/ip4/127.0.0.1/udp/1" }, "ADDRESS_INVALID", /udp/],
  ];
  for (const [given, expected, names] of bad) {
    await assert.rejects(createNode(options(given)).then((node) => node.close()), (error: RuntimeError) => {
      assert.equal(error.code, expected, JSON.stringify(given));
      assert.match(error.message, names);
      return true;
    });
  }
  const given = options();
  await using node = await createNode(given);
  assert.equal(await code(createNode(given)), "STORE_BUSY");
  assert.equal(node.status().executions, 0, "and the owner is unharmed");
  assert.deepEqual(await node.run("counted", { key: "k" }), { n: 1 });
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number };
  const taken = options({ listen: `/ip4/127.0.0.1/tcp/${port}` });
  await assert.rejects(createNode(taken), new RegExp(`ADDRESS_IN_USE.*${port}`));
  server.close();
  await using again = await createNode({ ...taken, listen: null }); // the failed start let go of its store
  assert.equal(again.status().executions, 0);
});

test("node: a data directory whose store is another node's is refused", async () => {
  const disk = new MemoryDisk();
  await (await createNode(options(), { store: memoryStore(disk) })).close();
  assert.equal(await code(createNode(options(), { store: memoryStore(disk) })), "STORE_FOREIGN");
});

test("node: a peer off the allowlist, and one with another certificate, are refused; others are unaffected", async () => {
  const { ann, bob } = await pair("tls");
  await using _ann = ann;
  await using _bob = bob;
  await ann.run("ask", { key: "a" });
  await bob.allowOnly(["ann"]);
  await using eve = await createNode(options({ name: "eve", peers: { bob: { id: bob.id, addresses: [...bob.addresses] } } }));
  assert.equal(await code(eve.run("ask", { key: "x" }, { deadlineMs: 400 })), "DEADLINE");
  // Somebody else at the address: the certificate is not the one that was asked for.
  await using lost = await createNode(options({ name: "lost", peers: { bob: { id: temporaryIdentity().peerId, addresses: [...bob.addresses] } } }));
  assert.equal(await code(lost.run("ask", { key: "x" }, { deadlineMs: 400 })), "DEADLINE");
  assert.ok((lost.peers()[0]?.failures ?? 0) > 0);
  assert.deepEqual(await ann.run("ask", { key: "a" }), { n: 2 });
  assert.equal(bob.peers().some(({ id, linked }) => id === eve.id && linked), false);
});

test("node: a range of addresses, a protocol and a reason; what is decided can be asked for", async () => {
  const { ann, bob } = await pair("tls", { ann: { policy: { block: [{ who: "10.0.0.0/8", reason: "not ours" }] } } });
  await using _ann = ann;
  await using _bob = bob;
  await ann.run("ask", { key: "a" });
  const well = ann.explainPeer("bob");
  assert.deepEqual([well.obstacles, well.link.state, well.link.remote], [[], "up", bob.addresses[0]]);
  assert.equal(ann.explainPeer(bob.id.slice(0, -3)).id, bob.id);
  await ann.block("127.0.0.0/8", { forMs: 60_000, reason: "upgrade", by: "operator" });
  const { obstacles, policy, link, next } = ann.explainPeer("bo");
  assert.deepEqual([obstacles[0], policy.decision, policy.entry?.reason, policy.address, link.state], ["denied", "blocklisted", "upgrade", bob.addresses[0], "none"]);
  assert.deepEqual(next.map(({ what, of }) => [what, of]), [["entry-expires", "deny 127.0.0.0/8"]]);
  assert.equal(await code(ann.run("ask", { key: "a" })), "DENIED");
  assert.deepEqual(ann.policy().entries.map(({ who, by, reason, addedAtMs }) => [who, by, reason, addedAtMs === null]),
    [["10.0.0.0/8", "config", "not ours", true], ["127.0.0.0/8", "operator", "upgrade", false]]);
  await ann.unblock("127.0.0.0/8");
  assert.deepEqual(await ann.run("ask", { key: "a" }), { n: 2 });

  await bob.block("/tcp"); // the other end, by protocol: nobody is even heard
  await until(() => ann.peers()[0]?.linked === false, "the link ends");
  await bob.unblock("/tcp");
  await until(() => ann.peers()[0]?.linked === true, "they meet again");
  assert.deepEqual(await ann.run("ask", { key: "a" }), { n: 3 });

  const stranger = temporaryIdentity().peerId;
  assert.deepEqual(ann.explainPeer(stranger).obstacles, ["no-address"]);
  assert.throws(() => ann.explainPeer("nobody"), { code: "PEER_UNKNOWN", message: /known: bob/ });
  assert.equal(await code(ann.block("10.0.0.1/8")), "OPTION_INVALID");
  assert.equal(await code(ann.block("bob", { forMs: 0 })), "OPTION_INVALID");
  assert.equal(await code(ann.block("bob", { reason: "x".repeat(257) })), "OPTION_INVALID");
  assert.equal(await code(ann.allow("bob")), "INPUT_INVALID");
  assert.equal(await code(createNode(options({ policy: { block: ["10.0.0.1/8"] } }))), "OPTION_INVALID");
});

test("node: whoever sends random bytes or a frame over the limit is closed and counted; memory stays bounded", async () => {
  const { ann, bob } = await pair("tls");
  await using _ann = ann;
  await using _bob = bob;
  await ann.run("ask", { key: "a" });
  const heard: BusEvent[] = [];
  bob.onEvent((event) => void heard.push(event));
  const port = Number((bob.addresses[0] as string).split("/").at(-1));
  const closes: Promise<void>[] = [];
  const finished = (socket: { once(event: string, listener: () => void): unknown; on(event: string, listener: () => void): unknown; resume(): unknown }): void => {
    socket.on("error", () => undefined);
    socket.resume();
    closes.push(new Promise((resolve) => socket.once("close", () => resolve())));
  };
  // No TLS at all.
  const plain = connectTcp(port, "127.0.0.1", () => plain.write(Buffer.alloc(100_000, 7)));
  finished(plain);
  // TLS without a certificate.
  finished(connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false, minVersion: "TLSv1.3" }));
  // A good certificate, and then nonsense: a giant length, an empty frame, random bodies, an unknown kind.
  const strangers = [Buffer.from("7fffffff00", "hex"), Buffer.from("0000000000", "hex"), Buffer.concat([Buffer.from("00000010", "hex"), Buffer.alloc(16, 0xee)]), Buffer.from("0000000163", "hex")];
  const ids: string[] = [];
  const before = process.memoryUsage().rss;
  for (const bytes of strangers) {
    const identity = temporaryIdentity();
    ids.push(identity.peerId);
    const socket = connectTls({ port, host: "127.0.0.1", key: identity.keyPem, cert: identity.certificatePem, rejectUnauthorized: false, minVersion: "TLSv1.3" }, () => socket.write(bytes));
    finished(socket);
  }
  await Promise.race([Promise.all(closes), new Promise((_, reject) => setTimeout(() => reject(new Error("some are still open")), 15_000).unref())]);
  await bob.durable();
  assert.deepEqual(await ann.run("ask", { key: "a" }), { n: 2 });
  for (const id of ids) assert.ok(heard.some(({ event, peer }) => peer === id && (event === "link-down" || event === "envelope-refused")), "the reason is told, with the peer");
  assert.ok(process.memoryUsage().rss - before < 100 * 1024 * 1024, "a length is no reason to allocate");
  assert.equal(bob.peers().filter(({ linked }) => linked).length, 1);
});
