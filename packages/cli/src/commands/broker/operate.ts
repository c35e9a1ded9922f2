import { DomainDirectory, domainOf, ServiceCatalogue, servicesDirectory, startBroker } from "@holdfast/broker";
import { RuntimeError } from "@holdfast/core";
import { noneRuns, openBroker, printJson, theOnlyDomain } from "./running-brokers.ts";
import type { DomainOptions } from "./running-brokers.ts";

/** Of a broker's start: it takes a second, or something is wrong. */
export const START_MS_MAX = 30_000;

interface Upgraded {
  readonly from: readonly string[];
  readonly to: string;
  readonly pid: number;
}

interface Drained {
  readonly drained: readonly string[];
}

/** Each throws RefusedError if the broker says no, and BROKER_UNREACHABLE if it does not answer. */
export async function upgrade(service: string, version: string, { domain, json }: DomainOptions): Promise<void> {
  const name = domain ?? definedDomain(service) ?? undefined;
  if (name === undefined) throw new RuntimeError("NOT_FOUND", { service, directory: servicesDirectory(), reason: "no file defines it" });
  const directory = new DomainDirectory(name);
  await startBroker(directory, AbortSignal.timeout(START_MS_MAX));
  using client = await openBroker(directory);
  const upgraded = (await client.ask("upgrade", { service, version })) as Upgraded;
  if (json === true) return printJson({ domain: name, service, ...upgraded });
  const left = upgraded.from.length === 0 ? "" : `; ${upgraded.from.join(", ")} has finished`;
  console.log(`${service} ${upgraded.to} serves in process ${upgraded.pid}${left}`);
}

export async function quiesce(service: string | undefined, { domain, json }: DomainOptions): Promise<void> {
  const directory = await theOnlyDomain(domain ?? (service === undefined ? undefined : definedDomain(service)));
  using client = await open(directory);
  const { drained } = (await client.ask("quiesce", service === undefined ? {} : { service })) as Drained;
  if (json === true) return printJson({ domain: directory.domain, drained });
  console.log(drained.length === 0 ? `nothing ${service === undefined ? "" : `of ${service} `}was running` : `finished: ${drained.join(", ")}`);
}

export async function shutdown({ domain, json, leaveBackends = false }: DomainOptions & { readonly leaveBackends?: boolean }): Promise<void> {
  const directory = await theOnlyDomain(domain);
  using client = await open(directory);
  const { drained } = (await client.ask("shutdown", { leaveBackends })) as Drained;
  if (json === true) return printJson({ domain: directory.domain, drained });
  console.log(`the broker of ${directory.domain} has ended${drained.length === 0 ? "" : `; finished: ${drained.join(", ")}`}`);
}

/** By its definition; undefined if there is none. Throws SERVICE_INVALID. */
function definedDomain(service: string): string | undefined {
  const definition = new ServiceCatalogue(servicesDirectory()).find(service);
  return definition === undefined ? undefined : domainOf(definition);
}

async function open(directory: DomainDirectory) {
  return await openBroker(directory).catch((error: unknown) => {
    const reason = error instanceof RuntimeError && error.code === "BROKER_UNREACHABLE" ? String(error.details["reason"]) : undefined;
    throw reason === undefined || reason.startsWith("it does not answer") ? error : noneRuns(directory.domain);
  });
}
