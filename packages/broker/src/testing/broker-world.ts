/**
 * A world of brokers, backends and clients for one test: real processes that know no other. Everything that runs in it
 * carries the path of its directory in its environment, and ends with it.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { ProcessLock } from "@holdfast/host/process-lock";
import { BrokerClient } from "../client/broker-client.ts";
import { connect } from "../client/connect.ts";
import { DomainDirectory } from "../runtime/domain-directory.ts";
import { isAlive } from "../runtime/process-facts.ts";
import { FRESH_MS } from "../services/brief-memo.ts";
import { BuildIds } from "../services/build-id.ts";
import { ClientProcess } from "./client-process.ts";
import { Conversation } from "./conversation.ts";
import { until, within } from "./until.ts";
import type { ChildProcess } from "node:child_process";
import type { Readable } from "node:stream";
import type { TestContext } from "node:test";
import type { BrokerStatus } from "../broker/operations.ts";
import type { BrokerBirth } from "../client/start-broker.ts";
import type { Connection, ConnectOptions } from "../client/connect.ts";
import type { FixtureBehaviour, FixtureStart } from "./fixture-backend.ts";
import type { ServiceDefinition } from "../services/service-definition.ts";

const FIXTURE = pathToFileURL(fileURLToPath(new URL("./fixture-backend.ts", import.meta.url))).href;
const BROKER_MAIN = fileURLToPath(new URL("../broker/broker-main.ts", import.meta.url));
const NODE_FLAGS = ["--conditions=holdfast-source", "--disable-warning=ExperimentalWarning"];

export interface BrokerProcessOptions {
  /** Default "shared". */
  readonly domain?: string;
  readonly idleMs?: number;
  readonly channel?: "raw" | "public" | "auto";
  readonly handoff?: boolean;
  readonly environment?: Readonly<NodeJS.ProcessEnv>;
}

/** A broker's process as whoever starts it sees it. */
export interface BrokerProcess {
  readonly pid: number;
  readonly birth: BrokerBirth;
  readonly child: ChildProcess;
  readonly exited: Promise<Ended>;
}

