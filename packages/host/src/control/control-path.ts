import { createHash } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join, resolve } from "node:path";
import { ensurePrivateDirectory } from "../identity/private-directory.ts";

/** What `sockaddr_un` holds on Linux is 108 bytes with the closing zero; on macOS 104. */
const SOCKET_PATH_BYTES_MAX = 103;

/**
 * Where a node's control socket is to be made: in its own directory or, when that path is longer than a Unix socket's
 * may be, in a private directory of this user, under a name made from the node's; the node's directory then says where.
 */
export function claimControlPath(nodeDirectory: string): string {
  const near = join(resolve(nodeDirectory), "control.sock");
  const pointer = pointerPath(nodeDirectory);
  if (Buffer.byteLength(near) <= SOCKET_PATH_BYTES_MAX) {
    rmSync(pointer, { force: true });
    return near;
  }
  const runtime = join(process.env["XDG_RUNTIME_DIR"] ?? tmpdir(), `holdfast-${userInfo().uid}`);
  ensurePrivateDirectory(runtime);
  const far = join(runtime, `${createHash("sha256").update(near).digest("hex").slice(0, 16)}.sock`);
  writeFileSync(pointer, far, { mode: 0o600 });
  return far;
}

/** Where a node's control socket is, if the node runs. */
export function findControlPath(nodeDirectory: string): string {
  try {
    return readFileSync(pointerPath(nodeDirectory), "utf8");
  } catch {
    return join(resolve(nodeDirectory), "control.sock");
  }
}

function pointerPath(nodeDirectory: string): string {
  return join(nodeDirectory, "control.path");
}
