import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { dirname, join } from "node:path";
import { RuntimeError } from "@holdfast/core/peer";
import { readStamped, StatMemo } from "./stat-memo.ts";

/** Builds that are remembered; one more costs a read of the entry, not a wrong answer. */
const BUILDS_MAX = 256;

/**
 * Tells the builds of one version apart, so that a client of a rebuilt service does not reach a backend of the old build.
 * Every backend is the same `node`, so the executable's hash, which identifies a program elsewhere, would say nothing here:
 * what differs is the entry file and the package that it belongs to. Files that the entry imports are not looked at; a
 * build that changes only those must change the package's version too.
 */
export class BuildIds {
  readonly #memo = new StatMemo<string>(BUILDS_MAX);

  /**
   * 16 hex digits of the entry's content, and the name and version of the nearest package.json above it. `entry` is a
   * real path, as of entryPath(): node looks for the package from there. Throws SERVICE_INVALID.
   */
  buildId(entry: string): string {
    try {
      // The walk is repeated every time: a nearer package.json may have appeared.
      const packagePath = nearestPackage(dirname(entry));
      const packageStat = packagePath === null ? null : statSync(packagePath, { bigint: true });
      return this.#memo.get(entry, statSync(entry, { bigint: true }), packageStat) ?? this.#hash(entry, packagePath);
    } catch (error) {
      throw new RuntimeError("SERVICE_INVALID", { at: entry, reason: (error as Error).message }, { cause: error });
    }
  }

  #hash(entry: string, packagePath: string | null): string {
    const { bytes, stat } = readStamped(entry);
    const inPackage = packagePath === null ? null : readStamped(packagePath);
    // JSON holds no NUL, so no two pairs of package and content run into the same bytes.
    const hash = createHash("sha256").update(`${packageKey(inPackage?.bytes)}\0`).update(bytes).digest("hex").slice(0, 16);
    this.#memo.set(entry, hash, stat, inPackage?.stat ?? null);
    return hash;
  }
}

function nearestPackage(directory: string): string | null {
  const path = join(directory, "package.json");
  if (statSync(path, { throwIfNoEntry: false })?.isFile() === true) return path;
  const parent = dirname(directory);
  return parent === directory ? null : nearestPackage(parent);
}

/** A package.json that is damaged names nothing: whether it may be is node's to say. */
function packageKey(bytes: Buffer | undefined): string {
  try {
    const { name, version } = JSON.parse(bytes?.toString("utf8") ?? "") as Record<string, unknown>;
    return JSON.stringify([name, version]);
  } catch {
    return "";
  }
}
