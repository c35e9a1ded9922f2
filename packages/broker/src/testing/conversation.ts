import { MOVING } from "./fixture-backend.ts";
import type { Socket } from "node:net";

interface Asked {
  readonly line: string;
  readonly done: (answer: string) => void;
  readonly refuse: (error: Error) => void;
}

/** A client's side of the lines that fixture backends speak. */
export class Conversation implements Disposable {
  /** The backend drains: it is time to go elsewhere. */
  isMoving = false;
  /** Why it broke off, if it was not us. */
  broken: string | undefined;
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #asked: Asked[] = [];
  #text = "";
  #isOurs = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    socket.on("error", (error) => (this.broken ??= error.message));
    socket.once("end", () => (this.broken ??= this.#isOurs ? undefined : "ended by the backend"));
    socket.once("close", () => {
      for (const { refuse, line } of this.#asked.splice(0)) refuse(new Error(`no answer to ${line}: ${this.broken ?? "closed"}`));
      resolve();
    });
    socket.on("data", (chunk) => this.#handleData(String(chunk)));
  }

  ask(line: string): Promise<string> {
    return new Promise((done, refuse) => {
      if (this.#socket.destroyed) return refuse(new Error(`cannot ask ${line}: ${this.broken ?? "closed"}`));
      this.#asked.push({ line, done, refuse });
      this.#socket.write(`${line}\n`);
    });
  }

  /** Ends it as a polite client does. */
  async end(): Promise<void> {
    this.#isOurs = true;
    this.#socket.end();
    await this.closed;
  }

  [Symbol.dispose](): void {
    this.#isOurs = true;
    this.#socket.destroy();
  }

  #handleData(text: string): void {
    const lines = (this.#text + text).split("\n");
    this.#text = lines.pop() ?? "";
    for (const line of lines) {
      if (line === MOVING) this.isMoving = true;
      else this.#asked.shift()?.done(line);
    }
  }
}
