import { spawn } from "node:child_process";
import { closeSync, openSync, renameSync } from "node:fs";
import { RuntimeError } from "@holdfast/core/peer";
import { taskEnvironment } from "../backend/backend-task.ts";
import { prepareChannel } from "../channel/prepare-channel.ts";
import { checkMessage } from "../protocol/message-stream.ts";
import { ToBroker } from "../protocol/messages.ts";
import { newSecret, removeIdentity } from "../runtime/backend-identity.ts";
import { bindRenamed, withFreeEndpoint } from "../runtime/endpoint.ts";
import { outputSince, outputSize } from "../runtime/output-tail.ts";
import type { ChildProcess } from "node:child_process";
import type { Server } from "node:net";
import type { HandoffChannel, OfferAnswer, PreparedChannel } from "../channel/handoff-channel.ts";
import type { DomainDirectory, ServiceKey } from "../runtime/domain-directory.ts";
import type { BackendExit, RunningBackend } from "./running-backend.ts";

/** Readiness must come within this; it counts only while the process lives. */
const READY_MS_MAX = 60_000;
/** What a backend wrote is set aside when it has grown to this: at most twice as much is kept. */
const OUTPUT_BYTES_MAX = 10_000_000;

/** Unless the process has left a child that holds the channel, its end follows the process's at once. */
const CHANNEL_END_MS_MAX = 200;

/** What to start. */
export interface StartPlan {
  readonly key: ServiceKey;
  /** Flags of node, then the program and its arguments. */
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly environment: Readonly<Record<string, string>>;
}

export type ChannelKind = "raw" | "public" | "auto";

/** It ended before it was ready, or said that it never will be. */
export class StartFailure extends Error {
  override readonly name = "StartFailure";
  /** Set if starting it again would not help. */
  readonly unable: { readonly code: string; readonly message: string } | undefined;

  /** The end of what it wrote to stdout and stderr. */
  readonly output: string;

  constructor(message: string, output: string, unable: StartFailure["unable"]) {
    super(message);
    this.output = output;
    this.unable = unable;
  }
}

interface Spawned {
  readonly child: ChildProcess;
  readonly prepared: PreparedChannel;
  /** Size of the output's file before. */
  readonly outputFrom: number;
}

/**
 * A backend that this broker has started: a process of its own session, which outlives the broker.
 *
 *     starting ──ready──▶ running ──exit──▶ gone
 *     starting ──exit, unable, or 60 s──▶ gone (StartFailure)
 */
export class BackendProcess implements RunningBackend {
  readonly key: ServiceKey;
  readonly endpoint: string;
  readonly adopted = false;
  readonly ready: Promise<this>;
  readonly exited: Promise<BackendExit>;
  channel: HandoffChannel | undefined;
  info: unknown = null;
  draining = false;
  readonly startedAtMs = performance.now();
  onAnswer: (answer: OfferAnswer) => void = () => {};
  onChannelLost: () => void = () => {};
  onTold: (message: unknown) => void = () => {};
  readonly #directory: DomainDirectory;
  readonly #child: ChildProcess;
  readonly #ready = Promise.withResolvers<this>();
  readonly #exited = Promise.withResolvers<BackendExit>();
  readonly #channelLost = Promise.withResolvers<void>();
  readonly #late: NodeJS.Timeout;
  /** Size of the output's file when it was started. */
  readonly #outputFrom: number;
  #unable: StartFailure["unable"];

  /** Throws ENDPOINT_BUSY if somebody serves there already; StartFailure comes by `ready`. */
  static async start(directory: DomainDirectory, plan: StartPlan, channel: ChannelKind): Promise<BackendProcess> {
    const prepared = await prepareChannel({ kind: channel, directory: directory.path });
    try {
      const secret = newSecret();
      return await withFreeEndpoint(directory, plan.key, (path) => {
        const outputFrom = trimOutput(directory.output(plan.key)); // Before it can write there.
        const { server, child } = bindRenamed(path, (bound) => ({ server: bound, child: spawnBackend(directory, plan, prepared, bound, secret) }));
        server.close(); // Before this turn ends: nobody who connects is taken here.
        return new BackendProcess(directory, plan.key, { child, prepared, outputFrom });
      });
    } catch (error) {
      prepared.abandon();
      throw error;
    }
  }

