import { NS_MAX, NS_PER_MS, NS_PER_S } from "../../base/time.ts";
import { boundQuantity } from "../quantity.ts";

/**
 * What a remote said about coming back: after how many ns; or never with *this* operation, which says nothing of the
 * peer, so it is no cooldown.
 */
export type Advice = Readonly<{ kind: "wait"; ns: number } | { kind: "never" }>;

const MS_PER_DAY = 86_400_000;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/** Digits of which a number makes sense: more is a broken or hostile peer, and as long as can be. */
const TEXT_MAX = 64;

/**
 * Reads a `Retry-After` field: seconds, or a date of any of HTTP's three forms, which is held against `wallMs`, our wall
 * clock in ms since 1970; a date that has passed is a wait of 0. What is negative means never. Undefined for anything
 * else: then it is no advice. The caller bounds the wait (BackoffTable).
 *
 * Source: RFC 9110 §10.2.3 and §5.6.7. Fractions of seconds, which some servers send, are taken, too.
 */
export function parseRetryAfter(text: string, wallMs: number): Advice | undefined {
  const trimmed = text.slice(0, TEXT_MAX).trim();
  const plain = readNumber(trimmed);
  if (plain !== undefined) return waitOf(plain, NS_PER_S);
  const at = parseHttpDate(trimmed, wallMs);
  return at === undefined ? undefined : waitOf(Math.max(0, at - wallMs), NS_PER_MS);
}

/**
 * Reads a push-back in ms, as gRPC's `grpc-retry-pushback-ms` carries it. Negative: never. Undefined for anything else.
 * Source: gRPC proposal A6. We differ: there what cannot be read means never, too; a broken peer then ends our work.
 */
export function parsePushbackMs(text: string): Advice | undefined {
  const plain = readNumber(text.slice(0, TEXT_MAX).trim());
  return plain === undefined ? undefined : waitOf(plain, NS_PER_MS);
}

/** Ms since 1970 of an HTTP date; undefined if it is none. A year of two digits is at most 50 years ahead of `wallMs`. */
export function parseHttpDate(text: string, wallMs: number): number | undefined {
  const fixed = /^[A-Z][a-z]{2}, (\d{2}) ([A-Z][a-z]{2}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) GMT$/.exec(text);
  if (fixed !== null) return instantOf(fixed[3], fixed[2], fixed[1], fixed.slice(4));
  const ansi = /^[A-Z][a-z]{2} ([A-Z][a-z]{2}) ([ \d]\d) (\d{2}):(\d{2}):(\d{2}) (\d{4})$/.exec(text);
  if (ansi !== null) return instantOf(ansi[6], ansi[1], ansi[2], ansi.slice(3, 6));
  const old = /^[A-Z][a-z]{5,8}, (\d{2})-([A-Z][a-z]{2})-(\d{2}) (\d{2}):(\d{2}):(\d{2}) GMT$/.exec(text);
  if (old === null) return undefined;
  const century = Math.floor(yearOf(wallMs) / 100) * 100;
  const year = century + Number(old[3]);
  return instantOf(String(year > yearOf(wallMs) + 50 ? year - 100 : year), old[2], old[1], old.slice(4));
}

function readNumber(text: string): number | undefined {
  return /^[+-]?\d+(\.\d+)?$/.test(text) ? Number(text) : undefined;
}

function waitOf(value: number, unitNs: number): Advice {
  return value < 0 ? { kind: "never" } : { kind: "wait", ns: Math.min(NS_MAX, boundQuantity(value * unitNs)) };
}

function instantOf(year: string | undefined, month: string | undefined, day: string | undefined, time: readonly (string | undefined)[]): number | undefined {
  const monthIndex = MONTHS.indexOf(month ?? "");
  const [hours, minutes, seconds] = time.map(Number) as [number, number, number];
  const date = Number(day);
  // A leap second is 60.
  if (monthIndex < 0 || date < 1 || date > 31 || hours > 23 || minutes > 59 || seconds > 60) return undefined;
  return daysBefore(Number(year), monthIndex + 1, date) * MS_PER_DAY + (hours * 3600 + minutes * 60 + seconds) * 1000;
}

/** Days from 1970-01-01 in the Gregorian calendar, months counted from March, so that the leap day is the last one. */
function daysBefore(year: number, month: number, day: number): number {
  const years = month > 2 ? year : year - 1;
  const monthFromMarch = (month + 9) % 12;
  const leapDays = Math.floor(years / 4) - Math.floor(years / 100) + Math.floor(years / 400);
  const days = 365 * years + leapDays + Math.floor((153 * monthFromMarch + 2) / 5) + day - 1;
  return days - 719_468;
}

/** Near enough for a rule of 50 years. */
function yearOf(wallMs: number): number {
  return 1970 + Math.floor(wallMs / (365.2425 * MS_PER_DAY));
}
