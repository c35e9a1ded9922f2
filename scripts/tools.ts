/** What is installed besides the workspace, where it is needed and not there: npm packages in folders of their own, and Debian's. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

export const root = join(import.meta.dirname, "..");
export const tools = join(root, "tools");

interface Manifest {
  readonly version?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

function readManifest(folder: string): Manifest | undefined {
  const file = join(folder, "package.json");
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Manifest) : undefined;
}

/** Is this one there, in the version that the folder's manifest asks for? */
export function isInstalled(folder: string, name: string): boolean {
  const { dependencies, optionalDependencies } = readManifest(folder) ?? {};
  const wanted = { ...dependencies, ...optionalDependencies }[name];
  // An alias is "npm:NAME@VERSION"; some say "v1.2.3".
  return wanted !== undefined && readManifest(join(folder, "node_modules", name))?.version?.replace(/^v/, "") === wanted.slice(wanted.lastIndexOf("@") + 1);
}

/** Installs what a folder's manifest asks for, unless those of the names are there; true if it worked. */
export function install(folder: string, names: readonly string[] = Object.keys(readManifest(folder)?.dependencies ?? {})): boolean {
  if (names.every((name) => isInstalled(folder, name))) return true;
  // Their binaries come as packages: no script of theirs needs to run.
  const quiet = ["--no-package-lock", "--no-audit", "--no-fund", "--silent", "--ignore-scripts"];
  return spawnSync("npm", ["install", "--prefix", folder, ...quiet], { stdio: ["ignore", "ignore", "inherit"] }).status === 0;
}

/** Installs Debian's packages where that is possible, which takes root; whoever needs them looks whether they are there. */
export function installFromDebian(packages: readonly string[]): void {
  if (process.platform !== "linux" || process.getuid?.() !== 0 || !has("apt-get")) return;
  spawnSync("sh", ["-c", `apt-get update -qq && apt-get install -qq --no-install-recommends ${packages.join(" ")}`], { stdio: ["ignore", "ignore", "inherit"] });
}

export function has(command: string): boolean {
  return spawnSync(command, ["--version"], { stdio: "ignore" }).error === undefined;
}
