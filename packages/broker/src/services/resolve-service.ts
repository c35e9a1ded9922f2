import { RefusedError } from "../protocol/refusal.ts";
import { BriefMemo } from "./brief-memo.ts";
import { BuildIds } from "./build-id.ts";
import { ServiceCatalogue, servicesDirectory } from "./service-catalogue.ts";
import { domainOf, entryPath } from "./service-definition.ts";
import { checkVersion, versionToServe } from "./version-policy.ts";

/** Of a service that no definition names: whoever serves it by hand, and whoever looks for it, mean this build. */
const UNDEFINED_BUILD = "undefined";

export interface ResolvedService {
  readonly version: string;
  readonly build: string;
  readonly domain: string;
}

let catalogue: ServiceCatalogue | undefined;
const builds = new BuildIds();
const resolved = new BriefMemo<ResolvedService>();

/**
 * Where a client finds a service: computed from its definition, without asking anybody. A few stats, as long as nothing has
 * changed. Throws SERVICE_INVALID, and RefusedError for a version that is not served: a client that needs no broker keeps to
 * the same rules.
 */
export function resolveService(service: string, wanted: string, exact = false): ResolvedService {
  const directory = servicesDirectory();
  return resolved.get(`${directory} ${service} ${wanted} ${exact}`, () => resolveNow(directory, service, wanted, exact));
}

function resolveNow(directory: string, service: string, wanted: string, exact: boolean): ResolvedService {
  if (catalogue?.directory !== directory) catalogue = new ServiceCatalogue(directory);
  const definition = catalogue.find(service);
  if (definition === undefined) return { version: wanted, build: UNDEFINED_BUILD, domain: "shared" };
  const version = versionToServe({ wanted, exact, current: catalogue.currentVersion(service) });
  if (version instanceof RefusedError) throw version;
  const unsupported = checkVersion(definition, version);
  if (unsupported !== undefined) throw unsupported;
  return { version, build: builds.buildId(entryPath(definition, version)), domain: domainOf(definition) };
}
