import { createServer } from "node:net";
import { RuntimeError } from "@holdfast/core";
import type { Server } from "node:net";
import type { Fleet } from "./define-fleet.ts";
import type { FleetRecord } from "./fleet-directory.ts";

const ANY_LOOPBACK_PORT = "/ip4/127.0.0.1/tcp/0";
const TCP = /^(\/(?:ip4|ip6)\/([^/]+)\/tcp\/)(\d+)$/;

/**
 * Gives every node its address. A free port is chosen once and then kept, since peers, also such in other fleets, are
 * told of it: `earlier` is what the fleet's record says.
 */
export async function assignAddresses(fleet: Fleet, earlier: FleetRecord | undefined): Promise<Map<string, string | null>> {
  const assigned = new Map<string, string | null>();
  const held: Server[] = [];
  try {
    for (const { name, listen = ANY_LOOPBACK_PORT } of fleet.nodes.values()) {
      const [, prefix, host, port] = TCP.exec(listen ?? "") ?? [];
      const kept = earlier?.nodes.find((node) => node.name === name)?.address;
      if (port !== "0" || prefix === undefined || host === undefined) assigned.set(name, listen);
      else if (kept?.startsWith(prefix) === true) assigned.set(name, kept);
      else {
        // Held until all are chosen, so that no port is chosen twice.
        const server = await listenOn(host, 0);
        held.push(server);
        assigned.set(name, `${prefix}${(server.address() as { port: number }).port}`);
      }
    }
  } finally {
    await Promise.all(held.map((server) => new Promise((done) => server.close(done))));
  }
  return assigned;
}

/** Throws ADDRESS_IN_USE, naming node and address, before anything is started. */
export async function checkAddressesFree(assigned: ReadonlyMap<string, string | null>): Promise<void> {
  for (const [node, address] of assigned) {
    const [, , host, port] = TCP.exec(address ?? "") ?? [];
    if (host === undefined) continue;
    try {
      const server = await listenOn(host, Number(port));
      await new Promise((done) => server.close(done));
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === "EADDRINUSE") throw new RuntimeError("ADDRESS_IN_USE", { node, address }, { cause: error });
      throw new RuntimeError("ADDRESS_INVALID", { node, address, reason: message }, { cause: error });
    }
  }
}

function listenOn(host: string, port: number): Promise<Server> {
  return new Promise((done, refuse) => {
    const server = createServer();
    server.once("error", refuse);
    server.listen({ host, port }, () => done(server));
  });
}
