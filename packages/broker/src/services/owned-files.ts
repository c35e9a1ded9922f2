import { statSync, type BigIntStats } from "node:fs";
import { RuntimeError } from "@holdfast/core/peer";
import { invalid } from "./service-definition.ts";
import { readStamped, StatMemo } from "./stat-memo.ts";

const us = process.getuid?.();

/** Files that are remembered. Who has more re-reads some of them, and is right all the same. */
const FILES_MAX = 256;

/** The state of a file, or of what it links to; undefined: nothing is there. Throws SERVICE_INVALID if others could have written it. */
export function statOwned(service: string, path: string): BigIntStats | undefined {
  const stat = named(service, path, () => statSync(path, { bigint: true, throwIfNoEntry: false }));
  if (stat !== undefined) checkOwner(service, path, stat);
  return stat;
}

export interface OwnedFilesOptions<T> {
  readonly bytesMax: number;
  /** Throws SERVICE_INVALID, and nothing else. */
  readonly parse: (text: string, service: string) => T;
}

/** Small files of this user (or root) that nobody else can write, parsed once for each state that they are in. */
export class OwnedFiles<T> {
  readonly #options: OwnedFilesOptions<T>;
  /** Refusals too: a bad file costs a client no more than a good one. */
  readonly #memo = new StatMemo<{ readonly value: T } | { readonly refusal: RuntimeError }>(FILES_MAX);

  constructor(options: OwnedFilesOptions<T>) {
    this.#options = options;
  }

  /** One stat, unless the file has changed. Undefined: there is none. Throws SERVICE_INVALID. */
  load(service: string, path: string): T | undefined {
    const seen = statOwned(service, path);
    if (seen === undefined) return undefined;
    const loaded = this.#memo.get(path, seen) ?? this.#read(service, path);
    if ("refusal" in loaded) throw loaded.refusal;
    return loaded.value;
  }

  forget(path: string): void {
    this.#memo.delete(path);
  }

  #read(service: string, path: string): { readonly value: T } | { readonly refusal: RuntimeError } {
    // Checked again on what was opened: the name may lead elsewhere by now.
    const check = (stat: BigIntStats) => {
      checkOwner(service, path, stat);
      this.#checkShape(service, path, stat);
    };
    const { stat, bytes } = named(service, path, () => readStamped(path, check));
    const parsed = this.#parse(bytes.toString("utf8"), service);
    this.#memo.set(path, parsed, stat);
    return parsed;
  }

  #parse(text: string, service: string): { readonly value: T } | { readonly refusal: RuntimeError } {
    try {
      return { value: this.#options.parse(text, service) };
    } catch (error) {
      if (error instanceof RuntimeError) return { refusal: error };
      throw error;
    }
  }

  #checkShape(service: string, path: string, stat: BigIntStats): void {
    if (!stat.isFile()) throw invalid(service, path, "is no regular file");
    if (stat.size > this.#options.bytesMax) throw invalid(service, path, `is larger than ${this.#options.bytesMax} bytes`);
  }
}

function checkOwner(service: string, path: string, { uid, mode }: BigIntStats): void {
  if (us === undefined) return; // no owners or modes on this platform
  if (uid !== 0n && uid !== BigInt(us)) throw invalid(service, path, `is owned by user ${uid}, neither by us (${us}) nor by root`);
  if ((mode & 0o022n) !== 0n) throw invalid(service, path, "can be written by others");
}

/** What the operating system refuses is the file's fault. */
function named<R>(service: string, path: string, act: () => R): R {
  try {
    return act();
  } catch (error) {
    throw error instanceof RuntimeError ? error : invalid(service, path, (error as Error).message, error);
  }
}
