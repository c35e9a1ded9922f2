import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { HandoffChannel, OfferAnswer, PreparedChannel } from "../handoff-channel.ts";
import type { Caller } from "./test-door.ts";
import type { FixtureCommand, FixtureReport } from "./fixture-backend.ts";

export interface TestBackendOptions {
  /** How many descriptors it may have. */
  readonly descriptorsMax?: number;
  readonly nodeOptions?: readonly string[];
}

/** The fixture backend in a process of its own, and the broker's end of the channel to it. */
export class TestBackend {
  readonly child: ChildProcess;
  readonly channel: HandoffChannel;
  readonly answers: OfferAnswer[] = [];
  losses = 0;
  #wake: () => void = () => {};

  constructor(prepared: PreparedChannel, { descriptorsMax, nodeOptions = [] }: TestBackendOptions = {}) {
    const fixture = join(import.meta.dirname, "fixture-backend.ts");
    const args = ["--conditions=holdfast-source", ...nodeOptions, fixture, JSON.stringify(prepared.description)];
    const limited = ["-c", `ulimit -n ${descriptorsMax}; exec "$0" "$@"`, process.execPath, ...args];
    const [file, given] = descriptorsMax === undefined ? [process.execPath, args] : ["/bin/sh", limited];
    this.child = spawn(file, given, { stdio: ["ignore", "inherit", "inherit", "ignore", "ipc", ...prepared.stdio] });
    this.channel = prepared.open(this.child, {
      onAnswer: (answer) => {
        this.answers.push(answer);
        this.#wake();
      },
      onLost: () => {
        this.losses++;
        this.#wake();
      },
    });
  }

  offer({ client, rest, socket }: Caller): void {
    const head = { id: client, deadlineUs: 0, service: "test", version: "1.0.0", clientPid: process.pid };
    this.channel.offer(head, rest, socket);
  }

  async command(command: FixtureCommand): Promise<FixtureReport> {
    this.child.send(command);
    return await this.report(command.do);
  }

  async report(did: FixtureReport["did"]): Promise<FixtureReport> {
    for (;;) {
      const [message] = (await once(this.child, "message")) as [Partial<FixtureReport>];
      if (message.did === did) return message as FixtureReport;
    }
  }

  /** The test's own timeout bounds it. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((done) => (this.#wake = done));
  }

  async end(): Promise<void> {
    this.channel.close();
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, "exit");
    this.child.kill("SIGKILL");
    await exited;
  }
}
