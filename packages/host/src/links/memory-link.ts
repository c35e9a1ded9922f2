import { duplexPair } from "node:stream";
import { type PeerId, RuntimeError } from "@holdfast/core";
import type { Admit, Link, Listener, Transport } from "./link.ts";
import { StreamLink } from "./stream-link.ts";

interface Listening {
  readonly peer: PeerId;
  readonly admit: Admit;
  readonly onLink: (link: Link) => void;
}

/** Where memory links meet: those of one network reach one another, under /memory/NAME. */
export class MemoryNetwork {
  readonly listening = new Map<string, Listening>();
  #nameNext = 1;

  /** For /memory/0, as a port of 0 means a free one. */
  freeAddress(): string {
    return `/memory/${this.#nameNext++}`;
  }
}

/** Links inside one process, for tests: the same framing over a pair of streams, and peers that are believed. */
export function memoryTransport(network: MemoryNetwork, self: PeerId): Transport {
  return {
    handles: (address) => address.startsWith("/memory/"),

    async listen(wanted, admit, onLink): Promise<Listener> {
      if (!/^\/memory\/[^/]+$/.test(wanted)) throw new RuntimeError("ADDRESS_INVALID", { address: wanted });
      const address = wanted === "/memory/0" ? network.freeAddress() : wanted;
      if (network.listening.has(address)) throw new RuntimeError("ADDRESS_IN_USE", { address });
      network.listening.set(address, { peer: self, admit, onLink });
      return { address, close: async () => void network.listening.delete(address) };
    },

    async dial(address: string, expected: PeerId, signal: AbortSignal): Promise<Link> {
      signal.throwIfAborted();
      const listening = network.listening.get(address);
      if (listening === undefined) throw new Error(`nobody listens on ${address}`);
      if (listening.peer !== expected) throw new RuntimeError("CERTIFICATE_INVALID", { expected, found: listening.peer });
      const [here, there] = duplexPair({ allowHalfOpen: false });
      // A pair passes on the end of one side, but not its destruction.
      here.once("close", () => there.destroy());
      there.once("close", () => here.destroy());
      const accepted = new StreamLink(there, { peer: self, dialled: false, remote: address });
      if (listening.admit(self, address)) listening.onLink(accepted);
      else accepted.destroy();
      return new StreamLink(here, { peer: expected, dialled: true, remote: address });
    },
  };
}
