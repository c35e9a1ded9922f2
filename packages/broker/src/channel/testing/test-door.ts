import { once } from "node:events";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { HELLO_BYTES, parseHello } from "./hello.ts";
import { stopReading } from "../stop-reading.ts";

/** A client whose Hello has been read: its connection is not read any more. */
export interface Caller {
  readonly client: number;
  readonly rest: Buffer;
  readonly socket: Socket;
}

/** A broker's door, without the broker: reads Hellos, and stops there. */
export class TestDoor {
  readonly server: Server;
  readonly #callers: Caller[] = [];
  readonly #onCaller: ((caller: Caller) => void) | undefined;
  #waiting: (() => void) | undefined;

  /** `restBytes`: to read at least so much behind the Hello of this client. */
  private constructor(onCaller: ((caller: Caller) => void) | undefined, restBytes: (client: number) => number) {
    this.#onCaller = onCaller;
    this.server = createServer({ highWaterMark: 1, allowHalfOpen: true }, (socket) => {
      let read = Buffer.alloc(0);
      socket.on("error", () => {});
      const handleData = (chunk: Buffer) => {
        read = Buffer.concat([read, chunk]);
        if (read.length < HELLO_BYTES || read.length < HELLO_BYTES + restBytes(parseHello(read))) return;
        socket.off("data", handleData);
        stopReading(socket);
        this.#take({ client: parseHello(read), rest: read.subarray(HELLO_BYTES), socket });
      };
      socket.on("data", handleData);
    });
  }

  static async open(
    where: string | number, onCaller?: (caller: Caller) => void, restBytes: (client: number) => number = () => 0,
  ): Promise<TestDoor> {
    const door = new TestDoor(onCaller, restBytes);
    if (typeof where === "number") door.server.listen(where, "127.0.0.1");
    else door.server.listen(where);
    await once(door.server, "listening");
    return door;
  }

  /** What clients connect to: a path, or a port. */
  get target(): string | number {
    const address = this.server.address() as AddressInfo | string;
    return typeof address === "string" ? address : address.port;
  }

  /** The first `count` callers, by client. */
  async callers(count: number): Promise<Caller[]> {
    while (this.#callers.length < count) await new Promise<void>((done) => (this.#waiting = done));
    return this.#callers.splice(0, count).sort((a, b) => a.client - b.client);
  }

  #take(caller: Caller): void {
    if (this.#onCaller !== undefined) return this.#onCaller(caller);
    this.#callers.push(caller);
    this.#waiting?.();
  }
}
