/** `npm run check`: types, purity of core, lint. The order of the folders is checked by a test (scripts/layers.test.ts). */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { install, root, tools } from "./tools.ts";

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

run("core compiles without Node and DOM types", bin("tsc"), ["-p", "packages/core", "--noEmit"]);
run("everything compiles", bin("tsc"), ["-p", "tsconfig.check.json"]);
if (!install(tools)) {
  console.error("✖ tools are installed");
  process.exit(1);
}
run("lint", join(tools, "node_modules", ".bin", "oxlint"), ["--deny-warnings", "packages", "examples", "bench", "scripts"]);
