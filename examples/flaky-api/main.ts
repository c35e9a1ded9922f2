/**
 * A remote with a bad day, and a program that calls it, twice: the second time it starts with what the first one learned.
 *
 *     npm run flaky-api [-- SECONDS]    how long each of the remote's phases takes; 2 unless you say otherwise
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const PHASES = 6;
const seconds = Number(process.argv[2] ?? 2);
if (process.argv.length > 3 || !(seconds >= 0.2 && seconds <= 60)) {
  process.stderr.write("usage: npm run flaky-api [-- SECONDS], from 0.2 to 60\n");
  process.exit(2);
}

function start(file: string, args: readonly string[], stdout: "pipe" | "inherit"): ChildProcess {
  return spawn(process.execPath, [...process.execArgv, join(import.meta.dirname, file), ...args], { stdio: ["pipe", stdout, "inherit"] });
}

const directory = mkdtempSync(join(tmpdir(), "holdfast-flaky-api-"));
const state = join(directory, "peers.db");
const api = start("api.ts", [String(seconds)], "pipe");
let client: ChildProcess | undefined;
let isStopped = false;
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    isStopped = true;
    client?.kill();
  });
}
try {
  const lines = createInterface({ input: api.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  const url = (await lines.next()).value as string;
  void (async () => {
    for (let line = await lines.next(); line.done !== true; line = await lines.next()) process.stdout.write(`         ${line.value}\n`);
  })();
  for (const [name, lasts] of [["first", PHASES * seconds], ["second", seconds]] as const) {
    if (isStopped) break;
    process.stdout.write(`${name} process\n`);
    client = start("client.ts", [url, state, String(lasts)], "inherit");
    await once(client, "exit");
  }
} finally {
  api.kill();
  rmSync(directory, { recursive: true });
}
