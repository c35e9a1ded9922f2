/** Segments of a path that a route keeps; what lies deeper is of no use to tell sites apart. */
const SEGMENTS_MAX = 6;
/** A longer segment is a value and no name. */
const NAME_LENGTH_MAX = 24;

const SPACE = 0x20;
const HASH = 0x23;
const PERCENT = 0x25;
const DOT = 0x2e;
const SLASH = 0x2f;
const ZERO = 0x30;
const NINE = 0x39;
const SEMICOLON = 0x3b;
const EQUALS = 0x3d;
const QUERY = 0x3f;
const AT = 0x40;
const BACKSLASH = 0x5c;
const LETTER_V = 0x76;
const DELETE = 0x7f;

/** A route as the user gave it, such as `/v1/items/:id` or `/files/*`. */
export interface RouteTemplate {
  readonly text: string;
  readonly segments: readonly string[];
}

export function parseRoute(text: string): RouteTemplate {
  return { text, segments: text.split("/").slice(1) };
}

/**
 * The site of a request: its method and its route, of a target as it was written, with or without a query. The route is the
 * first template that fits; a guess where none does: what looks like a value, and not like a name, becomes `:id`.
 */
export function siteOf(method: string, target: string, templates: readonly RouteTemplate[]): string {
  return `${method} ${routeOf(target, templates)}`;
}

export function routeOf(target: string, templates: readonly RouteTemplate[]): string {
  if (templates.length > 0) {
    const segments = normalPath(target).split("/").slice(1);
    for (const template of templates) if (fits(segments, template)) return template.text;
  }
  return guessedRoute(target) ?? guessedRoute(normalPath(target)) ?? "/";
}

/** In one pass, as this is done for each request; undefined for a path that is not in its usual form. */
function guessedRoute(path: string): string | undefined {
  let route = "";
  let segments = 0;
  let start = 1;
  let digits = 0;
  let dots = 0;
  let isEscaped = false;
  for (let at = 1; ; at++) {
    const code = at < path.length ? path.charCodeAt(at) : QUERY;
    if (code >= ZERO && code <= NINE) digits++;
    else if (code === PERCENT || code === AT || code === SEMICOLON || code === EQUALS) isEscaped = true; // an address, or a value by its name
    else if (code === DOT) dots++;
    else if (code === BACKSLASH || code <= SPACE || code >= DELETE) return undefined;
    else if (code === SLASH || code === QUERY || code === HASH) {
      const length = at - start;
      if (dots === length && dots > 0 && dots <= 2) return undefined;
      if (++segments > SEGMENTS_MAX) return `${route}/*`;
      const isVersion = digits === length - 1 && digits <= 3 && path.charCodeAt(start) === LETTER_V;
      const isValue = isEscaped || length > NAME_LENGTH_MAX || (digits > 0 && !isVersion);
      route += isValue ? "/:id" : path.slice(start - 1, at);
      if (code !== SLASH) return route;
      start = at + 1;
      digits = 0;
      dots = 0;
      isEscaped = false;
    }
  }
}

/** As a URL has it: `/a/../b` is `/b`. */
function normalPath(target: string): string {
  return URL.parse(`http://a${target}`)?.pathname ?? "/";
}

function fits(segments: readonly string[], { segments: wanted }: RouteTemplate): boolean {
  const isOpen = wanted.at(-1) === "*";
  if (isOpen ? segments.length < wanted.length : segments.length !== wanted.length) return false;
  return wanted.every((segment, at) => segment === segments[at] || segment.startsWith(":") || (isOpen && at === wanted.length - 1));
}
