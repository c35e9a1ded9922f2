import { once } from "node:events";
import { createServer } from "node:http";
import type { RequestListener } from "node:http";
import { createSecureServer } from "node:http2";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import { createServer as createTlsServer } from "node:https";
import { createServer as createNetServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { temporaryIdentity } from "@holdfast/host";

/** Whoever ends what was begun for it. */
export interface Test {
  after(end: () => Promise<void>): void;
}

/** A server that a test may look at, and that ends with the test. */
export interface TestServer {
  readonly origin: string;
  /** Connections that are open. */
  readonly sockets: ReadonlySet<Socket>;
  /** Ends it at once: from then on nobody listens. */
  close(): Promise<void>;
}

/** A certificate that nobody trusts; its name is none of a machine. */
export function untrusted(): { readonly key: string; readonly cert: string } {
  const { keyPem, certificatePem } = temporaryIdentity();
  return { key: keyPem, cert: certificatePem };
}

export function serveHttp(t: Test, handler: RequestListener): Promise<TestServer> {
  return listening(t, "http", createServer(handler));
}

export function serveTls(t: Test, identity: ReturnType<typeof untrusted>, handler: RequestListener): Promise<TestServer> {
  return listening(t, "https", createTlsServer(identity, handler));
}

/** HTTP/2 alone. */
export function serveHttp2(t: Test, identity: ReturnType<typeof untrusted>, handler: (request: Http2ServerRequest, response: Http2ServerResponse) => void): Promise<TestServer> {
  return listening(t, "https", createSecureServer(identity, handler));
}

/** Bytes as they are: answers each head of a request, its connection's count from 1. Bodies of requests are not told apart. */
export function serveBytes(t: Test, answer: (socket: Socket, request: number, head: string) => void): Promise<TestServer> {
  const server = createNetServer((socket) => {
    let unread = "";
    let requests = 0;
    socket.on("data", (chunk) => {
      unread += chunk.toString("latin1");
      for (let end; (end = unread.indexOf("\r\n\r\n")) >= 0; ) {
        const head = unread.slice(0, end);
        unread = unread.slice(end + 4);
        answer(socket, ++requests, head);
      }
    });
  });
  return listening(t, "http", server);
}

async function listening(t: Test, scheme: string, server: Server): Promise<TestServer> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  t.after(close);
  return { origin: `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`, sockets, close };
}
