import assert from "node:assert/strict";
import { createHash, randomInt } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath, pathToFileURL } from "node:url";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { BrokerClient } from "../client/broker-client.ts";
import { connect } from "../client/connect.ts";
import { monotonicUs } from "../protocol/clock.ts";
import { BrokerWorld, kill, replaceFile } from "./broker-world.ts";
import { hashOf, hashOfPattern, patternOf, READERS } from "./handoff-fixture.ts";
import { helloOf, RawClient } from "./raw-client.ts";
import { until, within } from "./until.ts";
import type { TestContext } from "node:test";
import type { BrokerStatus } from "../broker/operations.ts";
import type { Connection } from "../client/connect.ts";
import type { Hello, Route } from "../protocol/messages.ts";
import type { ServiceDefinition } from "../services/service-definition.ts";
import type { Reader } from "./handoff-fixture.ts";

const FIXTURE = pathToFileURL(fileURLToPath(new URL("./handoff-fixture.ts", import.meta.url))).href;
const CHANNELS = ["raw", "public"] as const;
type Channel = (typeof CHANNELS)[number];

/** How each route is asked for. The direct one needs a backend that runs. */
const ROUTE_CASES = [
  { route: "direct", routes: ["direct"] },
  { route: "handoff", routes: ["handoff"] },
  { route: "redirect", routes: ["redirect"] },
  { route: "proxy", routes: ["proxy"] },
] as const satisfies readonly { route: Route; routes: readonly Route[] }[];

/** A BrokerWorld whose services run the handoff fixture, with a broker whose channels are of one kind. */
class HandoffWorld {
  readonly world: BrokerWorld;
  readonly effectsPath: string;
  brokerPid = 0;

  private constructor(world: BrokerWorld) {
    this.world = world;
    this.effectsPath = join(world.path, "effects");
  }

  static async open(t: TestContext, channel: Channel): Promise<HandoffWorld> {
    const handoffs = new HandoffWorld(BrokerWorld.open(t));
    handoffs.brokerPid = (await handoffs.world.startBroker({ channel, handoff: true })).pid;
    return handoffs;
  }

  get door(): string {
    return this.world.directory().door;
  }

  define(service: string, reader?: Reader, definition: Partial<ServiceDefinition> = {}): void {
    const given = JSON.stringify({ service, effects: this.effectsPath, ...(reader && { reader }) });
    replaceFile(join(this.world.programs, `${service}-1.0.0.mjs`), `import { runHandoffFixture } from ${JSON.stringify(FIXTURE)};\nawait runHandoffFixture(${given});\n`);
    this.world.define(service, definition);
  }

  /** Starts a service's backend and returns its process. */
  async start(service: string): Promise<number> {
    using client = new RawClient(this.door, helloOf(service, { accepts: ["redirect"] }));
    await client.redirected();
    return await this.pid(service);
  }

  async pid(service: string): Promise<number> {
    const { backends } = await this.world.status();
    return backends.find((backend) => backend.service === service && backend.state === "running")?.pid ?? 0;
  }

  async offers(outcome: string): Promise<number> {
    return await this.world.metric(`holdfast_broker_offers_total{outcome="${outcome}"}`);
  }

  /** How often each id has had its effect. */
  effects(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    const lines = existsSync(this.effectsPath) ? readFileSync(this.effectsPath, "utf8").trimEnd().split("\n") : [];
    for (const id of lines) counts.set(id, (counts.get(id) ?? 0) + 1);
    return counts;
  }
}

