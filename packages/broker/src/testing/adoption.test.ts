/** Backends outlive their broker, and the next broker takes over those that prove who they are. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { connect as dial, createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { BrokerClient } from "../client/broker-client.ts";
import { readFirstFrame } from "../protocol/first-frame.ts";
import { encodeMessage } from "../protocol/message-stream.ts";
import { PROTOCOL, ServerFirst } from "../protocol/messages.ts";
import { newSecret, ownIdentity, readIdentity } from "../runtime/backend-identity.ts";
import { answers } from "../runtime/endpoint.ts";
import { processStartTime } from "../runtime/process-facts.ts";
import { BrokerWorld, gone, kill, replaceFile } from "./broker-world.ts";
import { Conversation } from "./conversation.ts";
import { Load } from "./load.ts";
import { until, within } from "./until.ts";
import type { TestContext } from "node:test";
import type { BackendIdentity } from "../runtime/backend-identity.ts";
import type { ServiceKey } from "../runtime/domain-directory.ts";

const THROUGH_BROKER = { routes: ["handoff", "redirect"] } as const;
/** Decision: a broker's end is noticed by nobody for longer. Times five, for machines that are busy with other tests. */
const SERVED_AGAIN_MS_MAX = 5 * 1_000;

test("a broker is killed under load: no connection breaks, newcomers are served, the backend is taken over", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  world.service("echo");
  const first = await world.startBroker();
  const { pid } = await world.visit("echo");
  const load = new Load(world);
  await load.addStayers(20, { service: "echo", everyMs: 20 });
  await load.addStayers(20, { service: "echo", everyMs: 20, connect: { routes: ["handoff"] } });
  load.addVisitors(4, { service: "echo", everyMs: 20 });
  load.addVisitors(4, { service: "echo", everyMs: 50, connect: THROUGH_BROKER });
  await until("load", () => load.visits.length > 50 && load.requests.length > 200);
  const killedAt = performance.now();
  kill(first.pid, "SIGKILL");
  const since = (route: string) => load.visits.filter((visit) => visit.begunAt > killedAt && visit.route === route);
  await until("newcomers are served again", () => since("redirect").length >= 20 && since("direct").length >= 20 || load.failures.length > 0, SERVED_AGAIN_MS_MAX);
  await load.end();
  assert.deepEqual(load.failures, []);
  assert.equal(load.broken, 0);
  const slowest = Math.max(...load.visits.map(({ begunAt, endedAt }) => endedAt - begunAt));
  t.diagnostic(`the slowest of ${load.visits.length} visits took ${Math.round(slowest)} ms`);
  assert.ok(slowest < SERVED_AGAIN_MS_MAX);
  assert.deepEqual(new Set(load.visits.map((visit) => visit.pid)), new Set([pid]));
  assert.deepEqual(new Set(since("redirect").map(({ reason }) => reason)), new Set(["adopted-backend"]));
  assert.deepEqual(since("handoff"), []);
  const { pid: second, backends } = await world.status();
  assert.notEqual(second, first.pid);
  assert.deepEqual(backends.map((backend) => [backend.pid, backend.adopted, backend.state]), [[pid, true, "running"]]);
  assert.equal(world.starts("echo").length, 1);
});

test("a broker is killed again and again, also while it starts: whoever comes is served", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  world.service("echo");
  const { pid } = await world.visit("echo");
  const load = new Load(world);
  load.addVisitors(8, { service: "echo", everyMs: 20, connect: THROUGH_BROKER });
  const killed = new Set<number>();
  // Whether it listens yet is left to chance; that clients get through in between is not.
  for (let round = 0; round < 5; round++) {
    const served = load.visits.length;
    await until("a broker", () => world.brokers().length > 0);
    for (const broker of world.brokers()) {
      kill(broker, "SIGKILL");
      killed.add(broker);
    }
    if (round % 2 === 0) await until("clients are served again", () => load.visits.length > served + 10 || load.failures.length > 0);
    else await until("the next broker", () => world.brokers().some((broker) => !killed.has(broker)) || load.failures.length > 0);
  }
  await load.end();
  assert.deepEqual(load.failures, []);
  assert.deepEqual(new Set(load.visits.map((visit) => visit.pid)), new Set([pid]));
  assert.equal(world.starts("echo").length, 1);
});

test("a backend is killed again and again: nobody who connects is refused", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  world.service("echo");
  await world.startBroker();
  const load = new Load(world);
  for (const connect of [{}, THROUGH_BROKER, { routes: ["proxy"] }] as const) load.addVisitors(5, { service: "echo", everyMs: 20, connect });
  for (let round = 0; round < 5; round++) {
    const served = load.visits.length;
    await until("clients are served", () => load.visits.length > served + 30);
    kill((await world.visit("echo")).pid, "SIGKILL");
  }
  await load.end();
  // Who had a connection when the backend was killed has lost it. That is all.
  assert.deepEqual(load.failures.filter((failure) => !/^Error: (no answer to|cannot ask) hello/.test(failure)), []);
  assert.ok(world.starts("echo").length >= 5);
});

