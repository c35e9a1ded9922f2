import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { RuntimeError } from "@holdfast/core/peer";
import { ProcessLock } from "@holdfast/host/process-lock";
import { basicEnvironment } from "../runtime/basic-environment.ts";
import { servicesDirectory } from "../services/service-catalogue.ts";
import { answers } from "../runtime/endpoint.ts";
import type { ErrorCode } from "@holdfast/core";
import type { DomainDirectory } from "../runtime/domain-directory.ts";

/** How long others may take to start the broker that we want too. */
const OTHERS_MS_MAX = 10_000;
const POLL_MS = 20;
/**
 * Flags of node for a broker, which is idle most of its life: without the optimising compilers and with a small young generation it
 * takes 60 MB instead of 70, and does not grow with work as much, for 15 to 20 % of the time of a connection that goes
 * through it (docs/BENCHMARKS.md). Direct ones do not.
 */
export const BROKER_FLAGS: readonly string[] = ["--disable-warning=ExperimentalWarning", "--max-semi-space-size=1", "--no-opt", "--no-maglev"];

export interface StartBrokerOptions {
  /** Somebody at a terminal asked for it: a broker of root's is refused otherwise, unless HOLDFAST_ALLOW_ROOT=1. */
  readonly allowRoot?: boolean;
}

/** What a broker's process says to whoever started it, once. */
export type BrokerBirth = Readonly<
  | { kind: "listening" }
  /** Another one runs: no failure. */
  | { kind: "outrun" }
  | { kind: "failed"; code: ErrorCode; details: Record<string, unknown> }
>;

const underWay = new Map<string, Promise<void>>();

/**
 * Starts the domain's broker and resolves when one listens, this or another's. However many clients want one at once, in one
 * process or in many, few processes are started and one stays. Throws BROKER_REFUSED, BROKER_UNREACHABLE.
 */
export async function startBroker(directory: DomainDirectory, signal: AbortSignal, options: StartBrokerOptions = {}): Promise<void> {
  let start = underWay.get(directory.path);
  if (start === undefined) {
    start = startOnce(directory, options).finally(() => underWay.delete(directory.path));
    underWay.set(directory.path, start);
  }
  start.catch(() => {}); // The caller may have gone before it fails.
  await Promise.race([start, aborted(signal)]);
}

async function startOnce(directory: DomainDirectory, options: StartBrokerOptions): Promise<void> {
  directory.create();
  for (let waitedMs = 0; waitedMs < OTHERS_MS_MAX; waitedMs += POLL_MS) {
    if (await answers(directory.door)) return;
    using lock = ProcessLock.tryTake(join(directory.path, "start.lock"));
    if (lock !== undefined) {
      if (await answers(directory.door)) return;
      if (await spawnBroker(directory, options)) return;
    }
    await sleep(POLL_MS);
  }
  throw new RuntimeError("BROKER_UNREACHABLE", { directory: directory.path, reason: `none listens after ${OTHERS_MS_MAX} ms` });
}

/** False if another broker runs which does not listen yet, or no more; or if somebody killed this one. */
function spawnBroker(directory: DomainDirectory, { allowRoot = false }: StartBrokerOptions): Promise<boolean> {
  const output = openSync(join(directory.path, "broker.out"), "a", 0o600);
  const child = spawn(process.execPath, brokerArgv(directory, allowRoot), {
    cwd: directory.path, detached: true, env: basicEnvironment(), stdio: ["ignore", output, output, "ipc"],
  });
  closeSync(output);
  return new Promise((done, refuse) => {
    const fail = (details: Record<string, unknown>, code: ErrorCode = "BROKER_UNREACHABLE") => refuse(new RuntimeError(code, details));
    child.once("message", (birth: BrokerBirth) => {
      child.removeAllListeners();
      child.disconnect();
      child.unref();
      if (birth.kind === "failed") fail(birth.details, birth.code);
      else done(birth.kind === "listening");
    });
    child.once("error", (error) => fail({ reason: error.message }));
    child.once("exit", (code, killedBy) => {
      if (killedBy !== null) done(false);
      else fail({ reason: `its process ended (exit status ${code ?? 0})`, output: join(directory.path, "broker.out") });
    });
  });
}

export interface BecomeBrokerOptions extends StartBrokerOptions {
  /** Without work for so long it ends. Default: never. */
  readonly idleMs?: number;
  readonly channel?: "raw" | "public" | "auto";
  readonly handoff?: boolean;
}

/**
 * Turns this process into the domain's broker: service managers watch the process that they have started. Returns only by
 * throwing BROKER_REFUSED.
 */
export function becomeBroker(directory: DomainDirectory, { allowRoot = false, idleMs, channel, handoff }: BecomeBrokerOptions = {}): never {
  if (process.execve === undefined) throw new RuntimeError("BROKER_REFUSED", { platform: process.platform, reason: "a process cannot become another here" });
  directory.create();
  const given = ["--idle-ms", idleMs === undefined ? "never" : String(idleMs)];
  if (channel !== undefined) given.push("--channel", channel);
  if (handoff !== undefined) given.push("--handoff", handoff ? "on" : "off");
  process.chdir(directory.path);
  return process.execve(process.execPath, [process.execPath, ...brokerArgv(directory, allowRoot), ...given], basicEnvironment());
}

/** Command line of a broker's process, after the executable. From source it needs the condition that this process runs with. */
export function brokerArgv(directory: DomainDirectory, allowRoot: boolean): string[] {
  const isSource = import.meta.url.endsWith(".ts");
  const main = fileURLToPath(new URL(`../broker/broker-main.${isSource ? "ts" : "js"}`, import.meta.url));
  const flags = [...BROKER_FLAGS, ...(isSource ? ["--conditions=holdfast-source"] : [])];
  return [...flags, main, "--domain", directory.domain, "--root", join(directory.path, ".."), "--services", servicesDirectory(), ...(allowRoot ? ["--allow-root"] : [])];
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, refuse) => {
    if (signal.aborted) refuse(signal.reason as Error);
    signal.addEventListener("abort", () => refuse(signal.reason as Error), { once: true });
  });
}
