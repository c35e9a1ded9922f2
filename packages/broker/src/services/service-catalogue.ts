import { readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { RuntimeError } from "@holdfast/core/peer";
import { syncDirectory } from "@holdfast/host/private-directory";
import * as v from "valibot";
import { ServiceName } from "../protocol/messages.ts";
import { OwnedFiles, statOwned } from "./owned-files.ts";
import { DEFINITION_BYTES_MAX, invalid, parseServiceDefinition, type ServiceDefinition } from "./service-definition.ts";
import { checkVersion, isVersion } from "./version-policy.ts";

/** The longest version, and its newline. */
const VERSION_BYTES_MAX = 65;

export interface CatalogueEntry {
  /** The stem of the file's name. */
  readonly service: string;
  /** Null if `fault` says that the definition is bad. */
  readonly definition: ServiceDefinition | null;
  /** Why no client gets this service now. */
  readonly fault: string | null;
  readonly current: string | null;
}

/**
 * The services of this machine: a directory with a file NAME.json for each, and NAME.version beside it once an operator has
 * upgraded it.
 *
 * Invariants:
 *   S1. What it says is what the files say now: every question looks at the files' state, and reads what has changed.
 *   S2. It believes no file that somebody else could have written. Who owns the directory decides which programs run.
 *   S3. A bad file disables its own service and no other.
 */
export class ServiceCatalogue {
  readonly directory: string;
  readonly #definitions = new OwnedFiles({ bytesMax: DEFINITION_BYTES_MAX, parse: parseServiceDefinition });
  readonly #versions = new OwnedFiles({ bytesMax: VERSION_BYTES_MAX, parse: parseVersion });

  /** A directory that does not exist (yet) is an empty catalogue. */
  constructor(directory: string) {
    this.directory = resolve(directory);
  }

  /** Asked for every client that connects: two stats, unless the file has changed. Throws SERVICE_INVALID. */
  find(service: string): ServiceDefinition | undefined {
    if (!v.is(ServiceName, service) || !this.#isThere(service)) return undefined;
    return this.#definitions.load(service, this.#path(service, "json"));
  }

  /**
   * What an operator upgraded the service to; null: nothing. Throws SERVICE_INVALID: to take a damaged file for none would
   * undo the upgrade.
   */
  currentVersion(service: string): string | null {
    if (!v.is(ServiceName, service) || !this.#isThere(service)) return null;
    return this.#versions.load(service, this.#path(service, "version")) ?? null;
  }

  /**
   * Durable when it returns. Throws NOT_FOUND, SERVICE_INVALID, or RefusedError for a version that the definition does not
   * admit: it would shut everybody out.
   */
  setCurrentVersion(service: string, version: string): void {
    const definition = this.find(service);
    if (definition === undefined) throw new RuntimeError("NOT_FOUND", { service, directory: this.directory });
    const refused = checkVersion(definition, version);
    if (refused !== undefined) throw refused;
    const path = this.#path(service, "version");
    const draft = join(this.directory, `.${service}.version-${process.pid}`);
    try {
      writeFileSync(draft, `${version}\n`, { mode: 0o600, flush: true });
      renameSync(draft, path);
      syncDirectory(this.directory);
    } catch (error) {
      rmSync(draft, { force: true });
      throw invalid(service, path, (error as Error).message, error);
    } finally {
      this.#versions.forget(path); // The file's number may be one that a former version had.
    }
  }

  /** By name. Throws SERVICE_INVALID if the directory itself is not to be trusted. */
  list(): CatalogueEntry[] {
    if (!this.#isThere("*")) return [];
    const files = readdirSync(this.directory).filter((file) => file.endsWith(".json") && !file.startsWith("."));
    return files.map((file) => this.#entry(file.slice(0, -".json".length))).sort((a, b) => (a.service < b.service ? -1 : 1));
  }

  #entry(service: string): CatalogueEntry {
    let [definition, current]: [ServiceDefinition | null, string | null] = [null, null];
    const named = v.safeParse(ServiceName, service);
    if (!named.success) return { service, definition, fault: named.issues[0].message, current };
    try {
      definition = this.find(service) ?? null;
      current = this.currentVersion(service);
      return { service, definition, fault: definition === null ? "a link to nothing" : null, current };
    } catch (error) {
      if (!(error instanceof RuntimeError)) throw error;
      return { service, definition, fault: `${String(error.details["at"])}: ${String(error.details["reason"])}`, current };
    }
  }

  #path(service: string, extension: string): string {
    return join(this.directory, `${service}.${extension}`);
  }

  #isThere(service: string): boolean {
    const stat = statOwned(service, this.directory);
    if (stat?.isDirectory() === false) throw invalid(service, this.directory, "is no directory");
    return stat !== undefined;
  }
}

/** Where a user's services are: $HOLDFAST_SERVICES, else `holdfast/services` in the directory for settings. */
export function servicesDirectory(environment: Readonly<NodeJS.ProcessEnv> = process.env): string {
  const { HOLDFAST_SERVICES: given, XDG_CONFIG_HOME: settings } = environment;
  if (given !== undefined && given !== "") return resolve(given);
  const home = settings !== undefined && settings !== "" ? settings : join(homedir(), ".config");
  return resolve(home, "holdfast", "services");
}

function parseVersion(text: string, service: string): string {
  const version = text.trimEnd();
  if (isVersion(version)) return version;
  throw invalid(service, `${service}.version`, `${JSON.stringify(version)} is no semantic version`);
}
