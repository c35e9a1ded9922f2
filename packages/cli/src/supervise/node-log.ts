import { closeSync, fstatSync, openSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";
import { logLine } from "./log-line.ts";
import type { Log } from "@holdfast/host";
import type { Level, LogLine } from "./log-line.ts";

/** A log is set aside when it has grown to this, and takes the place of the one set aside before. Decision: 10 MB. */
const LOG_BYTES_MAX = 10_000_000;

/** What a node's log tells whoever runs the fleet; the rest is in its file only. */
export interface LoggedMessage {
  readonly kind: "logged";
  readonly line: LogLine;
}

/**
 * A node's log: lines of JSON in `log.jsonl` in its directory and before that `log.1.jsonl`, at most 20 MB in all. Written at
 * once, so that the lines before a crash are there. A full disk loses lines and no node. Warnings and errors are told too.
 */
export class NodeLog implements Log, Disposable {
  readonly #node: string;
  readonly #path: string;
  readonly #tell: (message: LoggedMessage) => void;
  readonly #bytesMax: number;
  #file: number;
  #bytes: number;

  constructor({ name, directory }: { readonly name: string; readonly directory: string }, tell: (message: LoggedMessage) => void, bytesMax = LOG_BYTES_MAX) {
    this.#node = name;
    this.#path = join(directory, "log.jsonl");
    this.#tell = tell;
    this.#bytesMax = bytesMax;
    this.#file = openSync(this.#path, "a", 0o600);
    this.#bytes = fstatSync(this.#file).size;
  }

  debug(): void {}

  info(details: object, message: string): void {
    this.#write("info", details, message);
  }

  warn(details: object, message: string): void {
    this.#write("warn", details, message);
  }

  error(details: object, message: string): void {
    this.#write("error", details, message);
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }

  #write(level: Level, details: object, message: string): void {
    const line = logLine(level, this.#node, details, message);
    try {
      if (this.#bytes >= this.#bytesMax) this.#setAside();
      this.#bytes += writeSync(this.#file, `${JSON.stringify(line)}\n`);
    } catch {
      // The disk is full, say: the node has yet to tell of it.
    }
    if (level === "warn" || level === "error") this.#tell({ kind: "logged", line });
  }

  #setAside(): void {
    closeSync(this.#file);
    renameSync(this.#path, this.#path.replace(/\.jsonl$/, ".1.jsonl"));
    this.#file = openSync(this.#path, "a", 0o600);
    this.#bytes = 0;
  }
}
