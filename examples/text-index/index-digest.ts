import { createHash } from "node:crypto";
import { closeSync, openSync, writeSync } from "node:fs";
import type { TermCount } from "./tokenizer.ts";

/** Lines are hashed and written in pieces of about this size. */
const PIECE_BYTES = 64 * 1024;

/** One line of an index's export. */
export function exportLine({ term, occurrences, documents }: TermCount): string {
  return `${term}\t${occurrences}\t${documents}\n`;
}

export interface IndexSummary {
  readonly digest: string;
  readonly terms: number;
  readonly postings: number;
}

/**
 * Hashes an index's export, `term TAB occurrences TAB documents LF` sorted bytewise, as its terms go by, and writes it
 * to a file if asked to. Terms are ASCII, so the order of strings is the order of bytes.
 */
export class IndexDigest {
  readonly #hash = createHash("sha256");
  readonly #file: number | undefined;
  #piece = "";
  #last = "";
  #terms = 0;
  #postings = 0;

  constructor(exportPath?: string) {
    this.#file = exportPath === undefined ? undefined : openSync(exportPath, "w");
  }

  add(count: TermCount): void {
    if (count.term <= this.#last) throw new Error(`${count.term} comes after ${this.#last}: the terms are not sorted`);
    this.#last = count.term;
    this.#terms++;
    this.#postings += count.documents;
    this.#piece += exportLine(count);
    if (this.#piece.length >= PIECE_BYTES) this.#flush();
  }

  finish(): IndexSummary {
    this.#flush();
    if (this.#file !== undefined) closeSync(this.#file);
    return { digest: this.#hash.digest("hex"), terms: this.#terms, postings: this.#postings };
  }

  #flush(): void {
    this.#hash.update(this.#piece);
    if (this.#file !== undefined) writeSync(this.#file, this.#piece);
    this.#piece = "";
  }
}
