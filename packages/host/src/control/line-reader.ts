import { RuntimeError } from "@holdfast/core";
import { LINE_BYTES_MAX } from "./control-protocol.ts";

const LINE_FEED = 0x0a;

/** Cuts a stream of bytes into lines. A line over the limit throws CONTROL_MALFORMED; no more than the limit is held. */
export class LineReader {
  #pieces: Buffer[] = [];
  #bytes = 0;
  readonly #bytesMax: number;

  constructor(bytesMax = LINE_BYTES_MAX) {
    this.#bytesMax = bytesMax;
  }

  *push(chunk: Buffer): Generator<string> {
    let start = 0;
    for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, start)) {
      this.#hold(chunk.subarray(start, end));
      start = end + 1;
      const line = Buffer.concat(this.#pieces).toString("utf8");
      this.#pieces = [];
      this.#bytes = 0;
      yield line;
    }
    if (start < chunk.length) this.#hold(chunk.subarray(start));
  }

  #hold(piece: Buffer): void {
    this.#bytes += piece.length;
    if (this.#bytes > this.#bytesMax) throw new RuntimeError("CONTROL_MALFORMED", { reason: `a line has more than ${this.#bytesMax} bytes` });
    this.#pieces.push(piece);
  }
}
