import { readdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { DomainDirectory, domainOf, entryPath, RefusedError, ServiceCatalogue, servicesDirectory } from "@holdfast/broker";
import { StartPlans } from "@holdfast/broker/diagnosis";
import { RuntimeError } from "@holdfast/core";
import { finding } from "./finding.ts";
import type { CatalogueEntry, ServiceDefinition } from "@holdfast/broker";
import type { Finding, Level } from "./finding.ts";

const PLACE = "{version}";

/** What is defined, as a broker would see it now. */
export function checkServices(domain: string | undefined): Finding[] {
  const catalogue = new ServiceCatalogue(servicesDirectory());
  const { directory } = catalogue;
  const say = (level: Level, text: string) => finding(level, "services-directory", text);
  if (statSync(directory, { throwIfNoEntry: false }) === undefined) return [say("pass", `${directory} does not exist: no service is defined`)];
  try {
    const entries = catalogue.list().filter(({ definition }) => domain === undefined || definition === null || domainOf(definition) === domain);
    return [say("pass", `${directory}, services: ${entries.length}`), ...entries.map((entry) => checkService(catalogue, entry))];
  } catch (error) {
    // Whoever can write in it decides which programs run: nothing in it is believed.
    return [say("fail", `${reasonOf(error)}: no service is served`)];
  }
}

function checkService(catalogue: ServiceCatalogue, { service, definition, fault, current }: CatalogueEntry): Finding {
  const say = (level: Level, text: string) => finding(level, "service", text, service);
  if (definition === null || fault !== null) return say("fail", `every client is refused: ${fault}`);
  const domain = domainOf(definition);
  const plans = new StartPlans(catalogue, domain);
  const plan = (version: string) => plans.findUpgrade(service, version).start;
  try {
    void new DomainDirectory(domain); // Its paths may be too long.
    if (current !== null) return say("pass", `domain ${domain}, current version ${current}, build ${plan(current).key.build}`);
    if (!definition.entry.includes(PLACE)) return say("pass", `domain ${domain}, ${entryPath(definition, "0.0.0")}`);
    const there = versionsThere(definition);
    const served = there.filter((version) => isNoRefusal(() => plan(version)));
    if (served.length > 0) return say("pass", `domain ${domain}, versions there: ${served.join(", ")}`);
    return say("fail", `every client is refused: of ${definition.entry} no version is there${there.length === 0 ? "" : ` that may run (${there.join(", ")})`}`);
  } catch (error) {
    return say("fail", `clients are refused: ${reasonOf(error)}`);
  }
}

function isNoRefusal(act: () => unknown): boolean {
  try {
    act();
    return true;
  } catch (error) {
    if (error instanceof RefusedError) return false;
    throw error;
  }
}

/** By the names of the files or directories that the place for the version stands in. */
function versionsThere({ entry }: ServiceDefinition): string[] {
  const at = entry.indexOf(PLACE);
  const folder = dirname(`${entry.slice(0, at)}x`);
  const prefix = entry.slice(folder === "/" ? 1 : folder.length + 1, at);
  const [suffix = ""] = entry.slice(at + PLACE.length).split("/");
  const names = readdirSync(folder).filter((name) => name.startsWith(prefix) && name.endsWith(suffix));
  return names.map((name) => name.slice(prefix.length, name.length - suffix.length)).filter((version) => /^\d+\.\d+\.\d+/.test(version)).sort();
}

function reasonOf(error: unknown): string {
  if (error instanceof RefusedError) return error.message;
  if (error instanceof RuntimeError && error.code === "SERVICE_INVALID") return `${String(error.details["at"])} ${String(error.details["reason"])}`;
  return (error as Error).message;
}
