import { createServer, type ListenOptions, type Server, type Socket } from "node:net";
import type { SecureContext } from "node:tls";
import { RuntimeError } from "@holdfast/core";
import type { Admit, AdmitAddress, Link } from "./link.ts";
import { StreamLink } from "./stream-link.ts";
import { acceptTls } from "./tls-handshake.ts";

/** Connections that have not proved who they are. Strangers beyond it are dropped: they cost memory and a handshake each. */
export const UNAUTHENTICATED_MAX = 256;

export interface TlsListenerOptions {
  /** As given, for errors. */
  readonly address: string;
  readonly context: SecureContext;
  readonly admit: Admit;
  readonly admitAddress: AdmitAddress | undefined;
  readonly onLink: (link: Link) => void;
  readonly remoteOf: (socket: Socket) => string;
}

/** A listening socket whose connections become links once they are authenticated and admitted. */
export class TlsListener {
  readonly #server: Server;
  readonly #options: TlsListenerOptions;
  readonly #unauthenticated = new Set<Socket>();

  private constructor(options: TlsListenerOptions) {
    this.#options = options;
    this.#server = createServer({ noDelay: true }, (raw) => void this.#accept(raw));
  }

  static async listen(target: ListenOptions, options: TlsListenerOptions): Promise<TlsListener> {
    const listener = new TlsListener(options);
    const server = listener.#server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", (error: NodeJS.ErrnoException) => reject(listenError(error, options.address)));
      server.listen(target, resolve);
    });
    server.removeAllListeners("error");
    // Trouble with one connection (say, too many open files) must not take the node down.
    server.on("error", () => {});
    return listener;
  }

  get bound(): ReturnType<Server["address"]> {
    return this.#server.address();
  }

  /** Stops listening. Links live on; connections without a link yet are dropped. */
  async close(): Promise<void> {
    this.#server.close();
    for (const raw of this.#unauthenticated) raw.destroy();
  }

  async #accept(raw: Socket): Promise<void> {
    raw.on("error", () => raw.destroy());
    const { admit, admitAddress, onLink, remoteOf, context } = this.#options;
    const remote = remoteOf(raw);
    const isWelcome = admitAddress === undefined || admitAddress(remote);
    if (!isWelcome || this.#unauthenticated.size >= UNAUTHENTICATED_MAX) return void raw.destroy();
    this.#unauthenticated.add(raw);
    const authenticated = await acceptTls(raw, context).catch(() => undefined); // a stranger's failure is no news
    this.#unauthenticated.delete(raw);
    if (authenticated === undefined) return;
    const { socket, peer } = authenticated;
    const link = new StreamLink(socket, { peer, dialled: false, remote });
    if (this.#server.listening && admit(peer, remote)) onLink(link);
    else link.destroy();
  }
}

function listenError(error: NodeJS.ErrnoException, address: string): RuntimeError {
  if (error.code === "EADDRINUSE") return new RuntimeError("ADDRESS_IN_USE", { address }, { cause: error });
  return new RuntimeError("ADDRESS_INVALID", { address, reason: error.message }, { cause: error });
}
