import { chmodSync, renameSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { RuntimeError } from "@holdfast/core/peer";
import { ProcessLock } from "@holdfast/host/process-lock";
import type { Server } from "node:net";
import type { DomainDirectory, ServiceKey } from "./domain-directory.ts";

/** Connections that wait for a backend to take them. Linux takes the smaller of this and net.core.somaxconn (4096). */
const BACKLOG = 4096;
/** Others hold the claim lock for milliseconds. */
const CLAIM_WAIT_MS = 5_000;
const CLAIM_RETRY_MS = 5;

/** Does somebody listen there? */
export function answers(path: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(path);
    socket.once("error", (error: NodeJS.ErrnoException) => done(error.code !== "ENOENT" && error.code !== "ECONNREFUSED"));
    socket.once("connect", () => {
      socket.destroy();
      done(true);
    });
  });
}

/**
 * Makes a listening socket under a name of its own, renames it to the one that clients connect to, and hands it to `use`. All
 * of it in one turn of the event loop: nothing was accepted here when `use` has passed the socket on and closed this copy of
 * it. (Closing a server removes the path that it was bound to, which the rename has taken out of the way.) The name comes
 * first: whoever is killed between the two leaves a path that nobody listens on, and not a backend that nobody can find.
 */
export function bindRenamed<T>(path: string, use: (server: Server) => T): T {
  const temporary = `${path}.${process.pid}`;
  rmSync(temporary, { force: true });
  const server = createServer();
  let failure: Error | undefined;
  server.once("error", (error) => (failure = error));
  server.listen({ path: temporary, backlog: BACKLOG });
  if (!hasHandle(server)) {
    throw new RuntimeError("ADDRESS_INVALID", { address: path, reason: failure?.message ?? "it cannot be bound" });
  }
  try {
    chmodSync(temporary, 0o600);
    renameSync(temporary, path);
    return use(server);
  } catch (error) {
    server.close();
    rmSync(temporary, { force: true });
    rmSync(path, { force: true });
    throw error;
  }
}

function hasHandle(server: Server): boolean {
  return server.address() !== null;
}

/**
 * Calls `claim` while nobody else can make or remove an endpoint of this domain, after making sure that nobody listens on
 * this one. Throws ENDPOINT_BUSY.
 */
export async function withFreeEndpoint<T>(directory: DomainDirectory, key: ServiceKey, claim: (path: string) => T): Promise<T> {
  const lock = await takeClaimLock(directory);
  try {
    const path = directory.endpoint(key);
    const { service, version, build } = key;
    if (await answers(path)) throw new RuntimeError("ENDPOINT_BUSY", { service, version, build, path });
    rmSync(directory.identity(key), { force: true }); // Of a dead one: whoever cleans up after that would take our endpoint too.
    return claim(path);
  } finally {
    lock.release();
  }
}

async function takeClaimLock(directory: DomainDirectory): Promise<ProcessLock> {
  for (let waitedMs = 0; waitedMs < CLAIM_WAIT_MS; waitedMs += CLAIM_RETRY_MS) {
    const lock = ProcessLock.tryTake(directory.claimLock);
    if (lock !== undefined) return lock;
    await sleep(CLAIM_RETRY_MS);
  }
  throw new RuntimeError("ENDPOINT_BUSY", { reason: "the claim lock is held", pid: ProcessLock.holder(directory.claimLock) ?? "unknown" });
}
