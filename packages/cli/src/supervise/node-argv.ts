import { fileURLToPath } from "node:url";

/** `main` beside this folder, as the source it is here or as what was built from it. */
const MAIN = fileURLToPath(new URL(import.meta.url.endsWith(".ts") ? "../main.ts" : "../main.js", import.meta.url));

/** Command line of a node's process, after the executable: it imports under the same conditions as this one. */
export function nodeArgv(file: string, name: string, data: string): string[] {
  return [...process.execArgv, MAIN, "node", file, name, "--data", data];
}
