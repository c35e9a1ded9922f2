import { RuntimeError } from "@holdfast/core/peer";
import { checkMessage, encodeMessage, MessageStream } from "../protocol/message-stream.ts";
import { Admin, refusedMessage } from "../protocol/messages.ts";
import { asRefusal } from "../protocol/refusal.ts";
import { LeaseParams } from "./lease-messages.ts";
import { operate } from "./operations.ts";
import type { Socket } from "node:net";
import type { Broker } from "./broker.ts";
import type { Lease } from "./lease.ts";
import type { Visitor } from "./visitor.ts";

/** Questions that wait for their answers before no more are read. */
const QUESTIONS_MAX = 64;

/** One connection of an operator's, or of a lease's holder: questions and their answers, in order. A lease ends with it. */
export class AdminSession {
  readonly #broker: Broker;
  readonly #socket: Socket;
  readonly #stream = new MessageStream();
  #lease: Lease | undefined;
  #work: Promise<void> = Promise.resolve();
  #questions = 0;

  private constructor(broker: Broker, socket: Socket) {
    this.#broker = broker;
    this.#socket = socket;
  }

  static begin(broker: Broker, visitor: Visitor, first: Admin): void {
    const session = new AdminSession(broker, visitor.keep());
    session.#enqueue(first);
    session.#handleData(visitor.rest);
    visitor.socket.on("data", (chunk: Buffer) => session.#handleData(chunk));
    visitor.socket.once("end", () => visitor.socket.destroySoon());
    visitor.socket.once("close", () => session.#handleClose());
    visitor.socket.resume();
  }

  #handleData(chunk: Uint8Array): void {
    try {
      this.#stream.push(chunk);
      for (let message = this.#stream.poll(Admin); message !== undefined; message = this.#stream.poll(Admin)) this.#enqueue(message);
    } catch (error) {
      if (!(error instanceof RuntimeError)) throw error;
      this.#socket.destroy();
    }
  }

  #enqueue(admin: Admin): void {
    if (++this.#questions >= QUESTIONS_MAX) this.#socket.pause();
    this.#work = this.#work.then(async () => {
      await this.#answer(admin);
      if (this.#socket.writableNeedDrain) await drained(this.#socket);
      if (--this.#questions < QUESTIONS_MAX) this.#socket.resume();
    });
  }

  async #answer({ verb, params }: Admin): Promise<void> {
    try {
      this.#send({ kind: "answer", result: (await this.#perform(verb, params)) ?? null });
    } catch (error) {
      this.#send(refusedMessage(asRefusal(error)));
    }
  }

  async #perform(verb: string, params: Record<string, unknown>): Promise<unknown> {
    if (verb === "lease") {
      const { pid, services } = checkMessage(LeaseParams, params);
      this.#lease = await this.#broker.takeLease(pid, services, (event) => this.#send({ kind: "event", event }));
      if (this.#socket.destroyed) this.#handleClose();
      return { pid: process.pid };
    }
    if (verb !== "release") return await operate(this.#broker, verb, params);
    if (this.#lease !== undefined) await this.#broker.releaseLease(this.#lease);
    this.#lease = undefined;
    return null;
  }

  #handleClose(): void {
    const lease = this.#lease;
    this.#lease = undefined;
    if (lease !== undefined && !this.#broker.isStopping) void this.#broker.releaseLease(lease);
  }

  #send(message: object): void {
    if (this.#socket.writable) this.#socket.write(encodeMessage(message));
  }
}

/** When what was written has left, or never will: of who asks and does not listen nothing more is read. */
function drained(socket: Socket): Promise<void> {
  if (socket.destroyed) return Promise.resolve();
  return new Promise((done) => {
    const finish = () => {
      socket.off("drain", finish).off("close", finish);
      done();
    };
    socket.on("drain", finish).on("close", finish);
  });
}
