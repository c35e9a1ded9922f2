import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { NS_PER_MS, NS_PER_S } from "@holdfast/core";
import { BackoffTable } from "@holdfast/core/peer";
import { DRAIN_MS_MAX, EXIT_USAGE } from "./child-messages.ts";
import { parseLogLine } from "./log-line.ts";
import { NodeLog } from "./node-log.ts";
import type { ChildProcess } from "node:child_process";
import type { NodeRecord } from "../fleet/fleet-directory.ts";
import type { ChildMessage } from "./child-messages.ts";
import type { LogLine } from "./log-line.ts";

/** A process that has lived this long begins anew with the shortest delay when it dies. */
const SETTLED_MS = 1_000;
const RESTART_BASE_NS = 50 * NS_PER_MS;
const RESTART_MAX_NS = 30 * NS_PER_S;

export interface SupervisedNodeOptions {
  readonly record: NodeRecord;
  /** Command line of the process, after the executable. */
  readonly argv: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
  readonly onEvent: (event: SupervisorEvent) => void;
}

export type SupervisorEvent = Readonly<
  | { kind: "ready"; node: string; addresses: readonly string[] }
  | { kind: "died"; node: string; how: string; restartInMs: number }
  /** Starting it again would not help. */
  | { kind: "refused"; node: string; message: string }
  | { kind: "logged"; node: string; line: LogLine }
>;

/**
 * Keeps one node's process alive.
 *
 *     starting ──ready──▶ running ──death──▶ waiting ──back-off over──▶ starting
 *     any ──drain──▶ draining ──exit──▶ ended
 *     starting ──exit 2──▶ ended (refused)
 */
export class SupervisedNode {
  readonly record: NodeRecord;
  /** Deaths that nobody asked for by `drain`. */
  deaths = 0;
  state: "starting" | "running" | "waiting" | "draining" | "ended" = "starting";
  readonly #options: SupervisedNodeOptions;
  readonly #log: NodeLog;
  readonly #backoff = new BackoffTable<string>({ baseNs: RESTART_BASE_NS, maxDelayNs: RESTART_MAX_NS });
  #child: ChildProcess | undefined;
  #restart: NodeJS.Timeout | undefined;
  #refusal: string | undefined;
  #ended = Promise.withResolvers<void>();

  constructor(options: SupervisedNodeOptions) {
    this.#options = options;
    this.record = options.record;
    mkdirSync(this.record.directory, { recursive: true, mode: 0o700 });
    this.#log = new NodeLog(this.record.directory);
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  start(): void {
    this.state = "starting";
    this.#refusal = undefined;
    const child = spawn(process.execPath, this.#options.argv, { stdio: ["ignore", "pipe", "pipe", "ipc"], env: this.#options.environment });
    this.#child = child;
    const startedAt = performance.now();
    for (const stream of [child.stdout, child.stderr]) {
      if (stream !== null) createInterface({ input: stream }).on("line", (line) => this.#handleLine(line));
    }
    child.on("message", (message) => this.#handleMessage(message as ChildMessage));
    child.on("error", (error) => this.#handleLine(error.message));
    child.on("exit", (code, signal) => this.#handleExit(code, signal, performance.now() - startedAt));
  }

  /** False if there is no process to take it. */
  signal(signal: NodeJS.Signals): boolean {
    return this.#child?.kill(signal) ?? false;
  }

  /** Stops the process for good, and waits until it has ended. */
  async drain(): Promise<void> {
    if (this.state === "ended") return;
    clearTimeout(this.#restart);
    this.state = "draining";
    if (this.#child === undefined) return this.#end();
    this.signal("SIGCONT"); // A stopped process takes no SIGTERM.
    this.signal("SIGTERM");
    const late = setTimeout(() => this.signal("SIGKILL"), DRAIN_MS_MAX + 1_000);
    await this.#ended.promise;
    clearTimeout(late);
  }

  #handleMessage(message: ChildMessage): void {
    if (message.kind === "refused") {
      this.#refusal = message.message;
    } else if (this.state === "starting") {
      this.state = "running";
      this.#options.onEvent({ kind: "ready", node: this.record.name, addresses: message.addresses });
    }
  }

  #handleLine(text: string): void {
    const line = parseLogLine(this.record.name, text);
    if (this.state !== "ended") this.#log.write(JSON.stringify(line));
    this.#options.onEvent({ kind: "logged", node: this.record.name, line });
  }

  #handleExit(code: number | null, signal: NodeJS.Signals | null, livedMs: number): void {
    const { name } = this.record;
    this.#child = undefined;
    if (this.state === "draining") return this.#end();
    if (code === EXIT_USAGE) {
      this.#end();
      return this.#options.onEvent({ kind: "refused", node: name, message: this.#refusal ?? "its process refused to start" });
    }
    this.deaths++;
    const now = Math.round(performance.now() * NS_PER_MS);
    if (this.state === "running" && livedMs >= SETTLED_MS) this.#backoff.recordSuccess(name);
    this.#backoff.recordFailure(name, now);
    const restartInMs = Math.ceil(Math.max(0, this.#backoff.retryAt(name) - now) / NS_PER_MS);
    this.state = "waiting";
    this.#restart = setTimeout(() => this.start(), restartInMs);
    this.#options.onEvent({ kind: "died", node: name, how: signal ?? `exit status ${String(code)}`, restartInMs });
  }

  #end(): void {
    this.state = "ended";
    this.#log.close();
    this.#ended.resolve();
  }
}
