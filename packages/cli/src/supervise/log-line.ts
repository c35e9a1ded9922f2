import { styleText } from "node:util";

export type Level = "debug" | "info" | "warn" | "error";

/** One line of a node's log. */
export interface LogLine {
  readonly time: string;
  readonly level: Level;
  readonly node: string;
  readonly message: string;
  readonly [detail: string]: unknown;
}

/** Details as JSON has them: errors by their message, bigints by their digits. */
export function logLine(level: Level, node: string, details: object, message: string): LogLine {
  const line = { time: new Date().toISOString(), level, node, message, ...withErrors(details) };
  return JSON.parse(JSON.stringify(line, (_key, part: unknown) => (typeof part === "bigint" ? String(part) : part))) as LogLine;
}

const COLOURS = { debug: "gray", info: "green", warn: "yellow", error: "red" } as const;

/** For people. */
export function prettyLine({ time, level, node, message, ...details }: LogLine): string {
  const extra = Object.entries(details).map(([key, value]) => ` ${key}=${typeof value === "string" ? value : JSON.stringify(value)}`).join("");
  return `${time.slice(11, 23)} ${styleText(COLOURS[level], level.padEnd(5))} ${node}: ${message}${styleText("gray", extra)}`;
}

/** Errors have no enumerable parts: JSON would show them as {}. */
function withErrors(details: object): object {
  const pairs = Object.entries(details).map(([key, value]) => [key, value instanceof Error ? value.message : (value as unknown)]);
  return Object.fromEntries(pairs) as object;
}
