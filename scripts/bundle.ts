import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { install, tools } from "./tools.ts";

/** Throws with what esbuild says. Answers the bundle, unless `--outfile` is among the flags. */
export function bundle(entry: string, flags: readonly string[]): string {
  if (!install(tools)) throw new Error(`what ${tools}/package.json asks for cannot be installed`);
  const esbuild = join(tools, "node_modules", "esbuild", "bin", "esbuild");
  return execFileSync(process.execPath, [esbuild, entry, "--bundle", "--format=esm", "--log-level=warning", ...flags], { encoding: "utf8", maxBuffer: 64 << 20 });
}
