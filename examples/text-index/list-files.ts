/** Finds what is to be indexed, and reads it. */
import { constants } from "node:fs";
import { lstat, open, readdir } from "node:fs/promises";

const EXTENSION = /\.(?:md|txt|ts|js|mjs|cjs|json)$/;
/** What one read takes: small enough that a turn of the event loop stays short, large enough to be few reads. */
const CHUNK_BYTES = 256 * 1024;

/**
 * A file name is any bytes but `/` and 0. Paths are therefore kept as text with one character a byte (latin1): nothing
 * is lost of a name that is no UTF-8, and plain ASCII, which is nearly every name, reads as it is.
 */
export interface ListedFile {
  /** Relative to the root, one character a byte. */
  readonly path: string;
  readonly bytes: number;
}

/** Regular files of the known extensions below `root`, sorted bytewise by path. Symbolic links are not followed. */
export async function listFiles(root: string): Promise<ListedFile[]> {
  const found: ListedFile[] = [];
  const open = [""];
  for (let directory = open.pop(); directory !== undefined; directory = open.pop()) {
    for (const entry of await readdir(absolute(root, directory), { withFileTypes: true, encoding: "buffer" })) {
      const name = entry.name.toString("latin1");
      const path = directory === "" ? name : `${directory}/${name}`;
      if (entry.isDirectory()) open.push(path);
      else if (entry.isFile() && EXTENSION.test(name)) {
        const stat = await lstat(absolute(root, path)).catch(() => undefined);
        if (stat?.isFile() === true) found.push({ path, bytes: stat.size });
      }
    }
  }
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/**
 * A file's bytes in chunks, each valid until the next is asked for. A file that cannot be opened (it vanished, or may
 * not be read) has none and returns false: it is no document. One that breaks off while it is read throws.
 */
export async function readFile(root: string, path: string, onChunk: (chunk: Uint8Array) => void): Promise<boolean> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(absolute(root, path), flags).catch(() => undefined);
  if (file === undefined) return false;
  try {
    const stat = await file.stat();
    if (!stat.isFile()) return false;
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, stat.size + 1));
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length);
      if (bytesRead === 0) return true;
      onChunk(buffer.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}

function absolute(root: string, path: string): Buffer {
  return Buffer.concat([Buffer.from(root), Buffer.from(path === "" ? "" : `/${path}`, "latin1")]);
}
