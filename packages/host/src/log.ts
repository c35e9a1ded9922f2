import pino, { type Logger } from "pino";
import pretty from "pino-pretty";

export type Log = Logger;

export interface LogOptions {
  /** "fatal" … "trace", or "silent". */
  readonly level: pino.LevelWithSilent;
  /** Who writes: a node's or tool's name. */
  readonly name: string;
  /** For people instead of machines. Default: whether stderr is a terminal. */
  readonly pretty?: boolean;
}

/** What must never reach a log, at the top or one level down. */
const SECRETS = ["keyPem", "privateKey", "key.pem", "*.keyPem", "*.privateKey"];

/**
 * Structured logs on stderr: JSON lines, or readable ones on a terminal. Written at once and not behind the back of the
 * process, so that the lines before a crash are there.
 */
export function openLog({ level, name, pretty: readable = process.stderr.isTTY === true }: LogOptions): Log {
  const stream = readable
    ? pretty({ destination: 2, sync: true, colorize: process.stderr.isTTY === true, ignore: "pid,hostname" })
    : pino.destination({ dest: 2, sync: true });
  return pino({ level, name, base: { pid: process.pid }, redact: SECRETS, timestamp: pino.stdTimeFunctions.isoTime }, stream);
}
