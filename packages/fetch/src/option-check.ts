import { OptionError } from "./errors.ts";

/** Checks one option's value; answers what it must be, or undefined if it is. */
export type Rule = (value: unknown) => string | undefined;

/** A rule for each option there is. */
export type Rules<T> = Readonly<Record<keyof T, Rule>>;

/**
 * Refuses what is unknown or out of its range, by name, with OPTION_INVALID; changes nothing of what is given. An
 * option that is undefined counts as left out.
 */
export function checkOptions<T extends object>(of: string, given: T, rules: Rules<T>): void {
  if (typeof given !== "object" || given === null) throw new OptionError(of, "is no object");
  for (const option in given) {
    const rule = Object.hasOwn(rules, option) ? rules[option] : undefined;
    if (rule === undefined) throw new OptionError(`${of}.${option}`, "there is no such option");
    const value = given[option];
    if (value === undefined) continue;
    const reason = rule(value);
    if (reason !== undefined) throw new OptionError(`${of}.${option}`, `${reason}, and is ${String(value)}`);
  }
}

/** The default where an option is left out or undefined. A copy. */
export function withDefaults<T extends object, D extends T>(defaults: D, given: T): D {
  const options = { ...defaults };
  for (const option in given) if (given[option] !== undefined) options[option as unknown as keyof D] = given[option] as unknown as D[keyof D];
  return options;
}

/** A year: beyond it a timer of this platform would run at once, and nobody means it. */
const MS_MAX = 365 * 24 * 3600 * 1000;

export const aDuration: Rule = (value) => (isBetween(value, 0, MS_MAX) && value > 0 ? undefined : "must be ms above 0, a year at most");
export const aText: Rule = (value) => (typeof value === "string" && value !== "" ? undefined : "must be a text");
/** Source: RFC 9110 §5.1. */
export const aFieldName: Rule = (value) => (typeof value === "string" && /^[\w!#$%&'*+.^`|~-]+$/.test(value) ? undefined : "must be the name of a header");
export const texts: Rule = (value) => (Array.isArray(value) && value.every((one) => typeof one === "string") ? undefined : "must be a list of texts");
export const aFunction: Rule = (value) => (typeof value === "function" ? undefined : "must be a function");
export const aSignal: Rule = (value) => (isObject(value) && "aborted" in value && "addEventListener" in value ? undefined : "must be an AbortSignal");
export const aShare: Rule = (value) => (isBetween(value, 0, 1) && value > 0 ? undefined : "must be above 0, and at most 1");

export function aCount(min: number, max: number): Rule {
  return (value) => (Number.isInteger(value) && isBetween(value, min, max) ? undefined : `must be a whole number from ${min} to ${max}`);
}

export function oneOf(...values: readonly string[]): Rule {
  return (value) => (values.includes(value as string) ? undefined : `must be one of ${values.join(", ")}`);
}

/** An object with these methods. */
export function having(...methods: readonly string[]): Rule {
  const has = (value: unknown): boolean => isObject(value) && methods.every((method) => typeof value[method] === "function");
  return (value) => (has(value) ? undefined : `must have ${methods.join(", ")}`);
}

export function either(...rules: readonly Rule[]): Rule {
  return (value) => {
    const reasons = rules.map((rule) => rule(value));
    return reasons.includes(undefined) ? undefined : reasons.join(", or ");
  };
}

function isBetween(value: unknown, min: number, max: number): value is number {
  return typeof value === "number" && value >= min && value <= max;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
