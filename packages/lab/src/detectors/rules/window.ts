/** The newest `capacity` values, with their mean and deviation in O(1). Values are whole ns; sums of them are exact. */
export class Window {
  readonly #values: Float64Array;
  #size = 0;
  #next = 0;
  #sum = 0;
  /** Of squares in ms², so that they stay far below 2^53. */
  #squares = 0;

  constructor(capacity: number) {
    this.#values = new Float64Array(capacity);
  }

  get size(): number {
    return this.#size;
  }

  get sum(): number {
    return this.#sum;
  }

  get mean(): number {
    return this.#sum / this.#size;
  }

  /** Of the population, as Akka reckons it. */
  get deviation(): number {
    const meanMs = this.mean / 1e6;
    return 1e6 * Math.sqrt(Math.max(0, this.#squares / this.#size - meanMs * meanMs));
  }

  push(value: number): void {
    const evicted = this.#size === this.#values.length ? (this.#values[this.#next] as number) : 0;
    this.#values[this.#next] = value;
    this.#next = this.#next + 1 === this.#values.length ? 0 : this.#next + 1;
    if (this.#size < this.#values.length) this.#size++;
    this.#sum += value - evicted;
    this.#squares += (value / 1e6) ** 2 - (evicted / 1e6) ** 2;
  }

  clear(): void {
    this.#size = this.#next = this.#sum = this.#squares = 0;
  }
}
