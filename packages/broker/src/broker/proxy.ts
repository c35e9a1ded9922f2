import { connect } from "node:net";
import { pipeline } from "node:stream/promises";
import { encodeMessage } from "../protocol/message-stream.ts";
import type { Socket } from "node:net";
import type { Hello } from "../protocol/messages.ts";

/**
 * Carries a connection's bytes to a backend's endpoint and back, for a client that cannot get there: with back-pressure, and
 * each direction ended by itself. Resolves false, before a byte was read or written on the client's side, if the endpoint
 * cannot be reached. `client` was made with allowHalfOpen.
 */
export async function proxy(client: Socket, endpoint: string, hello: Hello, rest: Uint8Array): Promise<boolean> {
  const backend = connect({ path: endpoint, allowHalfOpen: true });
  const reached = await new Promise<boolean>((done) => backend.once("connect", () => done(true)).once("error", () => done(false)));
  if (!reached) return false;
  backend.write(encodeMessage({ ...hello, route: "proxy" } satisfies Hello));
  if (rest.length > 0) backend.write(rest);
  void Promise.all([pipeline(client, backend), pipeline(backend, client)]).catch(() => {
    client.destroy();
    backend.destroy();
  });
  return true;
}
