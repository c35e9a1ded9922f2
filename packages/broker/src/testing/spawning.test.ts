/** How backends are started, by a broker that clients ask: what is joined, what is tried again, what is refused and why. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { RefusedError } from "../protocol/refusal.ts";
import { ServiceCatalogue } from "../services/service-catalogue.ts";
import { BrokerWorld, gone } from "./broker-world.ts";
import { until, within } from "./until.ts";

const THROUGH_BROKER = { routes: ["handoff", "redirect"] } as const;

/** Why a client was refused. */
async function refusalOf(visit: Promise<unknown>): Promise<RefusedError> {
  const error = await within("a refusal", visit.then(() => undefined, (reason: unknown) => reason));
  assert.ok(error instanceof RefusedError, `not a refusal: ${String(error)}`);
  return error;
}

test("a program that ends before it is ready is started three times, for all who wait, and then not", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  const build = world.service("broken", "1.0.0", { fails: { status: 3, says: "no luck today\n" } });
  await world.startBroker();
  const refused = await Promise.all(Array.from({ length: 10 }, () => refusalOf(world.visit("broken", THROUGH_BROKER))));
  assert.equal(world.starts("broken").length, 3);
  const output = world.directory().output({ service: "broken", version: "1.0.0", build });
  for (const { code, retryAfterMs, details } of refused) {
    assert.equal(code, "spawn-failed");
    assert.ok(retryAfterMs !== null && retryAfterMs > 20_000 && retryAfterMs <= 30_000, `retryAfterMs: ${retryAfterMs}`);
    assert.deepEqual(details, { service: "broken", version: "1.0.0", build, reason: "exit status 3", output });
  }
  assert.equal(readFileSync(output, "utf8"), "no luck today\n".repeat(3));
  const fourth = await refusalOf(world.visit("broken"));
  assert.equal(fourth.code, "spawn-failed");
  assert.ok(fourth.retryAfterMs !== null && fourth.retryAfterMs <= (refused[0]?.retryAfterMs ?? 0));
  assert.equal(world.starts("broken").length, 3);
  assert.equal(await world.metric("holdfast_broker_start_budget_spent_total"), 11);
  // The budget is that of one build: a repaired one starts at once.
  world.program("broken", "1.0.0");
  assert.equal((await world.visit("broken")).version, "1.0.0");
});

test("a slow starter is waited for, also by those who connect to it directly before it listens", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  const gate = join(world.path, "open");
  const build = world.service("slow", "1.0.0", { gate });
  await world.startBroker();
  const waiting = Array.from({ length: 10 }, () => world.visit("slow", THROUGH_BROKER));
  const { pid } = await until("its start", () => world.starts("slow")[0]);
  const direct = Array.from({ length: 10 }, () => world.visit("slow", { routes: ["direct"] }));
  const { backends } = await world.status();
  assert.deepEqual(backends.map((backend) => [backend.pid, backend.build, backend.state]), [[pid, build, "starting"]]);
  writeFileSync(gate, "");
  const found = await within("all answers", Promise.all([...waiting, ...direct]));
  assert.deepEqual(found.map(({ route }) => route), [...waiting.map(() => "handoff"), ...direct.map(() => "direct")]);
  assert.deepEqual(new Set(found.map(({ answer }) => answer)), new Set([`${pid} 1.0.0 hello`]));
  assert.equal(world.starts("slow").length, 1);
});

test("a client that gives up leaves the start to the others", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  const gate = join(world.path, "open");
  world.service("slow", "1.0.0", { gate });
  await world.startBroker();
  const impatient = new AbortController();
  const givenUp = world.visit("slow", { ...THROUGH_BROKER, signal: impatient.signal });
  const late = world.visit("slow", { ...THROUGH_BROKER, withinMs: 50 });
  await Promise.all([
    assert.rejects(late, { code: "BROKER_UNREACHABLE", message: /no answer within 50 ms/ }),
    until("its start", () => world.starts("slow").length === 1),
  ]);
  impatient.abort();
  await assert.rejects(givenUp, { name: "AbortError" });
  const patient = world.visit("slow", THROUGH_BROKER);
  writeFileSync(gate, "");
  assert.equal((await patient).pid, world.starts("slow")[0]?.pid);
  assert.equal(world.starts("slow").length, 1);
});

