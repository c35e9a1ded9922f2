import { chmodSync, lstatSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { dirname, normalize } from "node:path";
import { type PeerId, RuntimeError } from "@holdfast/core";
import type { Identity } from "../identity/identity.ts";
import { ensurePrivateDirectory } from "../files/private-directory.ts";
import type { Link, Listener, Transport } from "./link.ts";
import { StreamLink } from "./stream-link.ts";
import { dialTls, secureContext } from "./tls-handshake.ts";
import { TlsListener } from "./tls-listener.ts";

/** What fits in a socket's address on every system (macOS: 104 with the final zero; Linux: 108). */
const PATH_BYTES_MAX = 103;

/**
 * Links over Unix sockets: /unix/PATH. The directory keeps other users out; who it is among our own processes is proved
 * as it is over TCP, by mutual TLS, so that every link means the same.
 */
export function unixTransport(identity: Identity): Transport {
  const context = secureContext(identity);
  return {
    handles: (address) => address.startsWith("/unix/"),

    async listen(address, admit, onLink, admitAddress): Promise<Listener> {
      const path = parseUnixAddress(address);
      try {
        ensurePrivateDirectory(dirname(path));
      } catch (error) {
        throw new RuntimeError("ADDRESS_INVALID", { address, reason: (error as Error).message }, { cause: error });
      }
      await removeStale(path);
      const listener = await TlsListener.listen({ path }, { address, context, admit, admitAddress, onLink, remoteOf: () => address });
      chmodSync(path, 0o600);
      return { address, close: () => listener.close() };
    },

    async dial(address: string, expected: PeerId, signal: AbortSignal): Promise<Link> {
      const { socket, peer } = await dialTls({ path: parseUnixAddress(address) }, context, expected, signal);
      return new StreamLink(socket, { peer, dialled: true, remote: address });
    },
  };
}

/** Accepts both spellings, /unix/run/a.sock and multiaddr's own /unix/%2Frun%2Fa.sock. */
function parseUnixAddress(address: string): string {
  const refuse = (reason: string) => new RuntimeError("ADDRESS_INVALID", { address, reason });
  if (!address.startsWith("/unix/")) throw refuse("not a Unix address");
  let path: string;
  try {
    path = normalize(`/${decodeURIComponent(address.slice("/unix/".length))}`);
  } catch {
    throw refuse("a percent sign without two digits");
  }
  if (path === "/" || path.includes("\0")) throw refuse("not a path");
  if (Buffer.byteLength(path) > PATH_BYTES_MAX) throw refuse(`a socket's path has at most ${PATH_BYTES_MAX} bytes`);
  return path;
}

/** Removes a socket that a dead process left behind: one that refuses connections. Anything else stays. */
async function removeStale(path: string): Promise<void> {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return;
  const refused = await new Promise<boolean>((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => resolve(false)).once("error", (error: NodeJS.ErrnoException) => resolve(error.code === "ECONNREFUSED"));
    probe.once("connect", () => probe.destroy());
  });
  if (refused) rmSync(path, { force: true });
}