/** How a process ended, and what it had written. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
}

export interface HandRun {
  readonly pid: number;
  readonly ended: Promise<Ended>;
}

export class BrokerWorld {
  readonly path = realpathSync(mkdtempSync(join(tmpdir(), "hf-")));
  readonly runtime = join(this.path, "run");
  readonly services = join(this.path, "services");
  readonly programs = join(this.path, "programs");
  readonly #starts = join(this.path, "starts");
  readonly #before = { ...process.env };

  private constructor() {
    for (const directory of [this.runtime, this.services, this.programs, this.#starts]) mkdirSync(directory, { mode: 0o700 });
    Object.assign(process.env, this.#own());
    delete process.env["HOLDFAST_BROKER"];
  }

  /** Clients in this process live in it too, until the test ends; so one test of a process has one at a time. */
  static open(test: TestContext): BrokerWorld {
    const world = new BrokerWorld();
    test.after(() => world.end());
    return world;
  }

  /** Of a client's process. */
  environment(more: Readonly<NodeJS.ProcessEnv> = {}): NodeJS.ProcessEnv {
    return { ...this.#before, ...this.#own(), ...more };
  }

  directory(domain = "shared"): DomainDirectory {
    return new DomainDirectory(domain, this.runtime);
  }

  /** Defines a service whose programs are those of `program`. Written in one step: clients read it at any time. */
  define(service: string, definition: Partial<ServiceDefinition> = {}): void {
    this.writeDefinition(service, JSON.stringify({
      service, root: this.programs, entry: join(this.programs, `${service}-{version}.mjs`), nodeOptions: NODE_FLAGS, ...definition,
    }));
  }

  writeDefinition(service: string, text: string): void {
    replaceFile(join(this.services, `${service}.json`), text);
  }

  /** The program of one version. Of another `revision` it is another build, which behaves the same. Returns its build. */
  program(service: string, version: string, behaviour: Partial<FixtureBehaviour> = {}, revision = 1): string {
    const path = join(this.programs, `${service}-${version}.mjs`);
    const given = { starts: this.#starts, service, ...behaviour };
    replaceFile(path, `// revision ${revision}\nimport { runFixture } from ${JSON.stringify(FIXTURE)};\nawait runFixture(${JSON.stringify(given)});\n`);
    return new BuildIds().buildId(path);
  }

  /** A service with one version, defined and ready to be started. Returns its build. */
  service(service: string, version = "1.0.0", behaviour: Partial<FixtureBehaviour> = {}): string {
    this.define(service);
    return this.program(service, version, behaviour);
  }

  /** Every start of a service's backends so far, by whomever. */
  starts(service: string): readonly FixtureStart[] {
    const all = readdirSync(this.#starts).map((name) => readFileSync(join(this.#starts, name), "utf8"));
    return all.filter((text) => text !== "").map((text) => JSON.parse(text) as FixtureStart).filter((start) => start.service === service);
  }

  /** Starts a broker's process itself, with options that `connect` does not set; resolves with what it says. */
  async startBroker(options: BrokerProcessOptions = {}): Promise<BrokerProcess> {
    const { domain = "shared", idleMs, channel, handoff, environment = {} } = options;
    const args = ["--domain", domain, "--root", this.runtime, "--services", this.services];
    if (idleMs !== undefined) args.push("--idle-ms", String(idleMs));
    if (channel !== undefined) args.push("--channel", channel);
    if (handoff !== undefined) args.push("--handoff", handoff ? "on" : "off");
    const child = spawn(process.execPath, [...NODE_FLAGS, BROKER_MAIN, ...args], { env: this.environment(environment), stdio: ["ignore", "pipe", "pipe", "ipc"] });
    const exited = collect(child);
    const birth = await within("the broker's first word", new Promise<BrokerBirth>((done, refuse) => {
      child.once("message", done);
      child.once("error", refuse);
      void exited.then(({ output }) => refuse(new Error(`the broker said nothing: ${output}`)));
    }));
    return { pid: child.pid ?? 0, birth, child, exited };
  }

  /** Runs a program as somebody at a terminal would: no broker knows of it. Resolves when it serves, or has ended. */
  async runByHand(service: string, version = "1.0.0"): Promise<HandRun> {
    const child = spawn(process.execPath, [...NODE_FLAGS, join(this.programs, `${service}-${version}.mjs`)], { env: this.environment(), stdio: ["ignore", "pipe", "pipe"] });
    const ended = collect(child);
    await within(`${service} by hand`, Promise.race([once(child.stdout as Readable, "data"), ended]));
    return { pid: child.pid ?? 0, ended };
  }

  /** The broker that serves a domain now, by its lock's file; undefined if that process is gone. */
  brokerPid(domain = "shared"): number | undefined {
    const pid = ProcessLock.holder(this.directory(domain).lock);
    return pid !== undefined && isAlive(pid) ? pid : undefined;
  }

  /** Every process of a broker's, also of one that did not stay. */
  brokers(): readonly number[] {
    return this.pids().filter((pid) => commandOf(pid).includes("broker-main.ts"));
  }

  async status(domain = "shared"): Promise<BrokerStatus> {
    using client = await BrokerClient.open(this.directory(domain));
    return (await within("the broker's status", client.ask("status"))) as BrokerStatus;
  }

  /** One number of the broker's metrics; 0 if it is not there. `sample` is the name with its labels as they are written. */
  async metric(sample: string, domain = "shared"): Promise<number> {
    using client = await BrokerClient.open(this.directory(domain));
    const text = (await within("the broker's metrics", client.ask("metrics"))) as string;
    const line = text.split("\n").find((candidate) => candidate.startsWith(`${sample} `));
    return line === undefined ? 0 : Number(line.slice(sample.length + 1));
  }

  async clients(environment: Readonly<NodeJS.ProcessEnv> = {}): Promise<ClientProcess> {
    return await ClientProcess.start(this.environment(environment));
  }

  /** Connects from this process. */
  async connect(service: string, options: Partial<ConnectOptions> = {}): Promise<Connection & { readonly talk: Conversation }> {
    const connection = await connect({ service, version: "1.0.0", ...options });
    return { ...connection, talk: new Conversation(connection.socket) };
  }

  /** Connects, asks one line, leaves. */
  async visit(service: string, options: Partial<ConnectOptions> = {}): Promise<Connection & { readonly answer: string }> {
    const { talk, ...connection } = await this.connect(service, options);
    using _ = talk;
    return { ...connection, answer: await within(`an answer of ${service}`, talk.ask("hello")) };
  }

  /** Every process that belongs to this world, besides the test's own. */
  pids(): readonly number[] {
    const numbers = readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number);
    return numbers.filter((pid) => pid !== process.pid && isAlive(pid) && environmentOf(pid).includes(this.path));
  }

  /** Ends them all. Again and again: what is killed last may just have started another. */
  async end(): Promise<void> {
    await until("the end of all processes", () => {
      const pids = this.pids();
      for (const pid of pids) kill(pid, "SIGKILL");
      return pids.length === 0;
    });
    for (const name of Object.keys(process.env)) if (!(name in this.#before)) delete process.env[name];
    Object.assign(process.env, this.#before);
    rmSync(this.path, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }

  #own(): NodeJS.ProcessEnv {
    return { HOLDFAST_RUNTIME_DIR: this.runtime, HOLDFAST_SERVICES: this.services, HOLDFAST_ALLOW_ROOT: "1" };
  }
}

/** Waits until a process is gone. */
export async function gone(pid: number): Promise<void> {
  await until(`the end of process ${pid}`, () => !isAlive(pid));
}

/** A process that has ended meanwhile is none to complain about. */
export function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It is gone.
  }
}

export function replaceFile(path: string, text: string): void {
  const isReplaced = existsSync(path);
  writeFileSync(`${path}.new`, text, { mode: 0o600 });
  renameSync(`${path}.new`, path);
  // Whoever has seen the file before takes that for what is there, for a moment.
  if (isReplaced) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FRESH_MS + 5);
}

function collect(child: ChildProcess): Promise<Ended> {
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk) => (output += String(chunk)));
  return new Promise((done) => child.once("close", (code, signal) => done({ code, signal, output })));
}

function environmentOf(pid: number): string {
  return readOrNothing(`/proc/${pid}/environ`);
}

function commandOf(pid: number): string {
  return readOrNothing(`/proc/${pid}/cmdline`);
}

function readOrNothing(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