test("a program that is another service or version than its definition says is refused at once", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  world.service("aged", "1.0.0", { version: "0.9.0" });
  world.define("masked");
  world.program("masked", "1.0.0", { service: "other" });
  await world.startBroker();
  const aged = await refusalOf(world.visit("aged"));
  assert.deepEqual([aged.code, aged.retryAfterMs, aged.details["code"]], ["spawn-failed", null, "SERVICE_INVALID"]);
  assert.match(aged.message, /the program serves aged 0\.9\.0, the definition says aged 1\.0\.0/);
  assert.equal(world.starts("aged").length, 1);
  const masked = await refusalOf(world.visit("masked"));
  assert.deepEqual([masked.code, masked.retryAfterMs], ["spawn-failed", null]);
  assert.match(masked.message, /the program serves other, the definition says masked 1\.0\.0/);
  assert.equal(world.starts("other").length, 1);
});

test("a backend's environment is made: of its definition, and nothing of the client's that woke the broker", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  world.define("echo", { environment: { GREETING: "hello" }, arguments: ["--loud", "two words"] });
  world.program("echo", "1.0.0");
  const client = await world.clients({ SECRET_TOKEN: "hunter2", PATH: `/elsewhere:${process.env["PATH"]}`, NODE_OPTIONS: "--no-warnings", HOLDFAST_BROKER: "on" });
  const [outcome] = await client.visit({ service: "echo", version: "1.0.0" });
  assert.equal(outcome?.ok, true);
  const [start] = world.starts("echo");
  assert.ok(start !== undefined);
  const { environment } = start;
  assert.equal(environment["GREETING"], "hello");
  assert.equal(environment["PATH"], "/usr/local/bin:/usr/bin:/bin");
  const strangers = Object.keys(environment).filter((name) => !/^(HOLDFAST_(ALLOW_ROOT|BACKEND|RUNTIME_DIR|SERVICES)|NODE_(CHANNEL_FD|CHANNEL_SERIALIZATION_MODE|COMPILE_CACHE|PATH)|XDG_(CONFIG_HOME|RUNTIME_DIR)|GREETING|HOME|LANG|LOGNAME|PATH|TMPDIR|USER)$/.test(name));
  assert.deepEqual(strangers, []);
  assert.deepEqual(start.arguments, ["--loud", "two words"]);
  assert.equal(start.cwd, world.programs);
  // Nor of whoever started the broker by hand.
  world.define("alone", { isolation: "private" });
  world.program("alone", "1.0.0");
  await world.startBroker({ domain: "svc-alone", environment: { SECRET_TOKEN: "hunter2" } });
  await world.visit("alone");
  assert.equal(world.starts("alone")[0]?.environment["SECRET_TOKEN"], undefined);
});

test("a bad definition shuts out its own service, and says why", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  world.service("good");
  world.program("bad", "1.0.0");
  world.define("bad", { root: "relative" });
  await world.startBroker();
  await assert.rejects(world.visit("bad"), { code: "SERVICE_INVALID", message: /at: root, reason: must be an absolute path/ });
  // A client that does not look itself is told by the broker.
  const refused = await refusalOf(world.visit("bad", { ...THROUGH_BROKER, domain: "shared", build: "any" }));
  assert.equal(refused.code, "service-unknown");
  assert.deepEqual(refused.details, { service: "bad", at: "root", reason: "must be an absolute path" });
  const unknown = await refusalOf(world.visit("nobody"));
  assert.deepEqual([unknown.code, unknown.retryAfterMs], ["service-unknown", null]);
  assert.equal((await world.visit("good")).version, "1.0.0");
  world.define("bad");
  assert.equal((await world.visit("bad")).version, "1.0.0");
});

