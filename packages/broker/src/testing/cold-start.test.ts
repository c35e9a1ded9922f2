/** The first moments: nobody runs yet, and everybody wants something at once. */
import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { createServer } from "node:net";
import { test } from "node:test";
import { BrokerClient } from "../client/broker-client.ts";
import { startBroker } from "../client/start-broker.ts";
import { BrokerWorld, gone, kill } from "./broker-world.ts";
import { until, within } from "./until.ts";
import type { ConnectOptions } from "../client/connect.ts";

const CLIENT_PROCESSES = 4;
const CLIENTS_EACH = 25;

const coldStarts = [
  { name: "by any route", options: {} },
  { name: "through the broker alone", options: { routes: ["handoff", "redirect", "proxy"] } },
] as const satisfies readonly { name: string; options: Partial<ConnectOptions> }[];

for (const { name, options } of coldStarts) {
  test(`cold start: 100 clients at once, ${name}: one broker stays, one backend is spawned, all are answered`, { timeout: 60_000 }, async (t) => {
    const world = BrokerWorld.open(t);
    world.service("echo");
    const clients = await Promise.all(Array.from({ length: CLIENT_PROCESSES }, () => world.clients()));
    const visits = clients.map((client) => client.visit({ service: "echo", version: "1.0.0", ...options }, CLIENTS_EACH));
    const outcomes = (await within("all visits", Promise.all(visits))).flat();
    assert.deepEqual(outcomes.filter(({ ok }) => !ok), []);
    const starts = world.starts("echo");
    assert.equal(starts.length, 1);
    const pid = starts[0]?.pid;
    assert.deepEqual(new Set(outcomes.map((outcome) => outcome.ok && outcome.answer)), new Set([`${pid} 1.0.0 hello`]));
    await until("one broker", () => world.brokers().length === 1);
    const { pid: broker, backends } = await world.status();
    assert.deepEqual(world.brokers(), [broker]);
    assert.deepEqual(backends.map((backend) => [backend.pid, backend.state, backend.adopted]), [[pid, "running", false]]);
    assert.deepEqual(outcomes.filter((outcome) => outcome.ok && outcome.reason === "adopted-backend"), []); // All waited for one start.
  });
}

test("cold start: of ten brokers one wins, the others say so and end", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  const brokers = await Promise.all(Array.from({ length: 10 }, () => world.startBroker()));
  const winners = brokers.filter(({ birth }) => birth.kind === "listening");
  assert.equal(winners.length, 1);
  const losers = brokers.filter((broker) => broker !== winners[0]);
  assert.deepEqual(new Set(losers.map(({ birth }) => birth.kind)), new Set(["outrun"]));
  for (const { exited } of losers) assert.deepEqual(await within("its end", exited), { code: 1, signal: null, output: "" });
  assert.equal((await world.status()).pid, winners[0]?.pid);
  assert.equal(world.brokerPid(), winners[0]?.pid);
});

test("cold start: a client that may not start a broker says why it found nobody", { timeout: 30_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  world.service("echo");
  const unreachable = (reason: RegExp) => ({ code: "BROKER_UNREACHABLE", message: reason });
  await assert.rejects(world.visit("echo", { broker: "never" }), unreachable(/no broker is to be asked/));
  await assert.rejects(world.visit("echo", { broker: "use" }), unreachable(/no broker runs/));
  await assert.rejects(world.visit("echo", { routes: ["direct"] }), unreachable(/only the direct route/));
  process.env["HOLDFAST_BROKER"] = "off";
  await assert.rejects(world.visit("echo"), unreachable(/no broker is to be asked/));
  process.env["HOLDFAST_BROKER"] = "perhaps";
  await assert.rejects(world.visit("echo"), { code: "OPTION_INVALID", message: /HOLDFAST_BROKER: perhaps/ });
  assert.deepEqual(world.pids(), []);
  assert.equal(statSync(world.directory().path, { throwIfNoEntry: false }), undefined); // Looking leaves no trace.
  process.env["HOLDFAST_BROKER"] = "on";
  const { pid } = await world.visit("echo", { broker: "start" });
  process.env["HOLDFAST_BROKER"] = "off";
  assert.deepEqual(await world.visit("echo").then((found) => [found.route, found.pid]), ["direct", pid]);
});

test("cold start: a broker that runs is used by a client that may not start one", { timeout: 30_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  world.service("echo");
  const { pid } = await world.startBroker();
  assert.equal((await world.visit("echo", { broker: "use" })).reason, "no-endpoint");
  assert.deepEqual(world.brokers(), [pid]);
});

