/**
 * Counts terms in bytes. A term is a maximal run of A–Z a–z 0–9 _, lower-cased, 2 to 64 bytes long; longer and shorter
 * runs are no terms. One pass, no string per occurrence: terms live in one arena behind an open-addressing hash table,
 * so that the cost of a byte is a table look-up and a multiplication.
 */
const TERM_BYTES_MIN = 2;
const TERM_BYTES_MAX = 64;
const FNV_START = 0x811c9dc5;
const FNV_PRIME = 0x01000193;
/** The table doubles when more than this part of it is used. */
const LOAD_MAX = 0.6;

/** The lower-cased byte, or 0 for what ends a run. */
const LOWER = Uint8Array.from({ length: 256 }, (_, byte) => {
  if (byte >= 0x41 && byte <= 0x5a) return byte + 0x20;
  return (byte >= 0x61 && byte <= 0x7a) || (byte >= 0x30 && byte <= 0x39) || byte === 0x5f ? byte : 0;
});

export interface TermCount {
  readonly term: string;
  readonly occurrences: number;
  readonly documents: number;
}

export class TermCounter {
  documents = 0;
  bytes = 0;
  /** Pairs of a term and a document that holds it. */
  postings = 0;
  #size = 0;
  #slots = new Int32Array(1 << 12).fill(-1);
  #hashes = new Int32Array(1 << 11);
  #starts = new Uint32Array((1 << 11) + 1);
  #occurrences = new Uint32Array(1 << 11);
  #documents = new Uint32Array(1 << 11);
  /** Number of the last document that held the term, so that a document counts once. */
  #lastSeen = new Uint32Array(1 << 11);
  #arena = new Uint8Array(1 << 15);
  // The run that the last chunk may have cut in two.
  readonly #run = new Uint8Array(TERM_BYTES_MAX);
  #runLength = 0;
  #runHash = FNV_START;

  /** One document, in chunks cut anywhere; each may be reused once `push` returned. */
  push(chunk: Uint8Array): void {
    const run = this.#run;
    let length = this.#runLength;
    let hash = this.#runHash;
    for (let at = 0; at < chunk.length; at++) {
      const byte = LOWER[chunk[at] as number] as number;
      if (byte !== 0) {
        if (length < TERM_BYTES_MAX) run[length] = byte;
        length++;
        hash = Math.imul(hash ^ byte, FNV_PRIME);
      } else if (length !== 0) {
        if (length >= TERM_BYTES_MIN && length <= TERM_BYTES_MAX) this.#count(length, hash);
        length = 0;
        hash = FNV_START;
      }
    }
    this.#runLength = length;
    this.#runHash = hash;
    this.bytes += chunk.length;
  }

  endDocument(): void {
    const length = this.#runLength;
    if (length >= TERM_BYTES_MIN && length <= TERM_BYTES_MAX) this.#count(length, this.#runHash);
    this.#runLength = 0;
    this.#runHash = FNV_START;
    this.documents++;
  }

  /** In the order in which the terms first came. */
  *terms(): Generator<TermCount> {
    const text = Buffer.from(this.#arena.buffer);
    for (let id = 0; id < this.#size; id++) {
      yield {
        term: text.toString("latin1", this.#starts[id], this.#starts[id + 1]),
        occurrences: this.#occurrences[id] as number,
        documents: this.#documents[id] as number,
      };
    }
  }

  #count(length: number, hash: number): void {
    const id = this.#idOf(length, hash);
    this.#occurrences[id] = (this.#occurrences[id] as number) + 1;
    const document = this.documents + 1;
    if (this.#lastSeen[id] === document) return;
    this.#lastSeen[id] = document;
    this.#documents[id] = (this.#documents[id] as number) + 1;
    this.postings++;
  }

  #idOf(length: number, hash: number): number {
    const mask = this.#slots.length - 1;
    let slot = (hash ^ (hash >>> 15)) & mask;
    for (let id = this.#slots[slot] as number; id !== -1; id = this.#slots[slot] as number) {
      if (this.#hashes[id] === hash && this.#isRun(id, length)) return id;
      slot = (slot + 1) & mask;
    }
    return this.#add(slot, length, hash);
  }

  #isRun(id: number, length: number): boolean {
    const start = this.#starts[id] as number;
    if ((this.#starts[id + 1] as number) - start !== length) return false;
    for (let at = 0; at < length; at++) if (this.#arena[start + at] !== this.#run[at]) return false;
    return true;
  }

  #add(slot: number, length: number, hash: number): number {
    const id = this.#size++;
    const start = this.#starts[id] as number;
    if (id === this.#hashes.length) this.#growTerms();
    if (start + length > this.#arena.length) this.#arena = grown(this.#arena, new Uint8Array(this.#arena.length * 2));
    this.#arena.set(this.#run.subarray(0, length), start);
    this.#starts[id + 1] = start + length;
    this.#hashes[id] = hash;
    this.#slots[slot] = id;
    if (this.#size > this.#slots.length * LOAD_MAX) this.#growSlots();
    return id;
  }

  #growTerms(): void {
    const size = this.#hashes.length * 2;
    this.#hashes = grown(this.#hashes, new Int32Array(size));
    this.#starts = grown(this.#starts, new Uint32Array(size + 1));
    this.#occurrences = grown(this.#occurrences, new Uint32Array(size));
    this.#documents = grown(this.#documents, new Uint32Array(size));
    this.#lastSeen = grown(this.#lastSeen, new Uint32Array(size));
  }

  #growSlots(): void {
    this.#slots = new Int32Array(this.#slots.length * 2).fill(-1);
    const mask = this.#slots.length - 1;
    for (let id = 0; id < this.#size; id++) {
      const hash = this.#hashes[id] as number;
      let slot = (hash ^ (hash >>> 15)) & mask;
      while (this.#slots[slot] !== -1) slot = (slot + 1) & mask;
      this.#slots[slot] = id;
    }
  }
}

function grown<Of extends Uint8Array | Int32Array | Uint32Array>(old: Of, larger: Of): Of {
  larger.set(old);
  return larger;
}
