/**
 * In a process of its own: answers each request without a body by the same few bytes, by `net` alone. It takes so little for a request
 * that what the client takes is what is measured.
 */
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { say } from "./parent.ts";
import type { ServerBegan } from "./server.ts";

const BODY = "hello, world\n";
const ANSWER = Buffer.from(`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${BODY.length}\r\nConnection: keep-alive\r\n\r\n${BODY}`);
const END = "\r\n\r\n";
/** A head is far smaller. */
const UNFINISHED_MAX = 65_536;

export async function run(): Promise<void> {
  const server = createServer({ noDelay: true }, (socket) => {
    let unfinished = "";
    socket.setEncoding("latin1");
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk: string) => {
      const heads = (unfinished + chunk).split(END);
      unfinished = heads.pop() as string;
      if (unfinished.length > UNFINISHED_MAX) return void socket.destroy();
      for (const _head of heads) socket.write(ANSWER);
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  say({ port: (server.address() as AddressInfo).port } satisfies ServerBegan);
}