test("a connection that was to be carried to a backend which has just ended is carried to the next", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  world.service("echo");
  const broker = await world.startBroker();
  const { pid } = await world.visit("echo");
  const socket = dial(world.directory().door);
  t.after(() => socket.destroy());
  await once(socket, "connect");
  await world.status(); // It has taken both connections.
  // The Hello is read before the backend's end: signals come last of what has happened meanwhile.
  kill(broker.pid, "SIGSTOP");
  kill(pid, "SIGKILL");
  // Not only its main thread: the last one to end closes the endpoint.
  const [endpoint] = readdirSync(world.directory().backends).filter((name) => name.endsWith(".sock"));
  await until("its endpoint is closed", async () => !(await answers(join(world.directory().backends, endpoint ?? ""))));
  socket.write(encodeMessage({ kind: "hello", protocol: PROTOCOL, service: "echo", version: "1.0.0", pid: process.pid, accepts: ["proxy"] }));
  kill(broker.pid, "SIGCONT");
  const answer = await within("the welcome", readFirstFrame(socket, ServerFirst, 20_000));
  assert.ok(typeof answer === "object" && answer.kind === "welcome", JSON.stringify(answer));
  assert.deepEqual([answer.route, answer.pid !== pid], ["proxy", true]);
  using talk = new Conversation(socket);
  assert.equal(await talk.ask("hello"), `${answer.pid} 1.0.0 hello`);
});

for (const how of ["SIGTERM", "shutdown"] as const) {
  test(`a broker that ends by ${how} leaves its backends and their connections`, { timeout: 60_000 }, async (t) => {
    const world = BrokerWorld.open(t);
    world.service("echo");
    const broker = await world.startBroker();
    const { talk, pid, route } = await world.connect("echo");
    assert.equal(route, "handoff");
    if (how === "SIGTERM") {
      kill(broker.pid, how);
    } else {
      using operator = await BrokerClient.open(world.directory());
      assert.deepEqual(await operator.ask("shutdown", { leaveBackends: true }), { drained: [] });
    }
    assert.deepEqual(await within("its end", broker.exited), { code: 0, signal: null, output: "" });
    assert.equal(await talk.ask("still"), `${pid} 1.0.0 still`);
    const found = await world.visit("echo", THROUGH_BROKER);
    assert.deepEqual([found.pid, found.route, found.reason], [pid, "redirect", "adopted-backend"]);
  });
}

test("a backend whose broker was killed while it started is waited for by the next", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  const gate = join(world.path, "open");
  world.service("slow", "1.0.0", { version: "1.0.0", gate });
  // One that was killed has left its identity, in the place where that of the next will be.
  writeFileSync(gate, "");
  const first = await world.startBroker();
  const hand = await world.runByHand("slow");
  kill(hand.pid, "SIGKILL");
  await hand.ended;
  rmSync(gate);
  const waiting = world.visit("slow", THROUGH_BROKER);
  const { pid } = await until("its start", () => world.starts("slow").find((start) => start.pid !== hand.pid));
  const direct = world.visit("slow", { routes: ["direct"] });
  kill(first.pid, "SIGKILL");
  await until("another broker", () => world.status().then((status) => status.pid !== first.pid, () => false));
  // Not refused: its patience ends.
  await assert.rejects(world.visit("slow", { ...THROUGH_BROKER, withinMs: 500 }), { code: "BROKER_UNREACHABLE", message: /no answer within 500 ms/ });
  const late = world.visit("slow", THROUGH_BROKER);
  writeFileSync(gate, "");
  for (const { pid: found } of await within("all answers", Promise.all([waiting, direct, late]))) assert.equal(found, pid);
  assert.equal(world.starts("slow").length, 2);
});

test("a stopped backend does not keep a broker from starting, and is taken over when it goes on", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  world.service("frozen");
  world.service("lively");
  const first = await world.startBroker();
  const [frozen, lively] = await Promise.all([world.visit("frozen"), world.visit("lively")]);
  kill(first.pid, "SIGKILL");
  await gone(first.pid);
  kill(frozen.pid, "SIGSTOP");
  const second = await world.startBroker();
  assert.equal(second.birth.kind, "listening");
  assert.equal((await world.visit("lively", THROUGH_BROKER)).pid, lively.pid);
  const visit = world.visit("frozen", THROUGH_BROKER);
  assert.deepEqual((await world.status()).backends.map(({ service }) => service), ["lively"]);
  kill(frozen.pid, "SIGCONT");
  assert.equal((await visit).pid, frozen.pid);
  assert.equal(world.starts("frozen").length, 1);
});

