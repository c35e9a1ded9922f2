/** Segments of a path that a route keeps; what lies deeper is of no use to tell sites apart. */
const SEGMENTS_MAX = 6;
/** A longer segment is a value and no name. */
const NAME_LENGTH_MAX = 24;

/** A route as the user gave it, such as `/v1/items/:id` or `/files/*`. */
export interface RouteTemplate {
  readonly text: string;
  readonly segments: readonly string[];
}

export function parseRoute(text: string): RouteTemplate {
  return { text, segments: text.split("/").slice(1) };
}

/** The first template that fits; a guess where none does: what looks like a value, and not like a name, becomes `:id`. */
export function routeOf(pathname: string, templates: readonly RouteTemplate[]): string {
  const segments = pathname.split("/").slice(1);
  for (const template of templates) if (fits(segments, template)) return template.text;
  const kept = segments.slice(0, SEGMENTS_MAX).map((segment) => (isValue(segment) ? ":id" : segment));
  return `/${kept.join("/")}${segments.length > SEGMENTS_MAX ? "/*" : ""}`;
}

function fits(segments: readonly string[], { segments: wanted }: RouteTemplate): boolean {
  const isOpen = wanted.at(-1) === "*";
  if (isOpen ? segments.length < wanted.length : segments.length !== wanted.length) return false;
  return wanted.every((segment, at) => segment === segments[at] || segment.startsWith(":") || (isOpen && at === wanted.length - 1));
}

/** Numbers, hashes, UUIDs, keys: anything with a digit but a version such as `v1`, anything long, anything escaped. */
function isValue(segment: string): boolean {
  return segment.length > NAME_LENGTH_MAX || segment.includes("%") || (/\d/.test(segment) && !/^v\d{1,3}$/.test(segment));
}