  private constructor(directory: DomainDirectory, key: ServiceKey, { child, prepared, outputFrom }: Spawned) {
    this.#directory = directory;
    this.key = key;
    this.endpoint = directory.endpoint(key);
    this.#child = child;
    this.#outputFrom = outputFrom;
    this.ready = this.#ready.promise;
    this.ready.catch(() => {});
    this.exited = this.#exited.promise;
    this.#late = setTimeout(() => this.#giveUp(), READY_MS_MAX);
    child.on("message", (message) => this.#handleMessage(message));
    child.once("error", (error) => void this.#handleExit(`could not be started: ${error.message}`));
    child.once("exit", (code, signal) => void this.#handleExit(signal ?? `exit status ${code ?? 0}`));
    if (child.pid === undefined) prepared.abandon();
    else this.channel = prepared.open(child, { onAnswer: (answer) => this.onAnswer(answer), onLost: () => this.#handleChannelLost() });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  quiesce(withinMs: number): void {
    this.draining = true;
    if (this.#child.connected) this.#child.send({ kind: "quiesce", withinMs }, () => {});
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  #handleMessage(message: unknown): void {
    let checked: ToBroker;
    try {
      checked = checkMessage(ToBroker, message);
    } catch (error) {
      if (!(error instanceof RuntimeError)) throw error;
      return; // A program may use Node's channel for itself.
    }
    switch (checked.kind) {
      case "ready":
        clearTimeout(this.#late);
        this.info = checked.info;
        return this.#ready.resolve(this);
      case "unable":
        this.#unable = { code: checked.code, message: checked.message };
        return;
      case "told":
        return this.onTold(checked.message);
      case "ack": // The channel's own.
      case "nack":
        return;
    }
  }

  #handleChannelLost(): void {
    this.channel = undefined;
    this.#channelLost.resolve();
    this.onChannelLost();
  }

  #giveUp(): void {
    this.#unable = undefined;
    this.signal("SIGKILL");
  }

  /** The answers that it gave before it ended are still in the channel, and come before the channel's end. */
  async #channelEnd(): Promise<void> {
    if (this.channel === undefined) return;
    const late = setTimeout(() => this.#channelLost.resolve(), CHANNEL_END_MS_MAX);
    await this.#channelLost.promise;
    clearTimeout(late);
    this.channel?.close();
  }

  async #handleExit(how: string): Promise<void> {
    clearTimeout(this.#late);
    removeIdentity(this.#directory, this.key, this.pid);
    await this.#channelEnd();
    const output = outputSince(this.#directory.output(this.key), this.#outputFrom);
    this.#ready.reject(new StartFailure(how, output, this.#unable));
    this.#exited.resolve({ how, output, unable: this.#unable });
  }
}

function spawnBackend(directory: DomainDirectory, plan: StartPlan, prepared: PreparedChannel, server: Server, secret: string): ChildProcess {
  const output = openSync(directory.output(plan.key), "a", 0o600);
  const { domain, path } = directory;
  const task = { root: path.slice(0, path.lastIndexOf("/")), domain, ...plan.key, secret, listenFd: 3, channel: prepared.description };
  try {
    return spawn(process.execPath, plan.argv, {
      cwd: plan.cwd, detached: true, env: { ...plan.environment, ...taskEnvironment(task) },
      stdio: ["ignore", output, output, descriptorOf(server), "ipc", ...prepared.stdio],
    });
  } finally {
    closeSync(output);
  }
}

/** Node passes listening sockets by descriptor only, and says which it is nowhere else. */
function descriptorOf(server: Server): number {
  return (server as unknown as { readonly _handle: { readonly fd: number } })._handle.fd;
}

/** Sets aside what has grown too large. Returns the size that the file has now. */
function trimOutput(path: string): number {
  const size = outputSize(path);
  if (size < OUTPUT_BYTES_MAX) return size;
  renameSync(path, `${path}.1`);
  return 0;
}
