/** A broker and a backend in processes of their own, from what is published: built, not stripped. This process is the client. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BrokerClient, connect, DomainDirectory, isRunning, readIdentities, trySignal } from "@holdfast/broker";
import { BROKER_FLAGS } from "../../packages/broker/src/client/start-broker.ts";
import { scratchDirectory } from "../harness.ts";
import type { ChildProcess } from "node:child_process";
import type { BrokerStatus, Connection, Route } from "@holdfast/broker";

const HERE = import.meta.dirname;
const ROOT = join(HERE, "..", "..");
const BROKER_MAIN = join(ROOT, "packages/broker/dist/broker/broker-main.js");
const FLAGS = ["--disable-warning=ExperimentalWarning"];
/** The limit on Hellos is no part of what is measured. */
const HELLOS_PER_SECOND = "1000000";

export const REQUEST = Buffer.from("the first request, 64 bytes long, as an idempotent one that it is");

/** How a client gets to the backend. */
export type Way = "direct" | "reconnect" | "handoff" | "proxy";
const ROUTES: Readonly<Record<Way, Route>> = { direct: "direct", reconnect: "redirect", handoff: "handoff", proxy: "proxy" };

export class BrokerWorld implements AsyncDisposable {
  readonly #scratch = scratchDirectory();
  #broker: ChildProcess | undefined;

  static async open(): Promise<BrokerWorld> {
    const built = spawnSync(process.execPath, [join(ROOT, "node_modules/typescript/bin/tsc"), "-b"], { cwd: ROOT, stdio: ["ignore", "inherit", "inherit"] });
    if (built.status !== 0) throw new Error("the packages do not build");
    const world = new BrokerWorld();
    process.env["HOLDFAST_RUNTIME_DIR"] = join(world.#scratch.path, "run");
    process.env["HOLDFAST_SERVICES"] = join(world.#scratch.path, "services");
    process.env["HOLDFAST_ALLOW_ROOT"] = "1";
    for (const name of ["run", "services"]) mkdirSync(join(world.#scratch.path, name), { mode: 0o700 });
    world.#define();
    await world.#startBroker();
    return world;
  }

  /** Connects and waits for the first reply. Throws if it came by another route. Returns µs. */
  async sample(way: Way): Promise<number> {
    const beganAt = performance.now();
    const connection = await this.#connect(way);
    await firstReply(connection);
    const tookUs = (performance.now() - beganAt) * 1000;
    connection.socket.destroy();
    if (connection.route !== ROUTES[way]) throw new Error(`${way} went by ${connection.route}: ${connection.reason ?? ""}`);
    return tookUs;
  }

  async residentMb(): Promise<number> {
    using client = await BrokerClient.open(new DomainDirectory("shared"));
    return ((await client.ask("status")) as BrokerStatus).residentBytes / 1e6;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const identity of readIdentities(new DomainDirectory("shared"))) if (isRunning(identity)) trySignal(identity.pid, "SIGKILL");
    this.#broker?.kill("SIGKILL");
    if (this.#broker !== undefined) await once(this.#broker, "exit");
    this.#scratch[Symbol.dispose]();
  }

  #connect(way: Way): Promise<Connection> {
    return connect({ service: "echo", version: "1.0.0", routes: [ROUTES[way]], idempotentRequest: REQUEST });
  }

  #define(): void {
    const definition = { service: "echo", root: HERE, entry: join(HERE, "echo-backend.ts"), nodeOptions: FLAGS };
    writeFileSync(join(process.env["HOLDFAST_SERVICES"] as string, "echo.json"), JSON.stringify(definition), { mode: 0o600 });
  }

  async #startBroker(): Promise<void> {
    const { HOLDFAST_RUNTIME_DIR: root = "", HOLDFAST_SERVICES: services = "" } = process.env;
    const argv = [BROKER_MAIN, "--domain", "shared", "--root", root, "--services", services, "--handoff", "on", "--hellos-per-second", HELLOS_PER_SECOND];
    this.#broker = spawn(process.execPath, [...BROKER_FLAGS, ...argv], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    await once(this.#broker, "message");
  }
}

async function firstReply({ socket }: Connection): Promise<void> {
  let missing = REQUEST.length;
  await new Promise<void>((done, refuse) => {
    socket.on("data", (chunk: Buffer) => {
      missing -= chunk.length;
      if (missing <= 0) done();
    });
    socket.once("close", () => refuse(new Error("no reply")));
    socket.once("error", refuse);
  });
}
