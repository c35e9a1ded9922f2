import { existsSync, globSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { finding } from "./finding.ts";
import type { Finding } from "./finding.ts";

/** Of every domain: who has several may have a unit for each. */
const UNITS = "holdfast-broker*.service";

/** An installed unit of systemd's must leave the backends alone when it stops the broker. Nothing is said where none is installed. */
export function checkUnits(): Finding[] {
  const settings = process.env["XDG_CONFIG_HOME"] || join(homedir(), ".config");
  // In the order in which systemd looks: the first file of a name is the unit, and further settings come from all.
  const folders = [join(settings, "systemd/user"), "/etc/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user"];
  const names = new Set(folders.flatMap((folder) => globSync(UNITS, { cwd: folder })));
  return [...names].sort().map((name) => checkUnit(name, folders));
}

function checkUnit(name: string, folders: readonly string[]): Finding {
  const [path] = folders.map((folder) => join(folder, name)).filter((file) => existsSync(file));
  const additions = folders.flatMap((folder) => globSync(join(folder, `${name}.d`, "*.conf")).sort());
  const text = [path as string, ...additions].map((file) => readFileSync(file, "utf8")).join("\n");
  const mode = [...text.matchAll(/^\s*KillMode\s*=\s*(\S*)/gm)].at(-1)?.[1] ?? "";
  if (mode === "process") return finding("pass", "systemd", `${path} has KillMode=process`);
  return finding("warn", "systemd", `${path} has ${mode === "" ? "no KillMode" : `KillMode=${mode}`}: whoever stops it kills the backends; set KillMode=process`);
}
