import { RuntimeError } from "@holdfast/core/peer";
import { refusal } from "../protocol/refusal.ts";
import { basicEnvironment } from "../runtime/basic-environment.ts";
import { BriefMemo } from "../services/brief-memo.ts";
import { BuildIds } from "../services/build-id.ts";
import { domainOf, entryPath } from "../services/service-definition.ts";
import { checkVersion, versionToServe } from "../services/version-policy.ts";
import type { ServiceCatalogue } from "../services/service-catalogue.ts";
import type { ServiceDefinition } from "../services/service-definition.ts";
import type { StartPlan } from "./backend-process.ts";

export interface PlannedStart {
  readonly start: StartPlan;
  /** Whether connections may be handed over; null: as the broker does by default. */
  readonly handoff: boolean | null;
}

/** Who wants what; `exact`: this version, and not the one that replaced it. */
export interface WantedService {
  readonly service: string;
  readonly version: string;
  readonly exact: boolean;
}

/** What is to be started for whom, by the definitions of a domain's services. Throws RefusedError. */
export class StartPlans {
  readonly #catalogue: ServiceCatalogue;
  readonly #domain: string;
  readonly #builds = new BuildIds();
  readonly #environment = basicEnvironment();
  readonly #found = new BriefMemo<PlannedStart>();

  constructor(catalogue: ServiceCatalogue, domain: string) {
    this.#catalogue = catalogue;
    this.#domain = domain;
  }

  /** Throws RefusedError service-unknown, version-unsupported, version-blocked. */
  find({ service, version: wanted, exact }: WantedService): PlannedStart {
    return this.#found.get(`${service} ${wanted} ${exact}`, () => {
      const definition = this.#definition(service);
      const version = versionToServe({ wanted, exact, current: this.#catalogue.currentVersion(service) });
      if (typeof version !== "string") throw version;
      return this.#plan(definition, version);
    });
  }

  /** Of a version that is to become the current one, whatever is current now. */
  findUpgrade(service: string, version: string): PlannedStart {
    return this.#plan(this.#definition(service), version);
  }

  /** Of a backend that runs already. Null if no definition says: its file may be gone by now, or damaged. */
  handoffPolicy(service: string): boolean | null {
    try {
      return this.#catalogue.find(service)?.handoff ?? null;
    } catch (error) {
      if (error instanceof RuntimeError) return null;
      throw error;
    }
  }

  /** The current version of a service has changed. */
  forget(): void {
    this.#found.clear();
  }

  /** A bad file disables its service alone, and says why. */
  #definition(service: string): ServiceDefinition {
    const definition = asked(service, () => this.#catalogue.find(service));
    if (definition === undefined) throw refusal("service-unknown", `no service is called ${service}`, { service, directory: this.#catalogue.directory });
    const domain = domainOf(definition);
    if (domain !== this.#domain) throw refusal("service-unknown", `${service} is served in the domain ${domain}`, { service, domain });
    return definition;
  }

  #plan(definition: ServiceDefinition, version: string): PlannedStart {
    const unsupported = checkVersion(definition, version);
    if (unsupported !== undefined) throw unsupported;
    const { service, root, nodeOptions, arguments: given, environment, handoff } = definition;
    const entry = asked(service, () => entryPath(definition, version));
    const key = { service, version, build: asked(service, () => this.#builds.buildId(entry)) };
    return { start: { key, argv: [...nodeOptions, entry, ...given], cwd: root, environment: { ...this.#environment, ...environment } }, handoff };
  }
}

/** A definition that is not valid is told as a service that is not known. */
function asked<T>(service: string, find: () => T): T {
  try {
    return find();
  } catch (error) {
    if (!(error instanceof RuntimeError) || error.code !== "SERVICE_INVALID") throw error;
    const { at, reason } = error.details;
    throw refusal("service-unknown", `the definition of ${service} is not valid: ${String(at)}: ${String(reason)}`, { service, at, reason });
  }
}
