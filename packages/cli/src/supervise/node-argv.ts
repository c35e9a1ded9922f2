import { fileURLToPath } from "node:url";

/** `main` beside this folder, as the source it is here or as what was built from it. */
const MAIN = fileURLToPath(new URL(import.meta.url.endsWith(".ts") ? "../main.ts" : "../main.js", import.meta.url));

/** The young generation's share of a bounded heap: three semi-spaces of it then take an eighth. */
const SEMI_SPACE_SHARE = 1 / 24;

/** Command line of a node's process, after the executable: it imports under the same conditions as this one. */
export function nodeArgv(given: { file: string; name: string; data: string; heapMb: number | undefined }): string[] {
  const { file, name, data, heapMb } = given;
  const heap = heapMb === undefined ? []
    : [`--max-old-space-size=${heapMb}`, `--max-semi-space-size=${Math.max(1, Math.round(heapMb * SEMI_SPACE_SHARE))}`];
  return [...process.execArgv, ...heap, MAIN, "node", file, name, "--data", data];
}

/**
 * Environment of a node's process: that of the command that started its fleet. With a bounded heap, memory outside it is kept small too: glibc gives each of the
 * dozen threads of a process an arena of its own, and what one has freed the others cannot use. Other systems ignore it.
 */
export function nodeEnvironment(heapMb: number | undefined): Record<string, string> {
  const own = Object.entries(process.env).filter((pair): pair is [string, string] => pair[1] !== undefined);
  return { ...(heapMb === undefined ? {} : { MALLOC_ARENA_MAX: "1" }), ...Object.fromEntries(own) };
}
