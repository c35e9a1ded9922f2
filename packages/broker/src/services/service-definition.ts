import { realpathSync, statSync } from "node:fs";
import { isAbsolute, relative, resolve, sep } from "node:path";
import { RuntimeError } from "@holdfast/core/peer";
import * as v from "valibot";
import { ServiceName } from "../protocol/messages.ts";
import { isVersion, isVersionRange } from "./version-policy.ts";

/** Of a definition's file. A file is refused by its size, before it is read. */
export const DEFINITION_BYTES_MAX = 64 * 1024;

/** Who shares a broker with whom: all, nobody, or the services that name the same group. */
export type Isolation = "shared" | "private" | { readonly named: string };

/** What one file `NAME.json` says of the service NAME: which programs are its backends, and how they are started. */
export interface ServiceDefinition {
  /** The stem of the file's name, too: a copied file does not become a second service of the same name. */
  readonly service: string;
  /** An absolute directory; no backend runs a file outside it. */
  readonly root: string;
  /** The file that node runs, absolute and inside `root`. `{version}` in it stands for the version that is wanted. */
  readonly entry: string;
  readonly arguments: readonly string[];
  /** Flags of node itself: `--NAME` or `--NAME=VALUE`. */
  readonly nodeOptions: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** A semantic version; null: none is too old. */
  readonly minimumVersion: string | null;
  /** Versions or ranges of them, one of which must fit; null: any does. */
  readonly allowedVersions: readonly string[] | null;
  readonly isolation: Isolation;
  /** Whether live connections are passed to its backends; null: as the broker does by default. */
  readonly handoff: boolean | null;
  /** For people and their tools; the broker reads none. */
  readonly labels: Readonly<Record<string, string>>;
}

// A NUL would end a path, an argument or a variable early, where the operating system reads it.
const Text = (charsMax: number) =>
  v.pipe(v.string("must be a text"), v.maxLength(charsMax, `is longer than ${charsMax}`), v.excludes("\0", "holds a NUL"));
const AbsolutePath = v.pipe(Text(4096), v.check(isAbsolute, "must be an absolute path"));
const list = <const Item extends v.GenericSchema<string>>(item: Item, countMax: number) =>
  v.pipe(v.array(item, "must be a list"), v.maxLength(countMax, `holds more than ${countMax}`));

/** Valibot drops these from a record without a word. */
const DROPPED = ["__proto__", "constructor", "prototype"];
const isRecord = (value: unknown) => typeof value === "object" && value !== null && !Array.isArray(value);
const record = <const Name extends v.GenericSchema<string, string>>(name: Name, charsMax: number, countMax: number) => v.pipe(
  v.custom<Record<string, unknown>>(isRecord, "must be an object"),
  v.check((given) => Object.keys(given).length <= countMax, `holds more than ${countMax}`),
  v.check((given) => !DROPPED.some((key) => Object.hasOwn(given, key)), `cannot hold ${DROPPED.join(", ")}`),
  v.record(name, Text(charsMax)),
);
const VariableName = v.pipe(v.string(), v.regex(/^[A-Za-z_][A-Za-z0-9_]{0,255}$/, "a variable's name is letters, digits and \"_\""));
const LabelName = v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/, "a label's name is letters, digits, \".\", \"_\", \"/\" and \"-\""));
const Range = v.pipe(Text(256), v.check(isVersionRange, "is no semantic version or range of them"));
const Group = v.strictObject({ named: ServiceName });

const Definition = v.strictObject({
  service: ServiceName,
  root: AbsolutePath,
  entry: AbsolutePath,
  arguments: v.optional(list(Text(4096), 256), []),
  // Anything else on node's command line would be taken for the program to run, in place of the entry.
  nodeOptions: v.optional(list(v.pipe(Text(4096), v.regex(/^--[A-Za-z]/, "must be --NAME or --NAME=VALUE")), 64), []),
  environment: v.optional(record(VariableName, 32_768, 256), {}),
  minimumVersion: v.optional(v.nullable(v.pipe(Text(64), v.check(isVersion, "is no semantic version"))), null),
  allowedVersions: v.optional(v.nullable(v.pipe(list(Range, 64), v.minLength(1, "allows nothing"))), null),
  isolation: v.optional(v.union([v.picklist(["shared", "private"]), Group], "must be \"shared\", \"private\" or {\"named\": NAME}"), "shared"),
  handoff: v.optional(v.nullable(v.boolean("must be true or false")), null),
  labels: v.optional(record(LabelName, 1024, 64), {}),
}, ({ expected, received }) => {
  if (expected === "never") return "is no field of a definition";
  return received === "undefined" ? "is missing" : "a definition is an object";
});

/** The only way from a file's text to a definition. Throws SERVICE_INVALID, whatever the text. */
export function parseServiceDefinition(text: string, stem: string): ServiceDefinition {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw invalid(stem, "definition", (error as Error).message, error);
  }
  const checked = v.safeParse(Definition, json, { abortEarly: true });
  if (!checked.success) {
    const [issue] = checked.issues;
    throw invalid(stem, v.getDotPath(issue) ?? "definition", issue.message);
  }
  const definition = checked.output;
  if (definition.service !== stem) throw invalid(stem, "service", `must be ${stem}, as the file is called ${stem}.json`);
  // No version has a slash in it: an entry that is inside with one version is inside with every other.
  if (!isInside(definition.root, withVersion(definition.entry, "0.0.0"))) throw invalid(stem, "entry", "must be inside root");
  return definition;
}

/**
 * The file that serves `version`, by its real path: what has been checked is what is run, wherever links point later.
 * Throws SERVICE_INVALID if that is no regular file inside the real root.
 */
export function entryPath({ service, root, entry }: ServiceDefinition, version: string): string {
  if (!isVersion(version)) throw invalid(service, "version", `${JSON.stringify(version)} is no semantic version`);
  const path = withVersion(entry, version);
  const realRoot = realPath(service, "root", root);
  const real = realPath(service, "entry", path);
  if (!isInside(realRoot, real)) throw invalid(service, "entry", `${path} leads to ${real}, outside ${realRoot}`);
  if (statSync(real, { throwIfNoEntry: false })?.isFile() !== true) throw invalid(service, "entry", `${real} is no regular file`);
  return real;
}

/** The trust domain of a service. There is one broker for each, so that none holds the connections of two. */
export function domainOf({ service, isolation }: Pick<ServiceDefinition, "service" | "isolation">): string {
  if (isolation === "shared") return "shared";
  return isolation === "private" ? `svc-${service}` : `grp-${isolation.named}`;
}

/** Bounded, since a client's refusal carries it, and a refusal is one small frame. */
export function invalid(service: string, at: string, reason: string, cause?: unknown): RuntimeError {
  const clip = (text: string) => (text.length > 512 ? `${text.slice(0, 511)}…` : text);
  return new RuntimeError("SERVICE_INVALID", { service: clip(service), at: clip(at), reason: clip(reason) }, { cause });
}

function withVersion(entry: string, version: string): string {
  return entry.replaceAll("{version}", version);
}

/** By their names alone. (From one drive of Windows to another the way is absolute.) */
function isInside(root: string, path: string): boolean {
  const way = relative(resolve(root), resolve(path));
  return way !== "" && way !== ".." && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

function realPath(service: string, at: string, path: string): string {
  try {
    return realpathSync.native(path);
  } catch (error) {
    throw invalid(service, at, (error as Error).message, error);
  }
}
