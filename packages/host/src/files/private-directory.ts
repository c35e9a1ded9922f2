import { chmodSync, closeSync, fsyncSync, mkdirSync, openSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";

/** Why a directory cannot hold secrets. Callers add the code that fits them. */
export class DirectoryUnsafeError extends Error {
  override readonly name = "DirectoryUnsafeError";
}

/**
 * Creates `path` with mode 0700, or checks that it is ours alone: owned by this user, and nobody else may write in it.
 * A directory that others may merely read is narrowed. One that others may write in (say /tmp) is refused and not
 * narrowed: it was never meant for us, and who knows what was put there already.
 */
export function ensurePrivateDirectory(path: string): void {
  const created = mkdirSync(path, { recursive: true, mode: 0o700 });
  if (created !== undefined) {
    // mkdir -p made everything from `created` on; each new name is durable once its parent is synced.
    const top = dirname(resolve(created));
    for (let parent = dirname(resolve(path)); ; parent = dirname(parent)) {
      syncDirectory(parent);
      if (parent === top || parent === dirname(parent)) break;
    }
  }
  const stat = statSync(path);
  if (!stat.isDirectory()) throw new DirectoryUnsafeError(`${path} is not a directory`);
  const uid = process.getuid?.();
  if (uid === undefined) return; // no owners or modes on this platform
  if (stat.uid !== uid) throw new DirectoryUnsafeError(`${path} is owned by user ${stat.uid}, not by us (${uid})`);
  if ((stat.mode & 0o022) !== 0) throw new DirectoryUnsafeError(`${path} can be written by others`);
  if ((stat.mode & 0o077) !== 0) chmodSync(path, 0o700);
}

/** Makes the names in a directory durable: what was created, renamed or removed there. */
export function syncDirectory(path: string): void {
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
