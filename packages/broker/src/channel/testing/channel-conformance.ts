import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { text } from "node:stream/consumers";
import { readAgain } from "../stop-reading.ts";
import { prepareChannel } from "../prepare-channel.ts";
import { helloOf } from "./hello.ts";
import { TestBackend, type TestBackendOptions } from "./test-backend.ts";
import { TestDoor, type Caller } from "./test-door.ts";

/** As many as a chatty client needs to lose bytes in, if bytes can be lost. */
const HANDOFFS = 100;
/** A whole read's worth, and more than the raw channel's frame can be read in at once. */
const REST_BYTES = 64 * 1024;

/** What every channel that passes connections promises (handoff-channel.ts), between real processes. */
export function channelConformance(kind: "raw" | "public"): void {
  for (const network of ["Unix socket", "TCP"] as const) {
    const check = (rule: string, body: (bench: Bench) => Promise<void>) =>
      test(`${kind} channel, ${network}: ${rule}`, { timeout: 60_000 }, async () => {
        const directory = mkdtempSync(join(tmpdir(), "channel-"));
        const bench = new Bench(kind, network === "TCP" ? 0 : join(directory, "door"), directory);
        try {
          await body(bench);
        } finally {
          await bench.close();
          rmSync(directory, { recursive: true });
        }
      });

    check("a connection arrives with what was read of it, and what comes later", async (bench) => {
      const backend = await bench.backend();
      const [client] = await bench.clients(1);
      client!.write("early, ");
      const [caller] = await bench.callers(1);
      backend.offer(caller!);
      client!.end("late");
      assert.equal(await text(client!), `welcome\n${expected(0, "early, late")}`);
      assert.deepEqual(backend.answers, [{ id: 0, accepted: true }]);
    });

    check("C1: our own copy stays open after the answer, and what is written on it arrives", async (bench) => {
      const backend = await bench.backend();
      const [client] = await bench.clients(1);
      const [caller] = await bench.callers(1);
      backend.offer(caller!);
      await backend.until(() => backend.answers.length === 1);
      assert.equal(caller!.socket.destroyed, false);
      await once(client!, "readable"); // "welcome"
      await new Promise((done) => caller!.socket.write("from the broker\n", done));
      caller!.socket.destroy(); // and not the connection with it
      client!.end();
      assert.equal(await text(client!), `welcome\nfrom the broker\n${expected(0, "")}`);
    });

    check(`no byte is lost of clients that write without a pause, in ${HANDOFFS} handoffs`, async (bench) => {
      const backend = await bench.backend();
      const offered = new Map<number, Socket>();
      const door = await bench.door((caller) => {
        offered.set(caller.client, caller.socket);
        backend.offer(caller);
      }, (client) => (client % 4 === 0 ? REST_BYTES : 0));
      const clients = spawn(process.execPath, [
        "--conditions=holdfast-source", join(import.meta.dirname, "chatty-client.ts"),
        JSON.stringify({ target: door.target, count: HANDOFFS, atOnce: 8 }),
      ], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
      const [{ wrong }] = (await once(clients, "message")) as [{ wrong: string[] }];
      assert.deepEqual(wrong, []);
      assert.deepEqual(backend.answers.filter(({ accepted }) => !accepted), []);
      assert.equal(offered.size, HANDOFFS);
      for (const socket of offered.values()) socket.destroy();
    });

    check("C2: 64 offers of one tick arrive in order, each with its own connection", async (bench) => {
      const backend = await bench.backend();
      await handOver(bench, backend, 64, () => 0);
    });

    check("C2: so do those with a rest larger than a read, to a backend that stood still meanwhile", async (bench) => {
      const backend = await bench.backend();
      backend.child.kill("SIGSTOP");
      await handOver(bench, backend, 64, (id) => (id % 3 === 0 ? 3 * REST_BYTES : id), () => backend.child.kill("SIGCONT"));
    });

    check("a connection that the backend has no descriptor for is refused or never answered; no other takes its place", async (bench) => {
      const backend = await bench.backend({ descriptorsMax: 100 });
      const clients = await bench.clients(9);
      const callers = await bench.callers(9);
      const offer = (ids: number[]) => {
        for (const id of ids) backend.offer({ ...callers[id]!, rest: randomBytes(id % 2 === 0 ? 0 : 2 * REST_BYTES) });
      };
      offer([0, 1]);
      await backend.until(() => backend.answers.length === 2);
      await backend.command({ do: "starve" });
      offer([2, 3, 4, 5]);
      if (kind === "raw") await backend.until(() => backend.answers.length === 6); // On the public channel commands follow offers.
      await backend.command({ do: "free", count: 1 });
      offer([6]);
      await backend.until(() => backend.answers.some(({ id }) => id === 6));
      const { offers } = await backend.command({ do: "free", count: 10 });
      assert.deepEqual(offers, offers.filter(({ id, arrived }) => arrived === [0, 1, 6].includes(id)));
      assert.deepEqual(backend.answers, offers.map(({ id, arrived }) => (arrived ? { id, accepted: true } : { id, accepted: false, reason: "no-handle" })));
      offer([7, 8]);
      await backend.until(() => backend.answers.some(({ id }) => id === 8));
      for (const id of [0, 1, 6, 7, 8]) assert.match(await answerTo(clients[id]!), new RegExp(`^welcome\n${id} `));
      for (const id of [2, 3, 4, 5]) callers[id]!.socket.end("dial\n");
      for (const id of [2, 3, 4, 5]) assert.equal(await text(clients[id]!), "dial\n");
    });

    check("C1, C3: of a backend that is killed with connections on their way, they are ours again", async (bench) => {
      const backend = await bench.backend();
      const clients = await bench.clients(16);
      const callers = await bench.callers(16);
      backend.child.kill("SIGSTOP");
      for (const caller of callers) backend.offer({ ...caller, rest: randomBytes(caller.client % 2 === 0 ? 0 : REST_BYTES) });
      const exited = once(backend.child, "exit");
      backend.child.kill("SIGKILL");
      await Promise.all([exited, backend.until(() => backend.losses > 0)]);
      assert.deepEqual([backend.losses, backend.answers], [1, []]);
      for (const { socket } of callers) {
        assert.equal(socket.destroyed, false);
        socket.end("dial another\n");
      }
      for (const client of clients) assert.equal(await text(client), "dial another\n");
      const again = await bench.backend(); // One that lives takes them as well as the first would have.
      const [late] = await bench.clients(1);
      const [caller] = await bench.callers(1);
      assert.throws(() => backend.offer(caller!), { code: "BACKEND_LOST" });
      again.offer(caller!);
      assert.match(await answerTo(late!), /^welcome\n0 /);
      assert.equal(backend.losses, 1);
    });

    check("C4: what a backend had answered before it was killed is heard before its loss", async (bench) => {
      for (let round = 0; round < 10; round++) {
        const backend = await bench.backend();
        await backend.command({ do: "die-behind", answers: 3 });
        await bench.clients(8);
        for (const caller of await bench.callers(8)) backend.offer(caller);
        await backend.until(() => backend.losses > 0);
        assert.deepEqual(backend.answers.slice(0, 3).map(({ id, accepted }) => [id, accepted]), [[0, true], [1, true], [2, true]]);
        assert.equal(backend.losses, 1);
      }
    });

    check("connections that are given up while they wait do no harm to those behind them", async (bench) => {
      const backend = await bench.backend();
      const clients = await bench.clients(32);
      const callers = await bench.callers(32);
      backend.child.kill("SIGSTOP");
      for (const caller of callers) backend.offer({ ...caller, rest: randomBytes(REST_BYTES) });
      for (const { client, socket } of callers) {
        if (client < 31) socket.end("dial\n", () => socket.destroy());
      }
      for (const client of clients.slice(0, 31)) assert.equal(await text(client), "dial\n");
      backend.child.kill("SIGCONT");
      assert.match(await answerTo(clients[31]!), /^welcome\n31 /);
      const ids = backend.answers.map(({ id }) => id);
      assert.deepEqual(ids, ids.toSorted((a, b) => a - b));
      const refused = backend.answers.filter((answer) => !answer.accepted && answer.reason !== "no-handle");
      assert.deepEqual(refused, []);
    });

    check("a connection that is gone, or being read, cannot be offered", async (bench) => {
      const backend = await bench.backend();
      await bench.clients(2);
      const [gone, read] = await bench.callers(2);
      gone!.socket.destroy();
      assert.throws(() => backend.offer(gone!), { code: "BACKEND_LOST" });
      readAgain(read!.socket);
      read!.socket.resume();
      assert.throws(() => backend.offer(read!), { code: "OPTION_INVALID" });
      assert.deepEqual((await backend.command({ do: "list" })).offers, []);
    });

    check("other messages pass by, on both sides", async (bench) => {
      const backend = await bench.backend();
      const [client] = await bench.clients(1);
      const [caller] = await bench.callers(1);
      for (const message of ["offer", 7, [], { kind: "quiesce", withinMs: 1 }, { kind: "told", message: { kind: "ack", id: 1 } }]) {
        backend.child.send(message);
      }
      backend.offer(caller!);
      assert.match(await answerTo(client!), /^welcome/);
      assert.deepEqual((await backend.command({ do: "list" })).offers, [{ id: 0, arrived: true }]);
      assert.equal(backend.answers.length, 1);
    });

    check("C3: a backend that answers nonsense, one that ends, and a channel that we close", async (bench) => {
      const [babbling, ending, closing] = [await bench.backend(), await bench.backend(), await bench.backend()];
      await babbling.command({ do: "answer", id: -1 });
      await babbling.until(() => babbling.losses === 1);
      ending.child.send({ do: "exit" });
      await once(ending.child, "exit");
      await ending.until(() => ending.losses === 1);
      closing.channel.close();
      closing.channel.close();
      await closing.command({ do: "answer", id: 1 });
      await bench.clients(1);
      const [caller] = await bench.callers(1);
      for (const backend of [babbling, ending, closing]) assert.throws(() => backend.offer(caller!), { code: "BACKEND_LOST" });
      await closing.end();
      assert.deepEqual([babbling, ending, closing].map(({ losses, answers }) => [losses, answers.length]), [[1, 0], [1, 0], [0, 0]]);
    });

    check("our server can be closed while connections live on that it accepted", async (bench) => {
      const backend = await bench.backend();
      const [client] = await bench.clients(1);
      const [caller] = await bench.callers(1);
      backend.offer(caller!);
      await backend.until(() => backend.answers.length === 1);
      caller!.socket.destroy();
      const { server } = await bench.door();
      await new Promise((done) => server.close(done));
      assert.match(await answerTo(client!), /^welcome\n0 /);
    });
  }
}

/** Offers `count` connections in one tick, and checks that each client is answered for its own offer and bytes. */
async function handOver(
  bench: Bench, backend: TestBackend, count: number, restBytes: (id: number) => number, then: () => void = () => {},
): Promise<void> {
  const clients = await bench.clients(count);
  const callers = await bench.callers(count);
  const rests = callers.map(({ client }) => randomBytes(restBytes(client)));
  for (const caller of callers) backend.offer({ ...caller, rest: rests[caller.client]! });
  then();
  for (const [id, client] of clients.entries()) {
    client.end(`from ${id}`);
    assert.equal(await text(client), `welcome\n${expected(id, rests[id]!, `from ${id}`)}`);
  }
  assert.deepEqual(backend.answers, callers.map(({ client }) => ({ id: client, accepted: true })));
  for (const { socket } of callers) socket.destroy();
}

async function answerTo(client: Socket): Promise<string> {
  client.end();
  return await text(client);
}

function expected(id: number, ...sent: (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of sent) hash.update(part);
  return `${id} ${hash.digest("hex")}\n`;
}

/** A door, its clients and backends; all are closed with it. */
class Bench {
  readonly #kind: "raw" | "public";
  readonly #where: string | number;
  readonly #directory: string;
  readonly #backends: TestBackend[] = [];
  readonly #sockets: Socket[] = [];
  #door: Promise<TestDoor> | undefined;

  constructor(kind: "raw" | "public", where: string | number, directory: string) {
    this.#kind = kind;
    this.#where = where;
    this.#directory = directory;
  }

  async backend(options?: TestBackendOptions): Promise<TestBackend> {
    const backend = new TestBackend(await prepareChannel({ kind: this.#kind, directory: this.#directory }), options);
    assert.equal(backend.channel.kind, this.#kind);
    this.#backends.push(backend);
    await backend.report("start");
    return backend;
  }

  door(...options: [((caller: Caller) => void)?, ((client: number) => number)?]): Promise<TestDoor> {
    return (this.#door ??= TestDoor.open(this.#where, ...options));
  }

  /** Connected, with their Hello sent. */
  async clients(count: number): Promise<Socket[]> {
    const { target } = await this.door();
    return Array.from({ length: count }, (_, index) => {
      const client = typeof target === "number" ? connect({ port: target, allowHalfOpen: true }) : connect({ path: target, allowHalfOpen: true });
      client.write(helloOf(index));
      this.#sockets.push(client);
      return client;
    });
  }

  async callers(count: number): Promise<Caller[]> {
    const callers = await (await this.door()).callers(count);
    this.#sockets.push(...callers.map(({ socket }) => socket));
    return callers;
  }

  async close(): Promise<void> {
    for (const backend of this.#backends) await backend.end();
    for (const socket of this.#sockets) socket.destroy();
    (await this.#door)?.server.close();
  }
}