test("a backend that was taken over ends when it is told to, and is replaced when it is killed", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  world.service("echo", "1.0.0", { version: "1.0.0" });
  const hand = await world.runByHand("echo");
  await world.startBroker();
  assert.equal((await world.visit("echo", THROUGH_BROKER)).pid, hand.pid);
  using operator = await BrokerClient.open(world.directory());
  assert.deepEqual(await within("quiesce", operator.ask("quiesce")), { drained: ["echo@1.0.0"] });
  const { code, signal } = await within("its end", hand.ended);
  assert.deepEqual([code, signal], [0, null]); // By itself: no signal was needed.
  const again = await world.runByHand("echo");
  assert.equal((await world.visit("echo", THROUGH_BROKER)).pid, again.pid);
  kill(again.pid, "SIGKILL");
  const fresh = await world.visit("echo");
  assert.equal(world.starts("echo").find(({ pid }) => pid === fresh.pid)?.environment["HOLDFAST_BACKEND"] !== undefined, true);
  assert.deepEqual((await world.status()).backends.map(({ pid, adopted }) => [pid, adopted]), [[fresh.pid, false]]);
});

/** A backend that serves, and the file by which the next broker will look for it. */
async function backendWithIdentity(t: TestContext) {
  const world = BrokerWorld.open(t);
  const key: ServiceKey = { service: "echo", version: "1.0.0", build: world.service("echo", "1.0.0", { version: "1.0.0" }) };
  const hand = await world.runByHand("echo");
  const path = world.directory().identity(key);
  const identity = readIdentity(path);
  assert.ok(identity !== undefined);
  return { world, key, hand, path, identity };
}

const lies = [
  { name: "another live process", change: () => ({ pid: process.pid, startTime: processStartTime(process.pid) }) },
  { name: "another start time", change: () => ({ startTime: "1" }) },
  { name: "another boot of the machine", change: () => ({ bootId: "7b1b2b1e-0000-4000-8000-000000000000" }) },
  { name: "another secret", change: () => ({ secret: newSecret() }) },
  { name: "another key than its name", change: () => ({ version: "2.0.0" }) },
  { name: "a format that is not known", change: () => ({ format: 2 }) },
] as const satisfies readonly { name: string; change: () => object }[];

for (const { name, change } of lies) {
  test(`nobody is taken over by an identity with ${name}`, { timeout: 60_000 }, async (t) => {
    const { world, path, identity, hand } = await backendWithIdentity(t);
    replaceFile(path, JSON.stringify({ ...identity, ...change() }));
    const broker = await world.startBroker();
    assert.equal(broker.birth.kind, "listening");
    assert.deepEqual((await world.status()).backends, []);
    kill(hand.pid, "SIGCONT"); // Untouched, and not ours to end.
    assert.ok(world.pids().includes(hand.pid));
  });
}

test("what a dead backend left behind is removed", { timeout: 60_000 }, async (t) => {
  const { world, key, path, hand } = await backendWithIdentity(t);
  kill(hand.pid, "SIGKILL");
  await gone(hand.pid);
  assert.ok(existsSync(path) && existsSync(world.directory().endpoint(key)));
  await world.startBroker();
  assert.ok(!existsSync(path) && !existsSync(world.directory().endpoint(key)));
});

const squatters = [
  { name: "is silent", answer: undefined },
  { name: "talks nonsense", answer: Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n") },
  {
    name: "claims to be the backend",
    answer: encodeMessage({ kind: "attached", service: "echo", version: "1.0.0", build: "BUILD", pid: process.pid, proof: "0".repeat(64), nonce: "1".repeat(64), draining: false, info: null }),
  },
];

for (const { name, answer } of squatters) {
  test(`somebody else at an endpoint who ${name} is not taken over, and clients are told`, { timeout: 60_000 }, async (t) => {
    const world = BrokerWorld.open(t);
    const key: ServiceKey = { service: "echo", version: "1.0.0", build: world.service("echo") };
    const directory = world.directory();
    directory.create();
    const squatter = createServer((socket) => {
      socket.on("error", () => {});
      if (answer !== undefined) socket.write(Buffer.from(answer).toString("latin1").replace("BUILD", key.build), "latin1");
    });
    t.after(() => squatter.close());
    await new Promise<void>((done) => squatter.listen(directory.endpoint(key), done));
    const identity: BackendIdentity = ownIdentity(key, newSecret());
    replaceFile(directory.identity(key), JSON.stringify(identity));
    await world.startBroker();
    assert.deepEqual((await world.status()).backends, []);
    await assert.rejects(world.visit("echo", THROUGH_BROKER), { code: "spawn-failed", message: /ENDPOINT_BUSY/ });
    assert.equal(world.starts("echo").length, 0);
  });
}
