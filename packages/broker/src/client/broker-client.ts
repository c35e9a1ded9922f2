import { connect } from "node:net";
import { RuntimeError } from "@holdfast/core/peer";
import { encodeMessage, MessageStream } from "../protocol/message-stream.ts";
import { AdminAnswer, PROTOCOL } from "../protocol/messages.ts";
import { RefusedError } from "../protocol/refusal.ts";
import type { Socket } from "node:net";
import type { LeaseEvent } from "../broker/lease-messages.ts";
import type { DomainDirectory } from "../runtime/domain-directory.ts";

interface Waiting {
  readonly done: (result: unknown) => void;
  readonly refuse: (error: Error) => void;
}

/** An operator's connection to a broker, or that of a lease's holder. */
export class BrokerClient implements Disposable {
  /** Resolves when the connection has ended, by whomever. */
  readonly closed: Promise<void>;
  onEvent: (event: LeaseEvent) => void = () => {};
  readonly #socket: Socket;
  readonly #stream = new MessageStream();
  readonly #waiting: Waiting[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.closed = new Promise((done) => socket.once("close", () => {
      for (const { refuse } of this.#waiting.splice(0)) refuse(new RuntimeError("BROKER_UNREACHABLE", { reason: "it ended the connection" }));
      done();
    }));
    socket.on("error", () => {}); // "close" follows.
    socket.on("data", (chunk: Buffer) => this.#handleData(chunk));
  }

  /** Throws BROKER_UNREACHABLE if none answers at this door. */
  static async open(directory: DomainDirectory): Promise<BrokerClient> {
    if (!directory.isOurs()) throw new RuntimeError("BROKER_UNREACHABLE", { domain: directory.domain, reason: "none has ever run" });
    const socket = connect(directory.door);
    await new Promise<void>((done, refuse) => {
      socket.once("connect", done);
      socket.once("error", (error) => refuse(new RuntimeError("BROKER_UNREACHABLE", { domain: directory.domain, reason: error.message }, { cause: error })));
    });
    socket.removeAllListeners("error");
    return new BrokerClient(socket);
  }

  get isClosed(): boolean {
    return this.#socket.destroyed;
  }

  /** Answers come in the order of the questions. Throws RefusedError, and BROKER_UNREACHABLE if the broker ends first. */
  ask(verb: string, params: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    return new Promise((done, refuse) => {
      if (this.#socket.destroyed) return refuse(new RuntimeError("BROKER_UNREACHABLE", { reason: "it ended the connection" }));
      this.#waiting.push({ done, refuse });
      this.#socket.write(encodeMessage({ kind: "admin", protocol: PROTOCOL, verb, params }));
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #handleData(chunk: Buffer): void {
    try {
      this.#stream.push(chunk);
      for (let answer = this.#stream.poll(AdminAnswer); answer !== undefined; answer = this.#stream.poll(AdminAnswer)) this.#handle(answer);
    } catch (error) {
      if (!(error instanceof RuntimeError)) throw error;
      this.#socket.destroy();
    }
  }

  #handle(answer: AdminAnswer): void {
    if (answer.kind === "event") return this.onEvent(answer.event as LeaseEvent);
    const waiting = this.#waiting.shift();
    if (answer.kind === "answer") waiting?.done(answer.result);
    else waiting?.refuse(new RefusedError(answer));
  }
}
