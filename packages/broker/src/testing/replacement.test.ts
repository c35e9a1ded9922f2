/** A service's version is replaced while it is in use. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { BrokerClient } from "../client/broker-client.ts";
import { BrokerWorld, gone, kill } from "./broker-world.ts";
import { Load } from "./load.ts";
import { until, within } from "./until.ts";

const THROUGH_BROKER = { routes: ["handoff", "redirect"] } as const;

/** An operator's `upgrade`, over a connection of its own. */
async function upgrade(world: BrokerWorld, service: string, version: string): Promise<unknown> {
  using operator = await BrokerClient.open(world.directory());
  return await within(`the upgrade to ${version}`, operator.ask("upgrade", { service, version }));
}

test("upgrade: of 64 busy clients none fails or is refused, and all are on the new version in the end", { timeout: 120_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  world.service("echo");
  world.program("echo", "2.0.0");
  const first = await world.startBroker();
  const old = await world.visit("echo");
  const load = new Load(world);
  // A thousand requests a second in all, of which the broker sees those of its own visitors: it admits 256 of one process.
  const everyMs = 64;
  await load.addStayers(24, { service: "echo", everyMs });
  await load.addStayers(8, { service: "echo", everyMs, connect: THROUGH_BROKER });
  load.addVisitors(24, { service: "echo", everyMs });
  load.addVisitors(8, { service: "echo", everyMs, connect: THROUGH_BROKER });
  const count = () => load.visits.length + load.requests.length;
  const requests = async (more: number) => {
    const wanted = count() + more;
    await until(`${more} requests`, () => count() >= wanted || load.failures.length > 0);
  };
  const startedAt = performance.now();
  await requests(1_000);
  const result = (await upgrade(world, "echo", "2.0.0")) as { pid: number };
  const upgradedAt = performance.now();
  assert.deepEqual(result, { from: ["1.0.0"], to: "2.0.0", pid: result.pid });
  await gone(old.pid);
  await requests(2_000);
  await load.end();
  t.diagnostic(`${count()} requests, ${Math.round((count() * 1_000) / (performance.now() - startedAt))} a second; ${load.moves} connections moved`);
  assert.deepEqual(load.failures, []);
  assert.equal(load.broken, 0);
  assert.ok(load.moves >= 32); // Every long connection, at least once.
  const late = load.visits.filter(({ begunAt }) => begunAt > upgradedAt);
  assert.ok(late.length > 0);
  assert.deepEqual(new Set(late.map(({ version, pid }) => `${version} ${pid}`)), new Set([`2.0.0 ${result.pid}`]));
  assert.deepEqual(new Set(load.visits.map(({ version }) => version)), new Set(["1.0.0", "2.0.0"]));
  const last = load.requests.filter(({ begunAt }) => begunAt > upgradedAt);
  assert.deepEqual(new Set(last.map(({ answer }) => answer)), new Set([`${result.pid} 2.0.0 more`]));
  assert.deepEqual((await world.status()).backends.map(({ pid, version, state }) => [pid, version, state]), [[result.pid, "2.0.0", "running"]]);
  assert.equal(world.starts("echo").length, 2);
  await assert.rejects(world.visit("echo", { exact: true }), { name: "RefusedError", code: "version-blocked" });

  // The next broker knows it too: with the backend that runs, and with one that it starts.
  kill(first.pid, "SIGKILL");
  const adopted = await world.visit("echo", THROUGH_BROKER);
  assert.deepEqual([adopted.version, adopted.pid], ["2.0.0", result.pid]);
  kill(result.pid, "SIGKILL");
  await gone(result.pid);
  assert.equal((await world.visit("echo", THROUGH_BROKER)).version, "2.0.0");
  await assert.rejects(world.visit("echo", { exact: true }), { code: "version-blocked" });
});

test("upgrade: to what does not start, does not exist or is not admitted changes nothing", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  world.define("echo", { allowedVersions: ["<4"] });
  world.program("echo", "1.0.0");
  world.program("echo", "2.0.0", { fails: { status: 1, says: "" } });
  world.program("echo", "4.0.0");
  await world.startBroker();
  const { talk, pid } = await world.connect("echo");
  await assert.rejects(upgrade(world, "echo", "2.0.0"), { code: "spawn-failed", message: /exit status 1/ });
  await assert.rejects(upgrade(world, "echo", "3.0.0"), { code: "service-unknown", message: /ENOENT/ });
  await assert.rejects(upgrade(world, "echo", "4.0.0"), { code: "version-unsupported" });
  await assert.rejects(upgrade(world, "nobody", "1.0.0"), { code: "service-unknown" });
  assert.ok(!existsSync(join(world.services, "echo.version")));
  assert.equal(await talk.ask("still"), `${pid} 1.0.0 still`);
  assert.equal(talk.isMoving, false);
  for (const options of [{}, { exact: true }, THROUGH_BROKER]) assert.equal((await world.visit("echo", options)).pid, pid);
});

test("upgrade: before anybody came, and back again", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  world.service("echo");
  for (const version of ["2.0.0", "3.0.0"]) world.program("echo", version);
  await world.startBroker();
  assert.deepEqual(((await upgrade(world, "echo", "3.0.0")) as { from: unknown }).from, []);
  const three = await world.visit("echo");
  assert.equal(three.version, "3.0.0");
  assert.deepEqual(((await upgrade(world, "echo", "2.0.0")) as { from: unknown }).from, ["3.0.0"]);
  await gone(three.pid);
  assert.equal((await world.visit("echo")).version, "2.0.0");
  // Nobody is kept from a newer one.
  assert.equal((await world.visit("echo", { version: "3.0.0" })).version, "3.0.0");
});

test("upgrade: many at once leave one version, and clients with it", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  world.service("echo");
  for (const version of ["2.0.0", "3.0.0"]) world.program("echo", version);
  await world.startBroker();
  await world.visit("echo");
  const load = new Load(world);
  load.addVisitors(4, { service: "echo", everyMs: 20 });
  await Promise.all(["2.0.0", "3.0.0", "2.0.0", "3.0.0"].map((version) => upgrade(world, "echo", version)));
  await load.end();
  assert.deepEqual(load.failures, []);
  const found = await world.visit("echo");
  await until("one backend", async () => (await world.status()).backends.length === 1);
  assert.deepEqual((await world.status()).backends.map(({ pid, version }) => [pid, version]), [[found.pid, found.version]]);
});
