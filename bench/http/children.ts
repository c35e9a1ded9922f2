/** Processes of this benchmark: each runs one case, says what it measured, and ends with this process at the latest. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { ChildProcess } from "node:child_process";

const MAIN = join(import.meta.dirname, "child-main.ts");
/** So that a process has soon begun. */
const COMPILED = join(import.meta.dirname, "..", "..", "node_modules", ".cache", "compile");
const FLAGS = ["--conditions=holdfast-source", "--disable-warning=ExperimentalWarning"];
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export class Children implements Disposable {
  readonly #living = new Set<Child>();
  readonly #killAll = (): void => {
    for (const child of this.#living) child.kill();
  };
  readonly #leave = (): void => {
    this.#killAll();
    process.exit(130);
  };

  constructor() {
    process.once("exit", this.#killAll);
    for (const signal of SIGNALS) process.once(signal, this.#leave);
  }

  /** Runs `run` of the file of this name, in a process of its own. `parameters` are JSON. */
  start(file: string, parameters: unknown, flags: readonly string[] = []): Child {
    const began = fork(MAIN, [file, JSON.stringify(parameters)], {
      execArgv: [...FLAGS, ...flags], stdio: ["ignore", 2, 2, "ipc"], env: { ...process.env, NODE_COMPILE_CACHE: COMPILED },
    });
    const child = new Child(began, file, (ended) => this.#living.delete(ended));
    this.#living.add(child);
    return child;
  }

  /** The first thing it says; then it is ended. */
  async result<T>(file: string, parameters: unknown, flags?: readonly string[]): Promise<T> {
    const child = this.start(file, parameters, flags);
    try {
      return await child.next<T>();
    } finally {
      await child.end();
    }
  }

  [Symbol.dispose](): void {
    this.#killAll();
    process.off("exit", this.#killAll);
    for (const signal of SIGNALS) process.off(signal, this.#leave);
  }
}

export class Child {
  readonly #process: ChildProcess;
  readonly #name: string;
  readonly #said: unknown[] = [];
  readonly #exited: Promise<unknown>;
  #waiting: { resolve: (message: unknown) => void; reject: (error: Error) => void } | undefined;

  constructor(child: ChildProcess, name: string, onExit: (child: Child) => void) {
    this.#process = child;
    this.#name = name;
    this.#exited = once(child, "exit");
    child.on("message", (message) => {
      if (this.#waiting === undefined) return void this.#said.push(message);
      this.#waiting.resolve(message);
      this.#waiting = undefined;
    });
    child.once("exit", () => {
      onExit(this);
      this.#waiting?.reject(this.#ended());
    });
  }

  /** The next thing it says. Rejects if it ends before. */
  next<T>(): Promise<T> {
    if (this.#said.length > 0) return Promise.resolve(this.#said.shift() as T);
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return Promise.reject(this.#ended());
    return new Promise((resolve, reject) => (this.#waiting = { resolve: resolve as (message: unknown) => void, reject }));
  }

  tell(message: object): void {
    this.#process.send(message);
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }

  async end(): Promise<void> {
    this.kill();
    await this.#exited;
  }

  #ended(): Error {
    return new Error(`${this.#name} ended before it had measured: ${this.#process.exitCode ?? this.#process.signalCode}`);
  }
}
