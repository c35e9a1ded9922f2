import { remembering } from "./remembering.ts";

/** Whom a URL asks, and for what. */
export interface Target {
  readonly origin: string;
  /** Path, query and fragment, as they were written. */
  readonly path: string;
}

/** Servers whose origins are remembered. */
const SERVERS_MAX = 256;

/** The origin of a scheme and server as they were written; null for what needs a closer look. */
const originOfServer = remembering<string | null>(SERVERS_MAX, (text) => (/^https?:\/\/[^/?#\\\s]+$/.test(text) ? (URL.parse(text)?.origin ?? null) : null));

/**
 * Reads a URL of HTTP, as often as not without parsing it; undefined for other schemes, which ask nobody. Throws what
 * the parser throws.
 */
export function targetOf(text: string): Target | undefined {
  const slash = text.indexOf("/", "https://".length);
  const origin = slash < 0 ? null : originOfServer(text.slice(0, slash));
  if (origin !== null) return { origin, path: text.slice(slash) };
  const url = parsed(text);
  return url.protocol === "http:" || url.protocol === "https:" ? { origin: url.origin, path: url.pathname } : undefined;
}

/** As a page or a program means it. */
export function parsed(text: string): URL {
  return new URL(text, (globalThis as { location?: { href?: string } }).location?.href);
}
