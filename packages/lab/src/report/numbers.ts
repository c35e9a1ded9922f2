/** Numbers as people read them, always the same for the same number. */

export function seconds(value: number): string {
  if (value === Infinity) return "never";
  if (Number.isNaN(value)) return "–";
  return value.toFixed(value < 100 ? 2 : 0);
}

/** Three digits or so; a rate of 0 is written as such, since it means that none was seen. */
export function rate(value: number): string {
  if (value === 0) return "0";
  if (value >= 100) return value.toFixed(0);
  return value >= 1 ? value.toFixed(1) : value.toPrecision(2);
}

/** The share of time, with as many nines as there are. */
export function share(value: number): string {
  return `${(100 * value).toFixed(4)} %`;
}