for (const channel of CHANNELS) {
  const check = (rule: string, body: (handoffs: HandoffWorld) => Promise<void>) =>
    test(`handoff, ${channel} channel: ${rule}`, { timeout: 60_000 }, async (t) => await body(await HandoffWorld.open(t, channel)));

  check("every byte of a client that never stops writing arrives once and in order, in 500 handoffs", async (handoffs) => {
    handoffs.define("hash");
    await handoffs.start("hash");
    let left = 500;
    await Promise.all(Array.from({ length: 6 }, async () => {
      while (left-- > 0) await chat(handoffs.door);
    }));
    assert.equal(await handoffs.offers("acked"), 500);
  });

  check("of a backend that is stopped or killed in the middle of 100 offers, every client is answered, and nothing runs twice that must not", async (handoffs) => {
    const lanes = ["lane-a", "lane-b", "lane-c", "lane-d"];
    const answered = await Promise.all(lanes.map(async (service) => {
      handoffs.define(service);
      let pid = await handoffs.start(service);
      let count = 0;
      for (let round = 0; round < 25; round++) {
        const disturbance = DISTURBANCES[round % DISTURBANCES.length]!;
        const clients = Array.from({ length: 3 }, (_, index) => askForEffect(service, `${service}-${round}-${index}`, index > 0));
        await disturb(pid, disturbance);
        count += (await within(`round ${round} of ${service}: ${JSON.stringify(disturbance)}`, Promise.all(clients))).filter(Boolean).length;
        // A success in between keeps the breaker closed: the next round's connections are offered too.
        assert.equal(await askForEffect(service, `${service}-${round}-calm`, true), true);
        if (disturbance.kills) pid = await handoffs.pid(service);
      }
      return count;
    }));
    const effects = handoffs.effects();
    for (const service of lanes) {
      for (let round = 0; round < 25; round++) {
        const counts = [0, 1, 2, "calm"].map((index) => effects.get(`${service}-${round}-${index}`) ?? 0);
        assert.ok(counts[0]! <= 1, `${service}, round ${round}: a request that must not run twice ran ${counts[0]} times`);
        assert.ok(counts.slice(1).every((count) => count >= 1), `${service}, round ${round}: ${JSON.stringify(counts)}`);
      }
    }
    assert.ok(answered.every((count) => count >= 50), JSON.stringify(answered));
    const disturbed = (await Promise.all(["lost", "expired", "nacked"].map((outcome) => handoffs.offers(outcome)))).reduce((a, b) => a + b);
    assert.ok(disturbed >= 50, `only ${disturbed} offers were disturbed`);
  });

  check("a backend that was stopped beyond the deadline refuses what it has not begun", async (handoffs) => {
    handoffs.define("work");
    const pid = await handoffs.start("work");
    kill(pid, "SIGSTOP");
    const clients = Array.from({ length: 4 }, (_, index) => new RawClient(handoffs.door, helloOf("work"), `effect late-${index}\n`));
    for (const client of clients) assert.equal(await client.redirected(), "backend-ack-timeout");
    // Without a redirect there is no way on: the connection may be the backend's.
    using stuck = new RawClient(handoffs.door, helloOf("work", { accepts: ["handoff", "proxy"] }), "effect late-proxied\n");
    const answer = await stuck.answer;
    assert.ok(typeof answer === "object" && answer.kind === "refused" && answer.details["reason"] === "backend-ack-timeout", JSON.stringify(answer));
    kill(pid, "SIGCONT");
    for (const client of clients) assert.equal(await client.rest(), "");
    using after = new RawClient(handoffs.door, helloOf("work"), "effect after\n");
    assert.equal(await after.welcome(), "handoff");
    assert.equal(await after.rest(), "did effect after\n");
    assert.deepEqual([...handoffs.effects()], [["after", 1]]);
    for (const client of clients) client.socket.destroy();
  });

  check("H2: a broker that stood still hears the answers of that time before it counts a deadline", async (handoffs) => {
    handoffs.define("work");
    const pid = await handoffs.start("work");
    kill(pid, "SIGSTOP");
    const count = channel === "public" ? 1 : 5; // Node has one connection on its way at a time.
    const clients = Array.from({ length: count }, (_, index) => new RawClient(handoffs.door, helloOf("work"), `say ${index}\n`));
    for (let questions = 0; questions < 3; questions++) await handoffs.world.status(); // Who asks later is answered later.
    const deadlineUs = monotonicUs() + 250_000; // Of offers that have been made by now.
    kill(handoffs.brokerPid, "SIGSTOP");
    kill(pid, "SIGCONT");
    for (const client of clients) assert.equal(await client.welcome(), "handoff");
    await until("the deadline is over", () => monotonicUs() > deadlineUs);
    kill(handoffs.brokerPid, "SIGCONT");
    await until("all answers", async () => (await handoffs.offers("acked")) === count);
    for (const [index, client] of clients.entries()) assert.equal(await client.rest(), `did say ${index}\n`);
    assert.equal(await handoffs.offers("expired"), 0);
    for (const client of clients) client.socket.destroy();
  });

  check("eight failed offers close a backend's way, a success before that forgets them", async (handoffs) => {
    handoffs.define("work");
    const pid = await handoffs.start("work");
    const fail = async (count: number) => {
      kill(pid, "SIGSTOP");
      const clients = Array.from({ length: count }, () => new RawClient(handoffs.door, helloOf("work")));
      const reasons = await Promise.all(clients.map((client) => client.redirected()));
      for (const client of clients) client.socket.destroy();
      kill(pid, "SIGCONT");
      return reasons;
    };
    const timeouts = (count: number) => Array.from({ length: count }, () => "backend-ack-timeout");
    for (let time = 0; time < 2; time++) {
      assert.deepEqual(await fail(7), timeouts(7));
      using eighth = new RawClient(handoffs.door, helloOf("work"), "say eighth\n");
      assert.equal(await eighth.welcome(), "handoff");
    }
    assert.deepEqual(await fail(8), timeouts(8));
    assert.deepEqual(await fail(1), ["failed-attempt-rate-limited"]);
    assert.equal(await handoffs.world.metric('holdfast_broker_connections_total{route="redirect",reason="failed-attempt-rate-limited"}'), 1);
  });

  check("the reasons for not handing over, the first that holds", async (handoffs) => {
    const reasonOf = async (service: string, given: Partial<Hello> = {}) => {
      using client = new RawClient(handoffs.door, helloOf(service, given));
      return await client.redirected();
    };
    handoffs.define("open");
    handoffs.define("closed", undefined, { handoff: false });
    assert.equal(await reasonOf("closed", { accepts: ["redirect"] }), "client-unsupported");
    assert.equal(await reasonOf("closed"), "service-policy-disabled");
    const { backends } = await handoffs.world.status();
    assert.equal(await reasonOf("closed", { build: backends[0]!.build }), "service-policy-disabled");
    const pid = await handoffs.start("open");
    kill(handoffs.brokerPid, "SIGKILL");
    await until("another broker", async () => {
      const { birth } = await handoffs.world.startBroker({ channel, handoff: true });
      return birth.kind === "listening";
    });
    assert.equal(await handoffs.pid("open"), pid);
    assert.equal(await reasonOf("open", { accepts: ["redirect"] }), "client-unsupported");
    assert.equal(await reasonOf("closed"), "service-policy-disabled");
    assert.equal(await reasonOf("open"), "adopted-backend");
  });

  check("a client that ends its side behind its request gets the whole answer, by every route", async (handoffs) => {
    handoffs.define("work");
    await handoffs.start("work");
    const bytes = 3_000_000;
    for (const { route, routes } of ROUTE_CASES) {
      const connection = await connect({ service: "work", version: "1.0.0", routes, idempotentRequest: Buffer.from(`bytes ${bytes}\n`) });
      connection.socket.end();
      assert.equal(connection.route, route);
      assert.equal(await within(route, hashOf(connection.socket, "data-at-once")), hashOfPattern(bytes), route);
    }
    // The end comes with the request, before anybody has looked at the Hello.
    for (const accepts of [["handoff"], ["proxy"]] as const) {
      using client = new RawClient(handoffs.door, helloOf("work", { accepts: [...accepts] }), `bytes ${bytes}\n`);
      client.socket.end();
      assert.equal(await client.welcome(), accepts[0]);
      assert.equal(await within(accepts[0], hashOf(client.socket, "data-at-once")), hashOfPattern(bytes), accepts[0]);
    }
  });

  check("large answers to slow readers, by every route, and the broker keeps none of it", async (handoffs) => {
    handoffs.define("work");
    await handoffs.start("work");
    const bytes = 50_000_000;
    using admin = await BrokerClient.open(handoffs.world.directory());
    const residentBytes = async () => ((await admin.ask("status")) as BrokerStatus).residentBytes;
    for (const { route, routes } of channel === "raw" ? ROUTE_CASES : ROUTE_CASES.slice(1, 2)) {
      const before = await residentBytes();
      const { socket, ...connection } = await connect({ service: "work", version: "1.0.0", routes });
      assert.equal(connection.route, route);
      socket.write(`bytes ${bytes}\n`);
      // Nobody reads yet. In this time a broker that takes what it can get would have all of it.
      let peak = before;
      for (let sample = 0; sample < 20; sample++) peak = Math.max(peak, await sleep(15).then(residentBytes));
      assert.ok(peak - before < 15_000_000, `${route}: the broker grew by ${peak - before} bytes`);
      const hash = createHash("sha256");
      let read = 0;
      for await (const chunk of socket as AsyncIterable<Buffer>) {
        hash.update(chunk);
        const isPause = Math.floor(read / 5_000_000) !== Math.floor((read + chunk.length) / 5_000_000);
        read += chunk.length;
        if (isPause) await sleep(20);
      }
      assert.equal(hash.digest("hex"), hashOfPattern(bytes), route);
    }
  });

  check("however late and by whatever way the application reads its socket, nothing is lost", async (handoffs) => {
    const bytes = 300_000;
    const hash = hashOfPattern(bytes);
    for (const reader of READERS) handoffs.define(reader, reader);
    handoffs.define("work");
    await Promise.all([...READERS, "work"].map((service) => handoffs.start(service)));
    await Promise.all(READERS.map(async (reader) => {
      for (const { route, routes } of ROUTE_CASES) {
        const what = `${reader} by ${route}`;
        // At the backend: one part comes with the Hello, one later.
        const [first, ...later] = patternOf(bytes);
        const sent = await connect({ service: reader, version: "1.0.0", routes, idempotentRequest: first! });
        assert.equal(sent.route, route);
        for (const block of later) sent.socket.write(block);
        sent.socket.end();
        assert.equal(await within(`the backend, ${what}`, text(sent.socket)), `${hash}\n`, `the backend, ${what}`);
        // At the client: the answer may be here before the application looks.
        const asked = await connect({ service: "work", version: "1.0.0", routes, idempotentRequest: Buffer.from(`bytes ${bytes}\n`) });
        assert.equal(await within(`the client, ${what}`, hashOf(asked.socket, reader)), hash, `the client, ${what}`);
        asked.socket.destroy();
      }
    }));
  });
}

