import { RuntimeError } from "../base/errors.ts";
import { NS_MAX } from "../base/time.ts";

/**
 * Quantities: the whole numbers from 0 to `NS_MAX` in which peer state counts times, durations and samples. What the
 * engine passes is asserted, what a peer sent is bounded, what a store holds is read here and refused if damaged.
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

/** Reads one stored quantity. Throws SNAPSHOT_INVALID naming the part. */
export function readQuantity(part: string, field: string, value: unknown, max: number = NS_MAX): number {
  if (isQuantity(value) && value <= max) return value;
  throw new RuntimeError("SNAPSHOT_INVALID", { part, field });
}

/** Reads one stored text that has to be one of `allowed`, or any text if that is left out. */
export function readText<T extends string>(part: string, field: string, value: unknown, allowed?: readonly T[]): T {
  if (typeof value === "string" && (allowed === undefined || allowed.includes(value as T))) return value as T;
  throw new RuntimeError("SNAPSHOT_INVALID", { part, field });
}

/** Reads a stored list. */
export function readList<T>(part: string, field: string, value: readonly T[]): readonly T[] {
  if (Array.isArray(value)) return value;
  throw new RuntimeError("SNAPSHOT_INVALID", { part, field });
}

/** Refuses stored data that is no object at all, before its members are read. */
export function readObject<T extends object>(part: string, value: T): T {
  if (typeof value === "object" && value !== null) return value;
  throw new RuntimeError("SNAPSHOT_INVALID", { part });
}

/** Checks one option: a whole number up to `max`; what is below `min` counts as `min`. Throws OPTION_INVALID. */
export function wholeOption(option: string, value: number, min: number, max: number = NS_MAX): number {
  if (isQuantity(value) && value <= max) return value < min ? min : value;
  throw new RuntimeError("OPTION_INVALID", { option, value, max });
}
