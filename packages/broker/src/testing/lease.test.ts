/** Services that run for as long as a process holds their lease. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { BrokerClient } from "../client/broker-client.ts";
import { isAlive } from "../runtime/process-facts.ts";
import { BrokerWorld, gone, kill } from "./broker-world.ts";
import { until, within } from "./until.ts";
import type { TestContext } from "node:test";
import type { LeasedService, LeaseEvent } from "../broker/lease-messages.ts";
import type { FixtureBehaviour } from "./fixture-backend.ts";

type EventOf<Kind extends LeaseEvent["kind"]> = Extract<LeaseEvent, { kind: Kind }>;

/** A lease's holder in this process, and what it was told. */
class Holder {
  readonly client: BrokerClient;
  readonly events: LeaseEvent[] = [];
  /** Called while an event is being told. */
  onEvent: (event: LeaseEvent) => void = () => {};

  private constructor(client: BrokerClient) {
    this.client = client;
    client.onEvent = (event) => {
      this.events.push(event);
      this.onEvent(event);
    };
  }

  static async open(world: BrokerWorld, t: TestContext): Promise<Holder> {
    const client = await BrokerClient.open(world.directory());
    t.after(() => client.close());
    return new Holder(client);
  }

  async lease(services: readonly LeasedService[]): Promise<unknown> {
    return await within("the lease", this.client.ask("lease", { pid: process.pid, services }));
  }

  of<Kind extends LeaseEvent["kind"]>(kind: Kind, service: string): readonly EventOf<Kind>[] {
    return this.events.filter((event): event is EventOf<Kind> => event.kind === kind && event.service === service);
  }

  /** The so-manyth event of a kind, once it has come. */
  async told<Kind extends LeaseEvent["kind"]>(kind: Kind, service: string, nth = 1): Promise<EventOf<Kind>> {
    return await until(`event ${nth} ${kind} of ${service}`, () => this.of(kind, service)[nth - 1]) as EventOf<Kind>;
  }
}

/** What a lease says of a program. Another revision is another build. */
function leased(world: BrokerWorld, service: string, behaviour: Partial<FixtureBehaviour> = {}, revision = 1): LeasedService {
  const build = world.program(service, "1.0.0", behaviour, revision);
  return { service, version: "1.0.0", build, argv: ["--conditions=holdfast-source", join(world.programs, `${service}-1.0.0.mjs`)], cwd: world.path, environment: { COLOUR: "green" } };
}

/** How a client finds a service that no definition names. */
const at = ({ build }: LeasedService) => ({ domain: "shared", build });

test("lease: services start, say what they have to say, and are drained when it is released", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  const { pid: broker } = await world.startBroker();
  const ann = leased(world, "ann", { info: { address: "/ip4/127.0.0.1" }, tells: { progress: 1 } });
  const bob = leased(world, "bob");
  const holder = await Holder.open(world, t);
  assert.deepEqual(await holder.lease([ann, bob]), { pid: broker });
  const ready = await holder.told("ready", "ann");
  assert.deepEqual(ready, { kind: "ready", service: "ann", pid: ready.pid, info: { address: "/ip4/127.0.0.1" }, adopted: false });
  assert.deepEqual(await holder.told("told", "ann"), { kind: "told", service: "ann", message: { progress: 1 } });
  const { pid } = await holder.told("ready", "bob");
  assert.deepEqual(holder.events.filter(({ service }) => service === "bob"), [
    { kind: "starting", service: "bob", pid }, { kind: "ready", service: "bob", pid, info: null, adopted: false },
  ]);
  const [start] = world.starts("bob");
  assert.deepEqual(Object.keys(start?.environment ?? {}).filter((name) => !name.startsWith("NODE_CHANNEL")).sort(), ["COLOUR", "HOLDFAST_BACKEND"]);
  assert.equal(start?.cwd, world.path);

  const direct = await world.connect("bob", at(bob));
  assert.deepEqual([direct.route, direct.pid], ["direct", pid]);
  const handed = await world.visit("bob", { ...at(bob), routes: ["handoff"] });
  assert.deepEqual([handed.route, handed.pid], ["handoff", pid]);
  await direct.talk.ask("tell good news");
  assert.deepEqual(await holder.told("told", "bob"), { kind: "told", service: "bob", message: "good news" });
  const { lease, backends } = await world.status();
  assert.deepEqual([lease, backends.map(({ service, state }) => `${service} ${state}`).sort()], [{ pid: process.pid }, ["ann running", "bob running"]]);

  const released = holder.client.ask("release");
  await until("it says that it moves", () => direct.talk.isMoving);
  assert.ok(isAlive(pid)); // It waits for its client.
  await direct.talk.end();
  await within("the release", released);
  assert.deepEqual([isAlive(pid), isAlive(ready.pid)], [false, false]);
  assert.equal((await world.status()).lease, null);
  assert.deepEqual([holder.of("died", "ann"), holder.of("died", "bob")], [[], []]);
  assert.deepEqual(await holder.lease([ann]), { pid: broker }); // Anybody may take one now.
  await holder.told("ready", "ann", 2);
});

