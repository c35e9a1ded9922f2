import { spawnSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

/** What a process did to the files below the recorded directory; paths are relative to it. */
export type Operation = Readonly<
  | { kind: "create" | "mkdir" | "sync" | "remove"; path: string }
  | { kind: "write"; path: string; offset: number; data: Buffer }
  | { kind: "resize"; path: string; bytes: number }
  | { kind: "rename" | "link"; path: string; to: string }
>;

/** In the order of `enum kind` in recorder.c. */
const KINDS = ["create", "mkdir", "write", "resize", "sync", "remove", "rename", "link"] as const;
const HEADER_BYTES = 24;

/** Runs programs and records what they do to their files. */
export class Recorder {
  readonly #scratch: string;
  readonly #library: string;

  /** Why there is nothing to record with, or undefined. */
  static missing(): string | undefined {
    if (process.platform !== "linux") return "a power cut is simulated on Linux only (recorder.c is loaded by LD_PRELOAD)";
    const { error } = spawnSync("gcc", ["--version"]);
    return error === undefined ? undefined : `NOT TESTED: what survives a power cut; gcc is missing (apt-get install gcc libc6-dev): ${error.message}`;
  }

  /** Compiles into `scratch`, which is not below what will be recorded. */
  constructor(scratch: string) {
    this.#scratch = scratch;
    this.#library = join(scratch, "recorder.so");
    const { status, stderr } = spawnSync("gcc", ["-shared", "-fPIC", "-O2", "-o", this.#library, join(import.meta.dirname, "recorder.c")], { encoding: "utf8" });
    if (status !== 0) throw new Error(`recorder.c does not compile: ${stderr}`);
  }

  /** Runs Node.js with these arguments until it has ended by itself or by its own SIGKILL. */
  record(root: string, args: readonly string[], environment: NodeJS.ProcessEnv = {}): Operation[] {
    const log = join(this.#scratch, "recorder.log");
    rmSync(log, { force: true });
    const env = { ...process.env, ...environment, LD_PRELOAD: this.#library, HOLDFAST_RECORD_BELOW: root, HOLDFAST_RECORD_TO: log };
    const { status, signal, stderr } = spawnSync(process.execPath, args, { env, stdio: ["ignore", "inherit", "pipe"], encoding: "utf8" });
    if (status !== 0 && signal !== "SIGKILL") throw new Error(`the recorded process ended with ${signal ?? status}: ${stderr}`);
    return [...parseLog(readFileSync(log), root)];
  }
}

function* parseLog(log: Buffer, root: string): Generator<Operation> {
  const relative = (text: string) => text.slice(root.length + 1);
  for (let at = 0; at < log.length; ) {
    const kind = KINDS[log.readUInt32LE(at)]!;
    const pathEnd = at + HEADER_BYTES + log.readUInt32LE(at + 4);
    const offset = Number(log.readBigUInt64LE(at + 8));
    const end = pathEnd + Number(log.readBigUInt64LE(at + 16));
    const path = relative(log.toString("utf8", at + HEADER_BYTES, pathEnd));
    const data = log.subarray(pathEnd, end);
    if (kind === "write") yield { kind, path, offset, data };
    else if (kind === "resize") yield { kind, path, bytes: offset };
    else if (kind === "rename" || kind === "link") yield { kind, path, to: relative(data.toString()) };
    else yield { kind, path };
    at = end;
  }
}
