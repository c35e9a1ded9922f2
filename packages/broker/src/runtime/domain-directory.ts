import { createHash } from "node:crypto";
import { lstatSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { ensurePrivateDirectory } from "@holdfast/host/private-directory";
import { RuntimeError } from "@holdfast/core/peer";

/** What `sockaddr_un` holds on Linux is 108 bytes with the closing zero; on macOS 104. */
const SOCKET_PATH_BYTES_MAX = 103;
/** A longer name of a domain is cut, and told apart by its hash: the paths below it are bounded. */
const DOMAIN_CHARS_MAX = 32;

/** What one backend serves. Two backends differ in one of these. */
export interface ServiceKey {
  readonly service: string;
  readonly version: string;
  /** Hash of the program, so that a rebuilt one is not taken for the one that still runs. */
  readonly build: string;
}

export function keyText({ service, version, build }: ServiceKey): string {
  return `${service}@${version}+${build}`;
}

/** Where all brokers of this user keep their sockets: $HOLDFAST_RUNTIME_DIR, or in $XDG_RUNTIME_DIR, or in /tmp. */
export function runtimeRoot(): string {
  const { HOLDFAST_RUNTIME_DIR: given, XDG_RUNTIME_DIR: runtime } = process.env;
  if (given !== undefined && given !== "") return given;
  return runtime === undefined || runtime === "" ? join(tmpdir(), `holdfast-${process.getuid?.() ?? "user"}`) : join(runtime, "holdfast");
}

/**
 * The directory of one trust domain, mode 0700, with everything that its broker, backends and clients find each other by:
 *
 *     door.sock            the broker's
 *     broker.lock, .pid    who it is
 *     claim.lock           held for a moment by whoever makes an endpoint
 *     s/HASH.sock          a backend's endpoint: clients that know the key go there directly
 *     s/HASH.json          its identity, for the next broker
 *     s/HASH.out           what it writes to stdout and stderr
 */
export class DomainDirectory {
  readonly domain: string;
  readonly path: string;

  constructor(domain: string, root = runtimeRoot()) {
    this.domain = domain;
    this.path = join(root, directoryName(domain));
    if (Buffer.byteLength(join(this.path, "s", `${"0".repeat(16)}.sock.999999999`)) <= SOCKET_PATH_BYTES_MAX) return;
    throw new RuntimeError("OPTION_INVALID", { HOLDFAST_RUNTIME_DIR: root, reason: "too long for the path of a Unix socket" });
  }

  get door(): string {
    return join(this.path, "door.sock");
  }

  get lock(): string {
    return join(this.path, "broker.lock");
  }

  get claimLock(): string {
    return join(this.path, "claim.lock");
  }

  get backends(): string {
    return join(this.path, "s");
  }

  /** Where a backend of this key listens: computed, so that clients need to ask nobody. */
  endpoint(key: ServiceKey): string {
    return join(this.backends, `${this.#name(key)}.sock`);
  }

  identity(key: ServiceKey): string {
    return join(this.backends, `${this.#name(key)}.json`);
  }

  output(key: ServiceKey): string {
    return join(this.backends, `${this.#name(key)}.out`);
  }

  /** Makes it. Throws BROKER_REFUSED if others could reach into it. */
  create(): void {
    try {
      for (const path of [this.#root, this.path, this.backends]) {
        ensurePrivateDirectory(path);
        if (!isPrivate(path)) throw new Error(`${path} is a link`);
      }
    } catch (error) {
      throw new RuntimeError("BROKER_REFUSED", { directory: this.path, reason: (error as Error).message }, { cause: error });
    }
  }

  /**
   * False if it does not exist. In /tmp anybody can make a directory of this name: one that is not ours, or that is open
   * to others, is BROKER_REFUSED before anything in it is believed.
   */
  isOurs(): boolean {
    for (const path of [this.#root, this.path]) {
      const isOurs = isPrivate(path);
      if (isOurs === undefined) return false;
      if (!isOurs) throw new RuntimeError("BROKER_REFUSED", { directory: path, reason: "it is no private directory of this user" });
    }
    return true;
  }

  /** Who owns it could put another in the domain's place. */
  get #root(): string {
    return dirname(this.path);
  }

  #name({ service, version, build }: ServiceKey): string {
    return createHash("sha256").update([this.domain, service, version, build].join("\0")).digest("hex").slice(0, 16);
  }
}

/** A directory, and no link to one, that is this user's and that nobody else can write in. Undefined: there is nothing. */
function isPrivate(path: string): boolean | undefined {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  const uid = process.getuid?.();
  return stat.isDirectory() && (uid === undefined || (stat.uid === uid && (stat.mode & 0o022) === 0));
}

function directoryName(domain: string): string {
  if (domain.length <= DOMAIN_CHARS_MAX) return domain;
  return `${domain.slice(0, DOMAIN_CHARS_MAX - 9)}-${createHash("sha256").update(domain).digest("hex").slice(0, 8)}`;
}