test("lease: a service that is killed comes back, and clients wait for it", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  await world.startBroker();
  const ann = leased(world, "ann");
  const holder = await Holder.open(world, t);
  await holder.lease([ann]);
  const delays: number[] = [];
  for (let death = 1; death <= 3; death++) {
    const { pid } = await holder.told("ready", "ann", death);
    await until("it has said so", () => readFileSync(world.directory().output(ann), "utf8") === "serving\n".repeat(death));
    kill(pid, "SIGKILL");
    const died = await holder.told("died", "ann", death);
    assert.deepEqual(died, { kind: "died", service: "ann", pid, how: "SIGKILL", output: "serving\n", restartInMs: died.restartInMs });
    delays.push(died.restartInMs);
    // Now it is not there: by whatever route, who comes is served when it is.
    const [direct, handed] = await Promise.all([world.visit("ann", at(ann)), world.visit("ann", { ...at(ann), routes: ["handoff"] })]);
    const next = await holder.told("ready", "ann", death + 1);
    assert.deepEqual([direct.pid, handed.pid], [next.pid, next.pid]);
  }
  t.diagnostic(`restarted after ${delays.join(", ")} ms`);
  assert.ok(delays.every((delay) => delay > 0));
  assert.equal(holder.of("starting", "ann").length, 4);
  assert.equal(world.starts("ann").length, 4);
});

test("lease: a service that does not come up, and one that never will", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  await world.startBroker();
  const holder = await Holder.open(world, t);
  const broken = leased(world, "broken", { fails: { status: 7, says: "out of paint\n" } });
  const masked = leased(world, "masked", { service: "other" });
  await holder.lease([broken, masked]);
  const third = await holder.told("died", "broken", 3);
  assert.deepEqual([third.how, third.output], ["exit status 7", "out of paint\n"]);
  assert.ok(third.restartInMs > 20_000, `restartInMs: ${third.restartInMs}`); // The budget of starts is spent.
  const unable = await holder.told("unable", "masked");
  assert.equal(unable.code, "SERVICE_INVALID");
  assert.deepEqual([world.starts("broken").length, world.starts("other").length], [3, 1]);
  await assert.rejects(world.visit("masked", at(masked)), { code: "spawn-failed", message: /the program serves other/ });
  const { backends } = await world.status();
  assert.deepEqual(backends.map(({ service, state }) => `${service} ${state}`).sort(), ["broken waiting", "masked ended"]);
  const waiting = world.visit("broken", { ...at(broken), routes: ["handoff"] });
  const refused = assert.rejects(waiting, { code: "shutting-down" });
  await until("it waits", async () => (await world.metric("holdfast_broker_hellos_pending")) === 1);
  await within("the release", holder.client.ask("release"));
  await refused;
});

test("lease: when its holder is killed its services are drained", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  await world.startBroker();
  const ann = leased(world, "ann");
  const program = fileURLToPath(new URL("./fixture-holder.ts", import.meta.url));
  const other = spawn(process.execPath, ["--conditions=holdfast-source", "--disable-warning=ExperimentalWarning", program, world.runtime, "shared", JSON.stringify([ann])], {
    env: world.environment(), stdio: ["ignore", "pipe", "inherit"],
  });
  const events = createInterface({ input: other.stdout });
  const told: LeaseEvent[] = [];
  events.on("line", (line) => told.push(JSON.parse(line) as LeaseEvent));
  const { pid } = (await until("it is ready", () => told.find(({ kind }) => kind === "ready"))) as EventOf<"ready">;
  const { talk } = await world.connect("ann", at(ann));

  // One lease at a time, and an operator's upgrade does not meddle with it.
  const holder = await Holder.open(world, t);
  await assert.rejects(holder.lease([]), { name: "RefusedError", code: "peer-rejected", details: { pid: other.pid } });
  await assert.rejects(holder.client.ask("upgrade", { service: "ann", version: "2.0.0" }), { code: "peer-rejected" });
  await assert.rejects(world.visit("ann", { ...at(ann), version: "2.0.0" }), { code: "version-unsupported" });

  other.kill("SIGKILL");
  await once(other, "exit");
  await until("it says that it moves", () => talk.isMoving);
  assert.equal(await talk.ask("still"), `${pid} 1.0.0 still`);
  await talk.end();
  await gone(pid);
  await until("the lease is free", () => holder.lease([]).then(() => true, () => false));
});

