/** `npm test`: the check, then every test. Arguments, if any, are the test files to run instead of all. */
import { spawnSync } from "node:child_process";
import { delimiter, join } from "node:path";
import { has, install, installFromDebian, root, tools } from "./tools.ts";

const given = process.argv.slice(2);
/** Where optional libraries are that the workspace does without: the tests of what they add see them. */
const optional = join(tools, "node_modules");
const env = {
  ...process.env,
  NODE_COMPILE_CACHE: join(root, "node_modules", ".cache", "compile"),
  NODE_PATH: [optional, process.env["NODE_PATH"]].filter(Boolean).join(delimiter),
};

function run(args: readonly string[]): void {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: "inherit", env });
  if (status !== 0) process.exit(status ?? 1);
}

if (given.length === 0) run(["scripts/check.ts"]);
// The check did; and two tests must not do it at a time.
else install(tools);
// For the power-cut tests, which are skipped, and say so, where it is not.
if (!has("gcc")) installFromDebian(["gcc", "libc6-dev"]);
const files = given.length > 0 ? given : ["packages/**/*.test.ts", "examples/**/*.test.ts", "scripts/*.test.ts", "bench/*.test.ts", "bench/*/*.test.ts"];
// Two at a time: the tests of processes, sockets and disks take their share of the machine.
run(["--conditions=holdfast-source", "--test", "--test-concurrency=2", "--test-timeout=300000", ...files]);
