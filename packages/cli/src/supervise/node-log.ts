import { closeSync, fstatSync, openSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";

/** A log is set aside when it has grown to this, and takes the place of the one set aside before. Decision: 10 MB. */
const LOG_BYTES_MAX = 10_000_000;

/** A node's log file, `log.jsonl` in its directory and before that `log.1.jsonl`: at most 20 MB in all. */
export class NodeLog {
  readonly #path: string;
  readonly #bytesMax: number;
  #file: number;
  #bytes: number;

  constructor(directory: string, bytesMax = LOG_BYTES_MAX) {
    this.#path = join(directory, "log.jsonl");
    this.#bytesMax = bytesMax;
    this.#file = openSync(this.#path, "a", 0o600);
    this.#bytes = fstatSync(this.#file).size;
  }

  write(line: string): void {
    if (this.#bytes >= this.#bytesMax) this.#setAside();
    this.#bytes += writeSync(this.#file, `${line}\n`);
  }

  close(): void {
    closeSync(this.#file);
  }

  #setAside(): void {
    closeSync(this.#file);
    renameSync(this.#path, this.#path.replace(/\.jsonl$/, ".1.jsonl"));
    this.#file = openSync(this.#path, "a", 0o600);
    this.#bytes = 0;
  }
}
