/** In a process of its own: a small HTTP server on a port that it chooses, which is well, fails, is slow or is gone when it is told to. */
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { say } from "./parent.ts";

/** Answers 200 at once; answers 500 at once; answers 200 after `SLOW_MS`; refuses connections, having reset those that were open. */
export type Manner = "well" | "failing" | "slow" | "gone";

/** Longer than every timeout of 2 s that is compared with, so that it is no matter of luck whether it holds. */
export const SLOW_MS = 2200;

/** What a server is told: its manner from some instants of wall time on, in ms; or to say whom it has heard. */
export type ServerOrder = Readonly<{ manners: readonly { readonly atMs: number; readonly manner: Manner }[] } | { report: true }>;
export interface ServerBegan {
  readonly port: number;
}
/** Requests by their path. */
export interface ServerReport {
  readonly received: Readonly<Record<string, number>>;
}

const HOST = "127.0.0.1";
const BODY = Buffer.from("hello, world\n");
const HEADERS = { "content-type": "text/plain", "content-length": BODY.length };

export async function run(): Promise<void> {
  let manner: Manner = "well";
  const received = new Map<string, number>();
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const path = request.url ?? "";
    received.set(path, (received.get(path) ?? 0) + 1);
    if (manner === "slow") setTimeout(() => answer(response, 200), SLOW_MS);
    else answer(response, manner === "failing" ? 500 : 200);
  });
  server.keepAliveTimeout = 60_000;
  const listen = (port: number): Promise<void> => new Promise((done) => server.listen(port, HOST, done));
  await listen(0);
  const { port } = server.address() as AddressInfo;
  const behave = (next: Manner): void => {
    const wasGone = manner === "gone";
    manner = next;
    if (next === "gone") {
      server.close();
      server.closeAllConnections();
    } else if (wasGone) void listen(port);
  };
  process.on("message", (order: ServerOrder) => {
    if ("report" in order) return say({ received: Object.fromEntries(received) } satisfies ServerReport);
    for (const { atMs, manner: next } of order.manners) setTimeout(() => behave(next), Math.max(0, atMs - Date.now()));
  });
  say({ port } satisfies ServerBegan);
}

function answer(response: ServerResponse, status: number): void {
  if (response.destroyed) return;
  response.writeHead(status, HEADERS);
  response.end(BODY);
}
