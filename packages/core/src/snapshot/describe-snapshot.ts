import { decodeValue } from "../base/value-codec.ts";
import type { Value } from "../base/value.ts";
import { STATUS_NAMES } from "../engine/execution.ts";
import { RowReader } from "../engine/row-reader.ts";
import { SPEC_VERSION } from "../engine/rows.ts";
import { decodeSnapshot } from "./snapshot.ts";
import { readSnapshot, SNAPSHOT_BYTES_MAX } from "./snapshot-file.ts";
import { SNAPSHOT_PARTS, type SnapshotPart } from "./snapshot-parts.ts";

/** Names of an entry's fields, and of the fields in its body where that is a list. By part, or by part and kind of entry. */
const NAMES: { readonly [part: string]: readonly [fields: readonly string[], body: readonly string[] | string | null] } = {
  frontier: [[], ["ready"]],
  slots: [["execution", "slot", "holds"], "value"],
  commands: [["command"], ["kind", "execution", "operation", "due", "attempt", "createdAt", "subject", "attempts", "failedPeers"]],
  "executions live": [["is", "execution", "slots"],
    ["program", "origin", "workKey", "chain", "startedAt", "deadline", "operations", "commands", "maps", "events"]],
  "executions finished": [["is", "execution"], ["program", "flow", "input", "startedAt", "endedAt", "ok", "outcome"]],
  programs: [["hash"], "program"],
  cells: [["name", "key"], "value"],
  timers: [["due", "reason", "of"], null],
  bus: [[], ["events", "subscriptions"]],
  counters: [["metric", "count"], null],
  "address book": [["peer", "addresses", "references"], null],
  "policy and health policy": [["is"], ["entries", "listed", "failureThreshold"]],
  "policy and health peer": [["is", "peer", "announced", "health"], null],
  "backoff table": [["peer", "cooldown"], null],
  "round trips peer": [["of", "peer"], ["counts", "sites"]],
  "round trips priors": [["of"], ["priors"]],
  sessions: [["peer"], ["epoch", "nextSequence", "acknowledged", "window", "peerLineage", "peerEpoch", "mark", "peerIncarnation", "disputes"]],
  outbox: [["envelope"], ["deadline", "sealed"]],
  identity: [["peer", "lineage", "incarnation", "nextCommand", "nextExecution", "generator", "fence"], null],
  clock: [["now", "pausedNs", "wallMs", "position"], null],
};

/** A byte string longer than this is only counted. */
const BYTES_SHOWN_MAX = 32;
const TEXT_SHOWN_MAX = 512;
/** Of a list as long as this, the rest is only counted. */
const ITEMS_SHOWN_MAX = 1000;

/** A snapshot for people: every part by name, fields by name, what is long only counted. Throws like `decodeSnapshot`. */
export function describeSnapshot(bytes: Uint8Array): Value {
  decodeSnapshot(bytes); // What is shown must also be restorable.
  const parts = readSnapshot(bytes, SNAPSHOT_BYTES_MAX);
  const described: { [part: string]: Value } = { "spec version": SPEC_VERSION };
  for (const part of SNAPSHOT_PARTS) {
    const entries = parts.get(part) ?? [];
    const shown: Value[] = entries.slice(0, ITEMS_SHOWN_MAX).map(({ fields, body }) => describeEntry(part, RowReader.valueOf(part, fields), body));
    if (entries.length > shown.length) shown.push(`… ${grouped(entries.length - shown.length)} more`);
    described[part] = shown;
  }
  return described;
}

function describeEntry(part: SnapshotPart, fields: Value, body: Uint8Array): Value {
  const values = fields as readonly Value[];
  const [fieldNames, bodyNames] = NAMES[part] ?? NAMES[`${part} ${String(values[0])}`] ?? [[], null];
  const entry: { [name: string]: Value } = {};
  values.forEach((value, at) => (entry[fieldNames[at] ?? String(at)] = readable(value)));
  if (body.length === 0 || bodyNames === null) return entry;
  const content = body.length > 16 * 1024 && typeof bodyNames === "string" ? body : decodeValue(body);
  if (typeof bodyNames === "string") entry[bodyNames] = readable(content);
  else (content as readonly Value[]).forEach((value, at) => (entry[bodyNames[at] ?? String(at)] = readable(value)));
  if (part === "executions" && values[0] === "live") {
    const states = (content as readonly Value[])[6] as Uint8Array;
    entry["operations"] = Array.from(states, (state) => STATUS_NAMES[state] ?? state);
  }
  return entry;
}

function readable(value: Value): Value {
  if (value instanceof Uint8Array) {
    if (value.length > BYTES_SHOWN_MAX) return `… ${grouped(value.length)} bytes`;
    return `0x${Array.from(value, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  }
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "string") {
    return value.length <= TEXT_SHOWN_MAX ? value : `${value.slice(0, TEXT_SHOWN_MAX)}… ${grouped(value.length - TEXT_SHOWN_MAX)} more characters`;
  }
  if (Array.isArray(value)) {
    const shown = value.slice(0, ITEMS_SHOWN_MAX).map(readable);
    return value.length > shown.length ? [...shown, `… ${grouped(value.length - shown.length)} more`] : shown;
  }
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, readable(one as Value)]));
}

/** 600000 → "600 000". */
function grouped(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, " ");
}
