import { RuntimeError } from "../base/errors.ts";
import { NS_MAX } from "../base/time.ts";
import { isQuantity } from "./quantity.ts";

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
