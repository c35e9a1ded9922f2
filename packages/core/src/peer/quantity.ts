import { NS_MAX } from "../base/time.ts";

/**
 * Quantities: the whole numbers from 0 to `NS_MAX` in which peer state counts times, durations and samples. What the
 * engine passes is asserted, what a peer sent is bounded, what a store holds is read (`read-quantity.ts`) and refused if damaged.
 */
export const UINT32_MAX = 4294967295;

/** 2^0 … 2^64, by doubling: `**` is not exact by specification, and bit shifts end at 32. */
const POWERS_OF_TWO: readonly number[] = doublings(65);

function doublings(count: number): number[] {
  const powers = [1];
  while (powers.length < count) powers.push(2 * (powers.at(-1) ?? 1));
  return powers;
}

/** 2 to the exponent, which is whole; from 64 on it stays at 2^64, beyond every quantity. */
export function powerOfTwo(exponent: number): number {
  return POWERS_OF_TWO[exponent < 64 ? exponent : 64] ?? 1;
}

export function isQuantity(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= NS_MAX;
}

/** What a peer sent, made a quantity: the nearest one. NaN becomes 0. */
export function boundQuantity(value: number): number {
  if (!(value > 0)) return 0;
  return value < NS_MAX ? Math.floor(value) : NS_MAX;
}