test("cold start: root is refused a broker, unless it says that it means it", { timeout: 30_000, skip: process.getuid?.() !== 0 }, async (t) => {
  const world = BrokerWorld.open(t);
  world.service("echo");
  delete process.env["HOLDFAST_ALLOW_ROOT"];
  await assert.rejects(world.visit("echo"), { code: "BROKER_REFUSED", message: /HOLDFAST_ALLOW_ROOT/ });
  await until("nothing runs", () => world.pids().length === 0);
  await startBroker(world.directory(), AbortSignal.timeout(20_000), { allowRoot: true });
  assert.equal((await world.visit("echo")).route, "handoff");
});

test("cold start: an idle broker ends, and the next client has another one", { timeout: 30_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  world.service("echo");
  const broker = await world.startBroker({ idleMs: 100 });
  const { talk, pid } = await world.connect("echo");
  assert.equal(await talk.ask("a"), `${pid} 1.0.0 a`);
  await talk.end();
  {
    using operator = await BrokerClient.open(world.directory());
    assert.deepEqual(await within("quiesce", operator.ask("quiesce")), { drained: ["echo@1.0.0"] });
  }
  assert.deepEqual(await within("its end", broker.exited), { code: 0, signal: null, output: "" });
  assert.equal(statSync(world.directory().door, { throwIfNoEntry: false }), undefined);
  const again = await world.visit("echo");
  assert.notEqual(again.pid, pid);
  assert.notEqual((await world.status()).pid, broker.pid);
});

test("by hand: a backend without a broker is found where a broker's would be", { timeout: 30_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  const build = world.service("echo", "1.0.0", { version: "1.0.0" });
  world.program("undefined", "2.0.0", { version: "2.0.0" });
  const [echo, other] = await Promise.all([world.runByHand("echo"), world.runByHand("undefined", "2.0.0")]);
  const found = await world.visit("echo", { broker: "never" });
  assert.deepEqual([found.route, found.reason, found.pid, found.build], ["direct", null, echo.pid, build]);
  const foundOther = await world.visit("undefined", { version: "2.0.0", broker: "never" });
  assert.deepEqual([foundOther.route, foundOther.pid, foundOther.answer], ["direct", other.pid, `${other.pid} 2.0.0 hello`]);
  await assert.rejects(world.visit("undefined", { version: "1.0.0", broker: "never" }), { code: "BROKER_UNREACHABLE" });
  assert.deepEqual(world.brokers(), []);
});

test("by hand: a second one is refused, and one that was killed leaves nothing in the way", { timeout: 30_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  world.service("echo", "1.0.0", { version: "1.0.0" });
  const first = await world.runByHand("echo");
  const { code, output } = await within("the second one's end", (await world.runByHand("echo")).ended);
  assert.equal(code, 1);
  assert.match(output, /ENDPOINT_BUSY/);
  assert.equal((await world.visit("echo", { broker: "never" })).pid, first.pid);
  kill(first.pid, "SIGKILL");
  await gone(first.pid);
  const third = await world.runByHand("echo");
  assert.equal((await world.visit("echo", { broker: "never" })).pid, third.pid);
});

test("by hand: a backend that ends connections without a word is asked again, and then it is lost", { timeout: 30_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  const build = world.service("echo");
  const directory = world.directory();
  directory.create();
  let taken = 0;
  const server = createServer((socket) => {
    taken++;
    socket.destroy();
  });
  t.after(() => server.close());
  await new Promise<void>((done) => server.listen(directory.endpoint({ service: "echo", version: "1.0.0", build }), done));
  await assert.rejects(world.visit("echo", { broker: "never" }), { code: "BACKEND_LOST" });
  assert.ok(taken > 1);
});

test("by hand: a broker that is asked for it finds it, and spawns nothing", { timeout: 30_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  world.service("echo", "1.0.0", { version: "1.0.0" });
  await world.startBroker();
  const { pid } = await world.runByHand("echo");
  const found = await world.visit("echo", { routes: ["handoff", "redirect"] });
  assert.deepEqual([found.route, found.reason, found.pid], ["redirect", "adopted-backend", pid]);
  assert.deepEqual((await world.status()).backends.map((backend) => [backend.pid, backend.adopted]), [[pid, true]]);
  assert.equal(world.starts("echo").length, 1);
});

test("by hand: a broker finds one that no definition names", { timeout: 30_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  world.program("nameless", "1.0.0", { version: "1.0.0" });
  const { pid } = await world.runByHand("nameless");
  await world.startBroker();
  const found = await world.visit("nameless", { routes: ["redirect"] });
  assert.deepEqual([found.route, found.pid], ["redirect", pid]);
});
