/** Runs `holdfast` as people do: as a process. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { ChildProcess } from "node:child_process";

const BIN = fileURLToPath(new URL("../../bin/holdfast.js", import.meta.url));
export const REPOSITORY = fileURLToPath(new URL("../../../..", import.meta.url));
export const TEXT_INDEX = fileURLToPath(new URL("../../../../examples/text-index/fleet.ts", import.meta.url));
export const fixture = (name: string): string => fileURLToPath(new URL(`./fleets/${name}.fleet.ts`, import.meta.url));

/** Flags of the test runner's are not for its children. */
const FLAGS = process.execArgv.filter((flag) => !flag.startsWith("--test"));

const running = new Set<ChildProcess>();

/** Ends what a failed test left behind. */
export function endAll(): void {
  for (const child of running) child.kill("SIGKILL");
}

/** A command under way, with what it said so far. */
export class Running {
  readonly process: ChildProcess;
  stdout = "";
  stderr = "";
  readonly exit: Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>;

  constructor(args: readonly string[], cwd = REPOSITORY) {
    this.process = spawn(process.execPath, [...FLAGS, BIN, ...args], { cwd, stdio: ["ignore", "pipe", "pipe"] });
    running.add(this.process);
    this.process.once("exit", () => running.delete(this.process));
    this.process.stdout?.on("data", (chunk) => (this.stdout += String(chunk)));
    this.process.stderr?.on("data", (chunk) => (this.stderr += String(chunk)));
    this.exit = once(this.process, "close").then(([code]) => ({ code: code as number | null, stdout: this.stdout, stderr: this.stderr }));
  }

  /** Waits for text on stdout. */
  async said(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.stdout);
      if (found !== null) return found;
      if (this.process.exitCode !== null) throw new Error(`it ended without saying ${String(pattern)}: ${this.stdout}${this.stderr}`);
      await new Promise((done) => setTimeout(done, 20));
    }
  }
}

export async function holdfast(...args: string[]) {
  return await new Running(args).exit;
}
