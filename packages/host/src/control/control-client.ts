import { RuntimeError } from "@holdfast/core";
import { encodeControlLine, parseControlLine } from "./control-protocol.ts";
import { LineReader } from "./line-reader.ts";
import type { Socket } from "node:net";
import type { Value } from "@holdfast/core";
import type { ControlAnswer, ControlFault, ControlMethod, ParamsOf, ResultOf } from "./control-protocol.ts";

/** What the node said instead of a result. */
export class ControlError extends Error {
  override readonly name = "ControlError";
  readonly code: string;
  readonly details: unknown;

  constructor({ code, message, details }: ControlFault) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

interface Waiting {
  readonly done: (result: never) => void;
  readonly refuse: (error: Error) => void;
}

/** Talks to a running node. */
export class ControlClient implements Disposable {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, Waiting>();
  readonly #lines = new LineReader();
  #nextId = 1;
  #ended: Error | undefined;

  /** Over a connection to the node, which is this client's from now on. */
  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#handleData(chunk));
    socket.on("error", (error) => this.#end(error));
    socket.on("close", () => this.#end(new Error("the node closed the connection")));
  }

  /** Throws ControlError with what the node says, and NODE_UNREACHABLE when it is lost. */
  async call<Method extends ControlMethod>(method: Method, params: ParamsOf<Method>): Promise<ResultOf<Method>> {
    if (this.#ended !== undefined) throw this.#ended;
    const id = this.#nextId++;
    return new Promise((done, refuse) => {
      this.#waiting.set(id, { done, refuse });
      this.#socket.write(encodeControlLine({ id, method, params: params as Record<string, unknown> }));
    });
  }

  /** The whole of a set of cells in key order, a page at a time. Not one moment's: what changes meanwhile may be seen. */
  async *cells(cells: string): AsyncGenerator<readonly [string, Value]> {
    let page = await this.call("cells-range", { cells });
    while (page.length > 0) {
      yield* page;
      page = await this.call("cells-range", { cells, after: (page.at(-1) as readonly [string, Value])[0] });
    }
  }

  async snapshot(): Promise<Uint8Array> {
    const { bytes } = await this.call("snapshot", {});
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < bytes; at += (pieces.at(-1) as Uint8Array).length) pieces.push(await this.call("snapshot-piece", { at }));
    return Buffer.concat(pieces);
  }

  close(): void {
    this.#end(new Error("closed"));
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #handleData(chunk: Buffer): void {
    try {
      for (const line of this.#lines.push(chunk)) this.#handleAnswer(parseControlLine(line) as ControlAnswer);
    } catch (error) {
      this.#end(error as Error);
    }
  }

  #handleAnswer(answer: ControlAnswer): void {
    if (answer.id === null) throw new ControlError((answer as { readonly error: ControlFault }).error);
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if ("error" in answer) waiting?.refuse(new ControlError(answer.error));
    else waiting?.done(answer.result as never);
  }

  #end(error: Error): void {
    if (this.#ended !== undefined) return;
    const ended = error instanceof ControlError ? error : new RuntimeError("NODE_UNREACHABLE", { reason: error.message }, { cause: error });
    this.#ended = ended;
    this.#socket.destroy();
    for (const { refuse } of this.#waiting.values()) refuse(ended);
    this.#waiting.clear();
  }
}
