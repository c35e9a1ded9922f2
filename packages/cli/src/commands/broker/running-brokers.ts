import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { BrokerClient, DomainDirectory, runtimeRoot } from "@holdfast/broker";
import { RuntimeError } from "@holdfast/core";
import { ProcessLock } from "@holdfast/host/process-lock";

/** A broker that is stopped by a signal takes the question and never answers. */
export const PATIENCE_MS = 2_000;

export interface DomainOptions {
  readonly domain?: string;
  readonly json?: boolean;
}

/** What one broker said; `silent` holds its lock and says nothing. */
export type Reply<Answer> = Readonly<
  | { domain: string; state: "up"; answer: Answer }
  | { domain: string; state: "silent"; pid: number | null }
>;

/** Every trust domain of this user that has a directory, whether its broker runs or not. A long domain is called by what its directory is. */
export function allDomains(): DomainDirectory[] {
  const root = runtimeRoot();
  if (statSync(root, { throwIfNoEntry: false }) === undefined) return [];
  const directories = readdirSync(root).sort().filter((name) => statSync(join(root, name), { throwIfNoEntry: false })?.isDirectory() === true)
    .map((name) => new DomainDirectory(name, root));
  return directories.filter(({ backends }) => statSync(backends, { throwIfNoEntry: false }) !== undefined);
}

/** Asks the broker of a domain, or of each; those that do not run are left out. Throws RefusedError, BROKER_REFUSED. */
export async function askBrokers<Answer>(domain: string | undefined, verb: string): Promise<Reply<Answer>[]> {
  const directories = domain === undefined ? allDomains() : [new DomainDirectory(domain)];
  const replies = await Promise.all(directories.map((directory) => askBroker<Answer>(directory, verb)));
  return replies.filter((reply) => reply !== undefined);
}

/** Undefined: none runs there. */
export async function askBroker<Answer>(directory: DomainDirectory, verb: string): Promise<Reply<Answer> | undefined> {
  const { domain } = directory;
  try {
    using client = await BrokerClient.open(directory);
    const answer = await inTime(client.ask(verb));
    if (answer !== undefined) return { domain, state: "up", answer: answer as Answer };
  } catch (error) {
    if (!(error instanceof RuntimeError) || error.code !== "BROKER_UNREACHABLE") throw error;
  }
  if (!ProcessLock.isHeld(directory.lock)) return undefined;
  return { domain, state: "silent", pid: ProcessLock.holder(directory.lock) ?? null };
}

/** A connection to a broker that answers, for what may take long. Throws BROKER_UNREACHABLE. */
export async function openBroker(directory: DomainDirectory): Promise<BrokerClient> {
  const client = await BrokerClient.open(directory);
  if ((await inTime(client.ask("healthz"))) !== undefined) return client;
  client.close();
  const pid = ProcessLock.holder(directory.lock) ?? "unknown";
  throw new RuntimeError("BROKER_UNREACHABLE", { domain: directory.domain, pid, reason: `it does not answer within ${PATIENCE_MS} ms` });
}

/** The domain that is given, or that of the only broker that runs. Throws BROKER_UNREACHABLE, OPTION_INVALID. */
export async function theOnlyDomain(domain: string | undefined): Promise<DomainDirectory> {
  if (domain !== undefined) return new DomainDirectory(domain);
  const found = await askBrokers(undefined, "healthz");
  const [only, other] = found;
  if (only === undefined) throw noneRuns(undefined);
  if (other === undefined) return new DomainDirectory(only.domain);
  throw new RuntimeError("OPTION_INVALID", { option: "--domain", reason: `several brokers run: ${found.map((reply) => reply.domain).join(", ")}` });
}

export function noneRuns(domain: string | undefined): RuntimeError {
  return new RuntimeError("BROKER_UNREACHABLE", { ...(domain !== undefined && { domain }), directory: runtimeRoot(), reason: "none runs" });
}

async function inTime<T>(answer: Promise<T>): Promise<T | undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const late = setTimeout(() => resolve(undefined), PATIENCE_MS);
  return await Promise.race([answer, promise]).finally(() => clearTimeout(late));
}

export function printJson(value: unknown): void {
  console.log(JSON.stringify(value, null, 2));
}
