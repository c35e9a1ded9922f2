/** Lines that are kept for whoever looks into a failure. */
const LINES_MAX = 4000;

/**
 * Everything that happened, as one number, and its end as text. Two runs of a seed that leave the same hash took the
 * same path: every line has gone into it, and with each line the bytes that it is about.
 */
export class Trace {
  #low = 0x811c9dc5;
  #high = 0x9e3779b9;
  readonly #lines: string[] = [];
  #count = 0;

  note(now: number, text: string): void {
    this.#mix(now >>> 0);
    this.#mix(Math.floor(now / 4294967296));
    for (let at = 0; at < text.length; at++) this.#mix(text.charCodeAt(at));
    this.#lines[this.#count++ % LINES_MAX] = `${(now / 1e9).toFixed(6).padStart(12)}  ${text}`;
  }

  bytes(bytes: Uint8Array): void {
    this.#mix(bytes.length);
    for (let at = 0; at < bytes.length; at++) this.#mix(bytes[at] as number);
  }

  /** FNV-1a, twice, from two starts and with two primes. */
  #mix(word: number): void {
    this.#low = Math.imul(this.#low ^ word, 0x01000193);
    this.#high = Math.imul(this.#high ^ word, 0x85ebca6b);
  }

  get hash(): string {
    return [this.#high, this.#low].map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
  }

  /** The last lines, oldest first. */
  end(count: number): string[] {
    const from = Math.max(0, this.#count - Math.min(count, LINES_MAX));
    return Array.from({ length: this.#count - from }, (_, at) => this.#lines[(from + at) % LINES_MAX] as string);
  }
}
