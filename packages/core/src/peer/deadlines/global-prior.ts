import { discountAt } from "./ema-cells.ts";
import { learnAged } from "./learned-site.ts";
import type { SiteLearning } from "./learned-site.ts";
import { COUNT, EMA_CELLS, SRTT, TAIL_WORDS } from "./site-layout.ts";
import { learnTail, tailValueNs } from "./tail-words.ts";

/** The global prior learns slowly, since it hears of every site (spec/peers.md §3.2). */
const ALPHA = 1 / 64;
const BETA = 1 / 32;
/** Sites of all kinds share the global prior: their slowest lie at most so many means away. */
const SHAPE_MAX = 16;

/** What the round trips of all sites have in common: what is reckoned with for a site of which little is known. */
export class GlobalPrior {
  readonly cells: Float64Array;
  /** The tail's; made with the first sample. */
  words: Uint16Array | undefined;
  /** −1 = it has to be reckoned anew. */
  #shape = -1;

  constructor(cells: Float64Array = new Float64Array(EMA_CELLS), words?: Uint16Array) {
    this.cells = cells;
    this.words = words;
  }

  /** One measured round trip of any site; a quantity. */
  observe(elapsedNs: number, now: number, learning: SiteLearning): void {
    learnAged(this.cells, 0, elapsedNs, now, learning, ALPHA, BETA);
    if (!learning.tails) return;
    learnTail((this.words ??= new Uint16Array(TAIL_WORDS)), 0, elapsedNs);
    this.#shape = -1;
  }

  get sampleCount(): number {
    return this.cells[COUNT] as number;
  }

  /** Makes the estimate count for `samples` at most. */
  discount(samples: number): void {
    discountAt(this.cells, 0, samples);
  }

  /** The slowest over the mean, of all sites; 0 = not known. */
  get shape(): number {
    if (this.#shape < 0) {
      const srttNs = this.cells[SRTT] as number;
      this.#shape = this.words === undefined || srttNs === 0 ? 0 : Math.min(SHAPE_MAX, tailValueNs(this.words, 0) / srttNs);
    }
    return this.#shape;
  }
}