test("an answer that is as short as its first frame still ends for who reads it late", { timeout: 30_000 }, async (t) => {
  const handoffs = await HandoffWorld.open(t, "raw");
  handoffs.define("work");
  await handoffs.start("work");
  for (const { routes } of ROUTE_CASES) {
    const { socket } = await connect({ service: "work", version: "1.0.0", routes, idempotentRequest: Buffer.from("bytes 0\n") });
    socket.resume();
    await until("the end", () => socket.readableEnded);
  }
});

/** Says Hello and writes without a pause, until the backend has welcomed it and a while longer. */
async function chat(door: string): Promise<void> {
  const turn = randomInt(1 << 20);
  const chunk = (index: number) => Buffer.alloc(1 + (((turn + index) * 7919) % 40_000), turn + index);
  for (;;) {
    const hash = createHash("sha256");
    using client = new RawClient(door, helloOf("hash", { accepts: ["handoff"] }), "hash\n");
    let [isWelcome, index, left] = [false, 0, 100_000];
    const write = () => {
      for (let hasRoom = true; hasRoom && left > 0; ) {
        const bytes = chunk(index++);
        hash.update(bytes);
        if (isWelcome) left -= bytes.length;
        hasRoom = client.socket.write(bytes);
      }
      if (left <= 0) client.socket.end();
    };
    client.socket.on("drain", write);
    write();
    const answer = await client.answer;
    // Too many at once, or a backend that a busy machine kept from its work for 200 ms: this client takes no other way.
    if (typeof answer === "object" && answer.kind === "refused" && answer.retryAfterMs !== null) {
      await sleep(Math.min(answer.retryAfterMs, 50));
      continue;
    }
    assert.equal(await client.welcome(), "handoff");
    isWelcome = true;
    assert.equal(await client.rest(), `${hash.digest("hex")}\n`);
    return;
  }
}

