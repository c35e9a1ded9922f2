import { createRequire } from "node:module";
import type { Socket } from "node:net";

/** Who made a connection to our Unix socket. */
export interface Credentials {
  readonly uid: number;
  readonly pid: number;
}

/**
 * The kernel's word on who is at the other end, noted when they connected: nothing they say can change it, and a process
 * that was given the connection later does not appear in it. The process may have ended since, and its pid be another's:
 * `uid` is for decisions, `pid` for limits and logs (0 is a process outside our pid namespace). Undefined for a socket that is
 * closed, or that is no Unix socket.
 */
export type PeerCredentials = (socket: Socket) => Credentials | undefined;

/** From Linux's <asm-generic/socket.h>. On PowerPC they mean something of another length, so nobody is told there. */
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** `struct ucred`: pid, uid and gid, 32 bits each. */
const UCRED_WORDS = 3;
/** (uid_t) -1: the kernel's answer for a socket that has no peer of this kind, such as one of TCP. */
const NO_USER = 0xffff_ffff;

/** Of koffi, what is used here: it is an optional peer dependency, so its types may be missing. */
interface Koffi {
  load(library: null): { func(signature: string): (...args: readonly unknown[]) => number };
}

let loaded: Readonly<{ credentials: PeerCredentials | undefined }> | undefined;

/**
 * Undefined without koffi, or on a system other than Linux; then the socket's private directory alone keeps other users
 * out. Loads on the first call (7 ms), which belongs in the broker's start and not into a connection.
 */
export function loadPeerCredentials(): PeerCredentials | undefined {
  loaded ??= { credentials: load() };
  return loaded.credentials;
}

export function peerCredentials(socket: Socket): Credentials | undefined {
  return loadPeerCredentials()?.(socket);
}

function load(): PeerCredentials | undefined {
  if (process.platform !== "linux") return undefined;
  try {
    // Not `import`: that does not look into NODE_PATH, where an operator may have put it.
    const koffi = createRequire(import.meta.url)("koffi") as Koffi;
    return fromSocketOption(koffi.load(null).func("int getsockopt(int, int, int, void *, void *)"));
  } catch {
    return undefined; // not installed, not for this platform, or addons are forbidden
  }
}

function fromSocketOption(getsockopt: (...args: readonly unknown[]) => number): PeerCredentials {
  const answer = new Uint32Array(UCRED_WORDS);
  const length = new Uint32Array(1);
  return (socket) => {
    const fd = descriptorOf(socket);
    if (fd === undefined) return undefined;
    length[0] = answer.byteLength;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, answer, length) !== 0 || length[0] !== answer.byteLength) return undefined;
    const [pid = 0, uid = NO_USER] = answer;
    return uid === NO_USER ? undefined : { uid, pid };
  };
}

/** Node has no public way to a socket's descriptor. A closed socket has none. */
function descriptorOf(socket: Socket): number | undefined {
  return (socket as { _handle?: { fd?: number } | null })._handle?.fd;
}
