import { lookup } from "node:dns";
import { isIPv6, type LookupFunction, type Socket } from "node:net";
import { multiaddr } from "@multiformats/multiaddr";
import { assert, type PeerId, RuntimeError } from "@holdfast/core";
import type { Identity } from "../identity/identity.ts";
import type { AdmitAddress, Link, Listener, Transport } from "./link.ts";
import { StreamLink } from "./stream-link.ts";
import { dialTls, secureContext } from "./tls-handshake.ts";
import { TlsListener } from "./tls-listener.ts";

/** The host protocols of a TCP address, and the address family that each asks for. */
const FAMILIES: Readonly<Record<string, 0 | 4 | 6>> = { ip4: 4, ip6: 6, dns: 0, dns4: 4, dns6: 6 };

/** Links over TCP, with TLS 1.3 on both sides: /ip4/HOST/tcp/PORT, /ip6, /dns, /dns4, /dns6. */
export function tlsTransport(identity: Identity): Transport {
  const context = secureContext(identity);
  return {
    handles: (address) => Object.keys(FAMILIES).some((protocol) => address.startsWith(`/${protocol}/`)),

    async listen(address, admit, onLink, admitAddress): Promise<Listener> {
      const { host, port, family } = parseTcpAddress(address);
      const remoteOf = (socket: Socket) => tcpAddress(socket.remoteAddress, socket.remotePort);
      const listener = await TlsListener.listen({ host, port, ipv6Only: family === 6 }, { address, context, admit, admitAddress, onLink, remoteOf });
      const { bound } = listener;
      assert(bound !== null && typeof bound === "object", "a TCP socket is bound to a port");
      return { address: tcpAddress(bound.address, bound.port), close: () => listener.close() };
    },

    async dial(address: string, expected: PeerId, signal: AbortSignal, admitAddress?: AdmitAddress): Promise<Link> {
      const target = parseTcpAddress(address);
      const lookup = admitAddress === undefined ? {} : { lookup: admittedAddresses(target.port, admitAddress) };
      const { socket, peer } = await dialTls({ ...target, ...lookup, noDelay: true }, context, expected, signal);
      return new StreamLink(socket, { peer, dialled: true, remote: tcpAddress(socket.remoteAddress, socket.remotePort) });
    },
  };
}

interface TcpTarget {
  readonly host: string;
  readonly port: number;
  readonly family: 0 | 4 | 6;
}

function parseTcpAddress(address: string): TcpTarget {
  let parts;
  try {
    parts = multiaddr(address).getComponents();
  } catch (error) {
    throw new RuntimeError("ADDRESS_INVALID", { address, reason: (error as Error).message }, { cause: error });
  }
  const [host, port, ...rest] = parts;
  const family = FAMILIES[host?.name ?? ""];
  if (family === undefined || host?.value === undefined || port?.name !== "tcp" || rest.length > 0) {
    throw new RuntimeError("ADDRESS_INVALID", { address });
  }
  return { host: host.value, port: Number(port.value), family };
}

/** Looks a name up as Node.js does, and leaves out the addresses that are not admitted: those are not even connected to. */
function admittedAddresses(port: number, admit: AdmitAddress): LookupFunction {
  return (name, options, done) => {
    lookup(name, { ...options, all: true }, (error, found) => {
      if (error !== null) return done(error, "", 0);
      const admitted = found.filter(({ address }) => admit(tcpAddress(address, port)));
      const [first] = admitted;
      if (first === undefined) return done(new Error(`policy denies every address of ${name}`), "", 0);
      if (options.all === true) done(null, admitted);
      else done(null, first.address, first.family);
    });
  };
}

function tcpAddress(host: string | undefined, port: number | undefined): string {
  return `/${host !== undefined && isIPv6(host) ? "ip6" : "ip4"}/${host ?? "unknown"}/tcp/${port ?? 0}`;
}
