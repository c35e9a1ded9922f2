import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { ChildProcess } from "node:child_process";
import type { ConnectOptions } from "../client/connect.ts";
import type { Route } from "../protocol/messages.ts";

const PROGRAM = fileURLToPath(new URL("./fixture-client.ts", import.meta.url));

/** How one client fared that connected, asked one line and left. */
export type Outcome =
  | { readonly ok: true; readonly route: Route; readonly reason: string | null; readonly version: string; readonly build: string; readonly pid: number; readonly answer: string }
  | {
      readonly ok: false; readonly name: string; readonly code: string | null; readonly message: string;
      readonly details: Readonly<Record<string, unknown>>; readonly retryAfterMs: number | null;
    };

/** A process that holds many clients. Ended with its BrokerWorld. */
export class ClientProcess {
  readonly process: ChildProcess;
  readonly #waiting = new Map<number, (outcomes: readonly Outcome[]) => void>();
  #nextId = 1;

  private constructor(child: ChildProcess) {
    this.process = child;
    child.on("message", (message: { id: number; outcomes: readonly Outcome[] }) => this.#waiting.get(message.id)?.(message.outcomes));
  }

  /** Resolves when it has loaded everything: what it does next takes no time to begin. */
  static async start(environment: Readonly<NodeJS.ProcessEnv>): Promise<ClientProcess> {
    const child = spawn(process.execPath, ["--conditions=holdfast-source", "--disable-warning=ExperimentalWarning", PROGRAM], {
      env: environment, stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    await once(child, "message");
    return new ClientProcess(child);
  }

  /** So many clients at once. */
  visit(options: ConnectOptions, count = 1): Promise<readonly Outcome[]> {
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<readonly Outcome[]>();
    this.#waiting.set(id, resolve);
    this.process.once("exit", (code, signal) => reject(new Error(`the clients' process ended: ${signal ?? code}`)));
    this.process.send({ id, count, options });
    return promise;
  }
}
