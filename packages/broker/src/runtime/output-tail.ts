import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";

/** As much of what a backend wrote is told when it ends. */
const OUTPUT_TAIL_BYTES = 4_096;

/** Of the file that a backend's stdout and stderr go to; 0 if there is none. */
export function outputSize(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** The end of what was written there since it had this size. */
export function outputSince(path: string, from: number): string {
  try {
    const file = openSync(path, "r");
    try {
      const { size } = fstatSync(file);
      const at = Math.max(from, size - OUTPUT_TAIL_BYTES);
      const bytes = Buffer.alloc(Math.max(0, size - at));
      return bytes.toString("utf8", 0, readSync(file, bytes, 0, bytes.length, at));
    } finally {
      closeSync(file);
    }
  } catch {
    return "";
  }
}