/** What happens to a backend while connections are offered to it; `first`: before they are made. */
const DISTURBANCES = [
  { kills: false, forMs: 20 },
  { kills: false, forMs: 280 },
  { kills: true, forMs: 10 },
  { kills: false, forMs: 245 },
  { kills: true, forMs: 0 },
] as const;
type Disturbance = (typeof DISTURBANCES)[number];

/** The clients have just dialled: within these few turns their connections are offered. */
async function disturb(pid: number, { kills, forMs }: Disturbance): Promise<void> {
  await sleep(randomInt(3));
  kill(pid, kills && forMs === 0 ? "SIGKILL" : "SIGSTOP");
  await sleep(forMs);
  kill(pid, kills ? "SIGKILL" : "SIGCONT");
}

/** Asks until it is answered; a request that must not run twice only once. False if that one was lost. */
async function askForEffect(service: string, id: string, isIdempotent: boolean): Promise<boolean> {
  const request = Buffer.from(`effect ${id}\n`);
  for (;;) {
    const connection: Connection = await connect({
      service, version: "1.0.0", routes: ["handoff", "redirect", "proxy"], ...(isIdempotent && { idempotentRequest: request }),
    });
    connection.socket.on("error", () => {});
    if (!isIdempotent) connection.socket.write(request);
    const answer = await text(connection.socket).catch(() => "");
    if (answer === `did effect ${id}\n`) return true;
    assert.equal(answer, "", `an answer that is not ours: ${answer}`);
    if (!isIdempotent) return false;
  }
}
