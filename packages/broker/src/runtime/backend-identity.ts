import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { ServiceName } from "../protocol/messages.ts";
import { bootId, isAlive, processStartTime } from "./process-facts.ts";
import type { DomainDirectory, ServiceKey } from "./domain-directory.ts";

/** Far more than one is long. */
const IDENTITY_BYTES_MAX = 64 * 1024;

const Identity = v.object({
  format: v.literal(1),
  service: ServiceName, version: v.string(), build: v.string(),
  pid: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  startTime: v.nullable(v.string()),
  bootId: v.nullable(v.string()),
  /** Shared by the backend and whoever may read this file (mode 0600); proved, never sent. */
  secret: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
});

/** By what a live backend is found and verified after its broker was killed. */
export type BackendIdentity = v.InferOutput<typeof Identity>;

export function newSecret(): string {
  return randomBytes(32).toString("hex");
}

export function ownIdentity(key: ServiceKey, secret: string): BackendIdentity {
  return { format: 1, ...key, pid: process.pid, startTime: processStartTime(process.pid), bootId: bootId(), secret };
}

export function writeIdentity(directory: DomainDirectory, identity: BackendIdentity): void {
  const path = directory.identity(identity);
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, JSON.stringify(identity), { mode: 0o600 });
  renameSync(temporary, path);
}

export function readIdentity(path: string): BackendIdentity | undefined {
  try {
    const bytes = readFileSync(path);
    if (bytes.length > IDENTITY_BYTES_MAX) return undefined;
    const checked = v.safeParse(Identity, JSON.parse(bytes.toString("utf8")));
    return checked.success ? checked.output : undefined;
  } catch {
    return undefined;
  }
}

/** Every identity of a domain; files that are none, or that lie under another key's name, are left out. */
export function readIdentities(directory: DomainDirectory): BackendIdentity[] {
  const found: BackendIdentity[] = [];
  for (const name of listed(directory.backends)) {
    if (!name.endsWith(".json")) continue;
    const path = join(directory.backends, name);
    const identity = readIdentity(path);
    if (identity !== undefined && directory.identity(identity) === path) found.push(identity);
  }
  return found;
}

/** Removes what a backend left behind: its endpoint and its identity, unless another process has taken them since. */
export function removeIdentity(directory: DomainDirectory, key: ServiceKey, pid: number): void {
  if (readIdentity(directory.identity(key))?.pid !== pid) return;
  rmSync(directory.identity(key), { force: true });
  rmSync(directory.endpoint(key), { force: true });
}

/** Is the process that wrote it still there? Numbers of processes are used again, also across boots of the machine. */
export function isRunning({ pid, startTime, bootId: boot }: BackendIdentity): boolean {
  return boot === bootId() && isAlive(pid) && (startTime === null || startTime === processStartTime(pid));
}

export type Side = "broker" | "backend";

/** What only a holder of the secret can answer to a nonce that was never used before. */
export function proofOf(secret: string, side: Side, nonce: string): string {
  return createHmac("sha256", Buffer.from(secret, "hex")).update(`${side}:${nonce}`).digest("hex");
}

export function proves(secret: string, side: Side, nonce: string, proof: string): boolean {
  return timingSafeEqual(Buffer.from(proofOf(secret, side, nonce)), Buffer.from(proof));
}

function listed(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
