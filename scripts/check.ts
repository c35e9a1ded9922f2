/** `npm run check`: types, purity of core, lint. The order of the folders is checked by a test (scripts/layers.test.ts). */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const tools = join(root, "tools");
const bin = (name: string): string => join(root, "node_modules", ".bin", name);

function run(title: string, command: string, args: readonly string[]): void {
  const started = performance.now();
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (status !== 0) {
    console.error(`✖ ${title}${error === undefined ? "" : `: ${error.message}`}`);
    process.exit(1);
  }
  console.log(`✔ ${title} (${Math.round(performance.now() - started)} ms)`);
}

/** Each of them, at the version that is asked for. */
function toolsAreInstalled(): boolean {
  const { dependencies } = readManifest(tools) as { dependencies: Record<string, string> };
  return Object.entries(dependencies).every(([name, version]) => readManifest(join(tools, "node_modules", name))?.version === version);
}

function readManifest(folder: string): { version?: string } | undefined {
  const file = join(folder, "package.json");
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : undefined;
}

run("core compiles without Node and DOM types", bin("tsc"), ["-p", "packages/core", "--noEmit"]);
run("everything compiles", bin("tsc"), ["-p", "tsconfig.check.json"]);
if (!toolsAreInstalled()) {
  // Their binaries come as packages: no script of theirs needs to run.
  const quiet = ["--no-package-lock", "--no-audit", "--no-fund", "--silent", "--ignore-scripts"];
  run("tools are installed", "npm", ["install", "--prefix", "tools", ...quiet]);
}
run("lint", join(tools, "node_modules", ".bin", "oxlint"), ["--deny-warnings", "packages", "examples", "bench", "scripts"]);
