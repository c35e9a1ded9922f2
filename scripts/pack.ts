/** `npm run pack -- core fetch [--into DIR]`: the tarballs that are published. */
import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { root } from "./tools.ts";

/** Resolves to sources, in a checkout only. */
const SOURCE_CONDITION = "holdfast-source";

/** Builds a package from nothing and packs it into a folder; answers the tarball's path. */
export function pack(name: string, into: string): string {
  const folder = join(root, "packages", name);
  // What was compiled from a source that is gone would be packed as well.
  for (const old of ["dist", "tsconfig.tsbuildinfo"]) rmSync(join(folder, old), { recursive: true, force: true });
  execFileSync(join(root, "node_modules", ".bin", "tsc"), ["-b", folder], { stdio: "inherit" });
  const staged = mkdtempSync(join(tmpdir(), "holdfast-pack-"));
  try {
    const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"), (key, value: unknown) => (key === SOURCE_CONDITION ? undefined : value)) as { files: string[] };
    writeFileSync(join(staged, "package.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
    copyFileSync(join(root, "LICENSE"), join(staged, "LICENSE"));
    for (const file of [...manifest.files, "README.md"]) if (existsSync(join(folder, file))) cpSync(join(folder, file), join(staged, file), { recursive: true });
    mkdirSync(into, { recursive: true });
    const printed = execFileSync("npm", ["pack", staged, "--json", "--silent", "--ignore-scripts", "--pack-destination", into], { encoding: "utf8" });
    const [{ filename }] = JSON.parse(printed) as [{ filename: string }];
    return join(into, filename);
  } finally {
    rmSync(staged, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { into: { type: "string", default: "." } } });
  if (positionals.length === 0) throw new Error("which packages? For example: npm run pack -- core fetch");
  for (const name of positionals) console.log(pack(name, resolve(values.into)));
}
