/**
 * Which versions a service serves, and which one a client gets. Pure. The functions of semver are imported one by one:
 * clients import this file too, and all of semver takes four times as long to load.
 */
import gte from "semver/functions/gte.js";
import lt from "semver/functions/lt.js";
import satisfies from "semver/functions/satisfies.js";
import valid from "semver/functions/valid.js";
import validRange from "semver/ranges/valid.js";
import { refusal, type RefusedError } from "../protocol/refusal.ts";
import type { ServiceDefinition } from "./service-definition.ts";

/** How long a client waits that asked for exactly a version which was replaced: operators do roll back. */
export const BLOCKED_RETRY_MS = 30_000;

/** A semantic version as the standard writes it. Semver also takes "v1.0.0" and blanks: as a part of a path these would be another version. */
export function isVersion(text: string): boolean {
  return /^\d[0-9A-Za-z.+-]{0,63}$/.test(text) && valid(text) !== null;
}

/** Not empty: semver takes that for "any". */
export function isVersionRange(text: string): boolean {
  return text.trim() !== "" && validRange(text) !== null;
}

/**
 * Undefined if the definition admits this version. By the standard's order, so 1.10.0-rc is below 1.10.0; and by semver's
 * rule for ranges, a prerelease fits only where the range itself names one of the same version.
 */
export function checkVersion(
  { service, minimumVersion, allowedVersions }: Pick<ServiceDefinition, "service" | "minimumVersion" | "allowedVersions">, version: string,
): RefusedError | undefined {
  const refuse = (reason: string) => refusal("version-unsupported", `${service} ${version} ${reason}`, { version, minimumVersion, allowedVersions });
  if (!isVersion(version)) return refuse("is no semantic version");
  if (minimumVersion !== null && !gte(version, minimumVersion)) return refuse(`is older than ${minimumVersion}`);
  if (allowedVersions === null || allowedVersions.some((range) => satisfies(version, range))) return undefined;
  return refuse(`is none of ${allowedVersions.join(", ")}`);
}

export interface WantedVersion {
  /** Any text: whether the definition admits it is checkVersion's to say. */
  readonly wanted: string;
  /** This version, and not the one that replaced it. */
  readonly exact: boolean;
  /** What an operator upgraded the service to; null: nothing yet. */
  readonly current: string | null;
}

/** The version that a client gets: never one below `current`. */
export function versionToServe({ wanted, exact, current }: WantedVersion): string | RefusedError {
  if (!isVersion(wanted)) return refusal("version-unsupported", `${wanted} is no semantic version`, { version: wanted });
  if (current === null || !lt(wanted, current)) return wanted;
  if (!exact) return current;
  return refusal("version-blocked", `version ${wanted} was replaced by ${current}`, { wanted, current }, BLOCKED_RETRY_MS);
}