test("versions that a definition does not admit are refused, before anything is started", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  world.define("echo", { minimumVersion: "1.5.0", allowedVersions: ["1.x", "2.0.0"] });
  for (const version of ["1.0.0", "1.5.0", "2.0.0", "3.0.0"]) world.program("echo", version);
  await world.startBroker();
  for (const version of ["1.0.0", "3.0.0"]) {
    const refused = await refusalOf(world.visit("echo", { version }));
    assert.deepEqual([refused.code, refused.retryAfterMs, refused.details["version"]], ["version-unsupported", null, version]);
  }
  assert.equal(world.starts("echo").length, 0);
  const [one, two] = await Promise.all([world.visit("echo", { version: "1.5.0" }), world.visit("echo", { version: "2.0.0" })]);
  assert.deepEqual([one.version, two.version], ["1.5.0", "2.0.0"]); // Side by side.
  assert.equal(world.starts("echo").length, 2);
});

test("who wants exactly a version that was replaced is blocked, with and without a broker", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  const build = world.service("echo");
  world.program("echo", "2.0.0");
  new ServiceCatalogue(world.services).setCurrentVersion("echo", "2.0.0");
  const blocked = await refusalOf(world.visit("echo", { exact: true, broker: "never" }));
  await world.startBroker();
  const byBroker = await refusalOf(world.visit("echo", { exact: true, ...THROUGH_BROKER, domain: "shared", build }));
  for (const { code, retryAfterMs, details } of [blocked, byBroker]) {
    assert.deepEqual([code, retryAfterMs, details], ["version-blocked", 30_000, { wanted: "1.0.0", current: "2.0.0" }]);
  }
  assert.equal((await world.visit("echo")).version, "2.0.0");
  assert.equal((await world.visit("echo", { version: "2.0.0", exact: true })).version, "2.0.0");
});

test("a rebuilt program is a new backend: the old one serves those it has, and goes", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  world.service("echo");
  const old = await world.connect("echo");
  const rebuilt = world.program("echo", "1.0.0", {}, 2);
  const fresh = await world.visit("echo");
  assert.notEqual(fresh.pid, old.pid);
  assert.equal(fresh.build, rebuilt);
  await until("it says that it moves", () => old.talk.isMoving);
  assert.equal(await old.talk.ask("still"), `${old.pid} 1.0.0 still`);
  await old.talk.end();
  await gone(old.pid);
  assert.equal((await world.visit("echo")).pid, fresh.pid);
  await until("the broker knows", async () => (await world.status()).backends.length === 1);
  assert.deepEqual((await world.status()).backends.map(({ pid, build }) => [pid, build]), [[fresh.pid, rebuilt]]);
  assert.equal(world.starts("echo").length, 2);
});

test("a domain has its own broker, which serves no other domain's services", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  world.service("open");
  for (const [service, isolation] of [["alone", "private"], ["paired", { named: "pair" }]] as const) {
    world.define(service, { isolation });
    world.program(service, "1.0.0");
  }
  for (const service of ["open", "alone", "paired"]) await world.visit(service);
  const brokers = ["shared", "svc-alone", "grp-pair"].map((domain) => world.brokerPid(domain));
  assert.equal(new Set(brokers).size, 3);
  assert.deepEqual([...world.brokers()].sort(), [...brokers].sort());
  const refused = await refusalOf(world.visit("alone", { ...THROUGH_BROKER, domain: "shared", build: "any" }));
  assert.deepEqual([refused.code, refused.details], ["service-unknown", { service: "alone", domain: "svc-alone" }]);
  const { backends } = await world.status("svc-alone");
  assert.deepEqual(backends.map(({ service }) => service), ["alone"]);
});
