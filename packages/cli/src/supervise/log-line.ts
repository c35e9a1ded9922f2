import { writeSync } from "node:fs";
import { styleText } from "node:util";
import type { Log } from "@holdfast/host";

export type Level = "debug" | "info" | "warn" | "error";

/** One line of a node's log. */
export interface LogLine {
  readonly time: string;
  readonly level: Level;
  readonly node: string;
  readonly message: string;
  readonly [detail: string]: unknown;
}

/**
 * A node's log as lines of JSON on stderr. Written at once, so that the lines before a crash are there; what nobody
 * takes any more (the supervisor is dead) is dropped, since the node has yet to drain.
 */
export function jsonLog(node: string): Log {
  const write = (level: Level) => (details: object, message: string) => {
    const line: LogLine = { time: new Date().toISOString(), level, node, message, ...withErrors(details) };
    writeLine(`${JSON.stringify(line, (_key, part: unknown) => (typeof part === "bigint" ? String(part) : part))}\n`);
  };
  return { debug: () => {}, info: write("info"), warn: write("warn"), error: write("error") };
}

/** What a node wrote; anything else that comes out of its process is an error with that text. */
export function parseLogLine(node: string, text: string): LogLine {
  try {
    const line = JSON.parse(text) as Partial<LogLine>;
    if (typeof line.level === "string" && typeof line.message === "string") return line as LogLine;
  } catch {
    // Not ours: a stack trace, say.
  }
  return { time: new Date().toISOString(), level: "error", node, message: text };
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

const RETRIES_MAX = 50;

function writeLine(line: string): void {
  const bytes = Buffer.from(line);
  for (let at = 0, retries = 0; at < bytes.length && retries < RETRIES_MAX; ) {
    try {
      at += writeSync(2, bytes, at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") return;
      retries++; // The pipe is full for a moment.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}
