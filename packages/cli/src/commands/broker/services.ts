import { DomainDirectory, domainOf, isRunning, readIdentities, ServiceCatalogue, servicesDirectory } from "@holdfast/broker";
import { tableText } from "../table.ts";
import { askBroker, printJson } from "./running-brokers.ts";
import type { BrokerStatus, CatalogueEntry, ServiceDefinition } from "@holdfast/broker";
import type { DomainOptions } from "./running-brokers.ts";

interface RunningService {
  readonly version: string;
  readonly build: string;
  readonly pid: number;
  readonly state: string;
}

/** What is defined, and what of it runs: from the files, and from the brokers if they run. Throws SERVICE_INVALID. */
export async function services({ domain, json }: DomainOptions): Promise<void> {
  const catalogue = new ServiceCatalogue(servicesDirectory());
  const { directory } = catalogue;
  const all = catalogue.list().filter(({ definition }) => domain === undefined || (definition !== null && domainOf(definition) === domain));
  const running = await runningByDomain(new Set(all.flatMap(({ definition }) => (definition === null ? [] : [domainOf(definition)]))));
  const described = all.map((entry) => describe(entry, running));
  if (json === true) return printJson({ directory, services: described });
  if (described.length === 0) return console.log(`no service ${domain === undefined ? "" : `of ${domain} `}is defined in ${directory}`);
  console.log(tableText(["service", "domain", "versions", "current", "running"], described.map((service) => [
    service.service, service.domain ?? "-", versionsText(service), service.current ?? "-",
    service.running.map(({ version, pid, state }) => `${version} (process ${pid}${state === "running" ? "" : `, ${state}`})`).join("\n") || "-",
  ])));
  for (const { service, fault } of described) if (fault !== null) console.log(`${service} is not served: ${fault}`);
}

/** Also a part of the output that scripts read: fields are added, and none changes its meaning. */
function describe({ service, definition, fault, current }: CatalogueEntry, running: ReadonlyMap<string, readonly (RunningService & { service: string })[]>) {
  const domain = definition === null ? null : domainOf(definition);
  return {
    service, domain, fault, current,
    minimumVersion: definition?.minimumVersion ?? null, allowedVersions: definition?.allowedVersions ?? null,
    root: definition?.root ?? null, entry: definition?.entry ?? null, handoff: definition?.handoff ?? null, labels: definition?.labels ?? {},
    running: (running.get(domain ?? "") ?? []).filter((backend) => backend.service === service)
      .map(({ version, build, pid, state }): RunningService => ({ version, build, pid, state })),
  };
}

async function runningByDomain(domains: ReadonlySet<string>): Promise<Map<string, (RunningService & { service: string })[]>> {
  return new Map(await Promise.all([...domains].map(async (domain) => [domain, await runningIn(new DomainDirectory(domain))] as const)));
}

/** What the broker says; without one, what the backends' own files say. */
async function runningIn(directory: DomainDirectory): Promise<(RunningService & { service: string })[]> {
  const reply = await askBroker<BrokerStatus>(directory, "status");
  if (reply?.state === "up") return [...reply.answer.backends];
  return readIdentities(directory).filter(isRunning).map(({ service, version, build, pid }) => ({ service, version, build, pid, state: "running" }));
}

function versionsText({ minimumVersion, allowedVersions }: Pick<ServiceDefinition, "minimumVersion" | "allowedVersions">): string {
  const parts = [minimumVersion === null ? [] : [`≥ ${minimumVersion}`], allowedVersions === null ? [] : [allowedVersions.join(" or ")]].flat();
  return parts.length === 0 ? "any" : parts.join(", ");
}
