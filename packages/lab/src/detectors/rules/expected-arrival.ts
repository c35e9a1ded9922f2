import { Window } from "./window.ts";

/**
 * When the next beat should arrive: Chen, Toueg, Aguilera, "On the Quality of Service of Failure Detectors" (IEEE
 * Transactions on Computers 51(5), 2002), §5.2: the mean of (arrival − sequence · period) over the newest beats, plus
 * the next sequence's periods. Sequence numbers make it blind to losses, and blind to beats that only seem fresh.
 */
export class ExpectedArrival {
  readonly #periodNs: number;
  readonly #offsets: Window;
  /** The first offset; the window holds differences to it, which are small and sum exactly. */
  #base: number | undefined;

  constructor(window: number, periodNs: number) {
    this.#periodNs = periodNs;
    this.#offsets = new Window(window);
  }

  get isKnown(): boolean {
    return this.#base !== undefined;
  }

  observe(arrival: number, sequence: number): void {
    const offset = arrival - sequence * this.#periodNs;
    this.#base ??= offset;
    this.#offsets.push(offset - this.#base);
  }

  of(sequence: number): number {
    return (this.#base ?? Infinity) + this.#offsets.mean + sequence * this.#periodNs;
  }
}
