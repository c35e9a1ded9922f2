/**
 * What the programs of a BrokerWorld run: a backend that answers every line with its process, its version and the line. A
 * few lines are commands.
 */
import { existsSync, watch, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { serve } from "../backend/serve.ts";
import type { Socket } from "node:net";
import type { Backend, Served } from "../backend/serve.ts";

/** Which lines a backend has for its client besides answers. */
export const MOVING = "moving";

export interface FixtureBehaviour {
  /** Where it leaves a file PID.json when it starts. */
  readonly starts: string;
  readonly service: string;
  /** What it says that it serves. Default: what it was started as. */
  readonly version?: string;
  readonly info?: unknown;
  /** It is ready only once this file exists. */
  readonly gate?: string;
  /** It says this, and ends before it is ready. */
  readonly fails?: { readonly status: number; readonly says: string };
  /** Told as soon as it is ready. */
  readonly tells?: unknown;
}

/** What a backend wrote about its start. */
export interface FixtureStart {
  readonly service: string;
  readonly pid: number;
  readonly cwd: string;
  readonly arguments: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

export async function runFixture(behaviour: FixtureBehaviour): Promise<void> {
  const { starts, service, version, info, gate, fails } = behaviour;
  const start = { service, pid: process.pid, cwd: process.cwd(), arguments: process.argv.slice(2), environment: process.env as Record<string, string> };
  writeFileSync(join(starts, `${process.pid}.json`), JSON.stringify(start satisfies FixtureStart));
  if (fails !== undefined) {
    process.stderr.write(fails.says);
    process.exit(fails.status);
  }
  if (gate !== undefined) await opens(gate);
  const backend: Backend = await serve({ service, ...(version !== undefined && { version }), info }, (socket, served) => converse(backend, socket, served));
  process.stdout.write("serving\n");
  if (behaviour.tells !== undefined) backend.tell(behaviour.tells);
}

async function opens(gate: string): Promise<void> {
  const watcher = watch(dirname(gate));
  try {
    await new Promise<void>((done) => {
      const look = () => {
        if (existsSync(gate)) done();
      };
      watcher.on("change", look);
      look();
    });
  } finally {
    watcher.close();
  }
}

/** Answers in order. When it drains it says so, and leaves it to the client to end: nothing that was asked stays unanswered. */
function converse(backend: Backend, socket: Socket, { route, pid }: Served): void {
  const move = () => void socket.write(`${MOVING}\n`);
  if (backend.draining.aborted) move();
  else backend.draining.addEventListener("abort", move, { once: true });
  socket.once("close", () => backend.draining.removeEventListener("abort", move));
  socket.once("end", () => socket.end());
  createInterface({ input: socket }).on("line", (line) => {
    const [command = "", ...words] = line.split(" ");
    if (command === "exit") {
      process.stderr.write(`${words.slice(1).join(" ")}\n`);
      process.exit(Number(words[0]));
    }
    if (command === "tell") backend.tell(words.join(" "));
    if (command === "how") return void socket.write(`${route} ${pid}\n`);
    socket.write(`${process.pid} ${backend.key.version} ${line}\n`);
  }).on("error", () => {});
}
