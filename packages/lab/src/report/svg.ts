/** What drawings of the report share. */

/** A logarithmic axis from whole powers of ten to whole powers of ten. */
export class LogAxis {
  readonly ticks: readonly number[];
  readonly #from: number;
  readonly #to: number;
  readonly #first: number;
  readonly #last: number;

  constructor(values: readonly number[], from: number, to: number) {
    const powers = values.map((value) => Math.log10(value));
    this.#first = Math.floor(Math.min(...powers));
    this.#last = Math.max(this.#first + 1, Math.ceil(Math.max(...powers)));
    this.ticks = Array.from({ length: this.#last - this.#first + 1 }, (_, step) => 10 ** (this.#first + step));
    this.#from = from;
    this.#to = to;
  }

  at(value: number): number {
    const position = (Math.log10(value) - this.#first) / (this.#last - this.#first);
    return this.#from + position * (this.#to - this.#from);
  }
}

/** A coordinate. */
export function px(value: number): string {
  return value.toFixed(1);
}

/** What stands at a tick. */
export function label(tick: number): string {
  return String(Number(tick.toPrecision(1)));
}

export function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