test("lease: a holder that goes while its services start leaves none behind", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  await world.startBroker();
  const slow = leased(world, "slow", { gate: join(world.path, "never") });
  const holder = await Holder.open(world, t);
  await holder.lease([slow, leased(world, "ann")]);
  const { pid } = await holder.told("starting", "slow");
  holder.client.close();
  await gone(pid);
  await until("nothing runs", async () => (await world.status()).backends.length === 0);
  assert.equal((await world.status()).lease, null);
});

test("lease: after its broker was killed, one of the same builds takes over what runs", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  const first = await world.startBroker();
  const services = [leased(world, "ann", { info: "here" }), leased(world, "bob")];
  const ann = services[0] as LeasedService;
  const before = await Holder.open(world, t);
  await before.lease(services);
  const pids = [(await before.told("ready", "ann")).pid, (await before.told("ready", "bob")).pid];
  const { talk } = await world.connect("ann", at(ann));
  kill(first.pid, "SIGKILL");
  await within("the holder notices", before.client.closed);
  await world.startBroker();
  const holder = await Holder.open(world, t);
  await holder.lease(services);
  const ready = [await holder.told("ready", "ann"), await holder.told("ready", "bob")];
  assert.deepEqual(ready.map(({ pid, adopted, info }) => [pid, adopted, info]), [[pids[0], true, "here"], [pids[1], true, null]]);
  assert.equal(holder.of("starting", "ann").length, 0);
  assert.equal(await talk.ask("tell it still"), `${pids[0]} 1.0.0 tell it still`);
  assert.equal((await holder.told("told", "ann")).message, "it still");

  // And keeps it running: it knows when one dies, and what that one had said.
  const farewell = talk.ask("exit 3 so long").catch(() => {});
  const died = await holder.told("died", "ann");
  await farewell;
  assert.deepEqual([died.pid, died.output], [pids[0], "so long\n"]);
  const again = await holder.told("ready", "ann", 2);
  assert.deepEqual([again.adopted, again.pid === pids[0]], [false, false]);
  assert.equal((await world.visit("ann", at(ann))).pid, again.pid);
  await within("the release", holder.client.ask("release"));
  assert.deepEqual(pids.map(isAlive), [false, false]);
});

for (const { name, changed } of [
  { name: "build", changed: (world: BrokerWorld) => leased(world, "ann", {}, 2) },
  { name: "version", changed: (world: BrokerWorld) => ({ ...leased(world, "ann"), version: "2.0.0" }) },
]) test(`lease: what runs of another ${name} ends before the new one starts`, { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  const first = await world.startBroker();
  const before = await Holder.open(world, t);
  await before.lease([leased(world, "ann"), leased(world, "gone")]);
  const old = [(await before.told("ready", "ann")).pid, (await before.told("ready", "gone")).pid];
  kill(first.pid, "SIGKILL");
  await within("the holder notices", before.client.closed);
  await world.startBroker();
  const holder = await Holder.open(world, t);
  const alive: boolean[] = [];
  holder.onEvent = ({ kind }) => {
    if (kind === "starting") alive.push(...old.map(isAlive));
  };
  await holder.lease([changed(world)]);
  const { pid, adopted } = await holder.told("ready", "ann");
  assert.deepEqual([adopted, old.includes(pid), alive], [false, false, [false, false]]);
});

test("lease: its broker shuts down with all of its services", { timeout: 60_000 }, async (t) => {
  const world = BrokerWorld.open(t);
  const broker = await world.startBroker();
  const holder = await Holder.open(world, t);
  await holder.lease([leased(world, "ann")]);
  const { pid } = await holder.told("ready", "ann");
  using operator = await BrokerClient.open(world.directory());
  await within("the shutdown", operator.ask("shutdown"));
  assert.equal((await within("its end", broker.exited)).code, 0);
  assert.ok(!isAlive(pid));
  await within("the holder notices", holder.client.closed);
  assert.deepEqual(holder.of("died", "ann"), []);
});
