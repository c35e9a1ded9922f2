/**
 * A snapshot is the whole of a node's state as one versioned value (spec/snapshot.md): the same rows as the store's, sorted
 * into the parts of the specification. `snapshot-file.ts` has the bytes, this file what the parts mean.
 *
 * Invariants:
 *   N1. `decodeSnapshot(encodeSnapshot(rows))` restores to the state that `rows` restore to.
 *   N2. A part that is missing, unknown, damaged or says what another contradicts is an error that names it.
 */
import { RuntimeError } from "../base/errors.ts";
import { encodeValue } from "../base/value-codec.ts";
import type { Lineage } from "../base/ids.ts";
import type { Value } from "../base/value.ts";
import { Cells } from "../engine/cells.ts";
import { INLINE_BYTES_MAX, parseSlotKey, slotPrefix } from "../engine/execution.ts";
import { Journal } from "../engine/journal.ts";
import { readNodeRow } from "../engine/restore.ts";
import { RowReader } from "../engine/row-reader.ts";
import { ROW, SPEC_VERSION, type Encoded } from "../engine/rows.ts";
import { SNAPSHOT_PARTS, type SnapshotEntries, type SnapshotEntry, type SnapshotPart } from "./snapshot-parts.ts";
import { withNewLineage } from "./new-lineage.ts";
import { readSnapshot, SNAPSHOT_BYTES_MAX, writeSnapshot } from "./snapshot-file.ts";

/** What the store knows beside its rows; 0 where there is no store. */
export interface StoreNumbers {
  readonly fence: number;
  readonly position: number;
}

export interface SnapshotLimits {
  /** Default `SNAPSHOT_BYTES_MAX`. */
  readonly bytesMax?: number;
}

export interface DecodeOptions extends SnapshotLimits {
  /** Gives up the history that peers share with the node: its rows under this lineage (`withNewLineage`). */
  readonly newLineage?: Lineage | null;
}

/** Sorts rows into parts, from a store or from `captureRows`. Throws SNAPSHOT_INVALID naming what is damaged or too large. */
export function encodeSnapshot(rows: readonly Encoded[], numbers: StoreNumbers = { fence: 0, position: 0 }, limits: SnapshotLimits = {}): Uint8Array {
  const parts = new PartsWriter();
  const cells: Encoded[] = [];
  for (const [key, bytes] of rows) {
    const slash = key.indexOf("/");
    const family = slash < 0 ? key : key.slice(0, slash + 1);
    const id = key.slice(family.length);
    switch (family) {
      case ROW.node: writeNode(parts, bytes, numbers); break;
      case ROW.frontier: parts.add("frontier", [], bytes); break;
      case ROW.bus: parts.add("bus", [], bytes); break;
      case ROW.program: parts.add("programs", [id], bytes); break;
      case ROW.execution: writeExecution(parts, id, bytes); break;
      case ROW.slot: writeOutlined(parts, key, bytes); break;
      case ROW.result: parts.add("executions", ["finished", id], bytes); break;
      case ROW.command: parts.add("commands", [Number(id)], bytes); break;
      case ROW.cells: cells.push([key, bytes]); break;
      case ROW.policy: parts.add("policy and health", ["policy"], bytes); break;
      case ROW.peer: writePeer(parts, id, bytes); break;
      case ROW.soft: parts.add("round trips", ["peer", id], bytes); break;
      case ROW.priors: parts.add("round trips", ["priors"], bytes); break;
      case ROW.session: parts.add("sessions", [id], bytes); break;
      case ROW.outbox: parts.add("outbox", [id], bytes); break;
      default: throw refuse(key, "an unknown part");
    }
  }
  if (parts.of("identity").length !== 1) throw refuse("identity", "missing");
  const merged = new Cells();
  merged.restore(cells);
  for (const name of [...merged.names].sort()) {
    for (const [key, value] of merged.table(name).entries()) parts.add("cells", [name, key], encodeValue(value));
  }
  for (const timer of timersOf(rows)) parts.add("timers", timer);
  // `ingress` and `lifecycle` have no entries: what a committed turn admitted is executions, commands and bus events
  // already, results and fired phases included; what no turn has drained was never durable. They stand there all the
  // same, so that a version that needs them finds their place.
  return writeSnapshot(parts.entries, limits.bytesMax ?? SNAPSHOT_BYTES_MAX);
}

/** The rows of a snapshot, in ascending key order. Throws SNAPSHOT_INVALID naming the part; the spec version is checked first. */
export function decodeSnapshot(bytes: Uint8Array, { bytesMax = SNAPSHOT_BYTES_MAX, newLineage = null }: DecodeOptions = {}): Encoded[] {
  const parts = readSnapshot(bytes, bytesMax);
  const rows: Encoded[] = [readNode(parts)];
  for (const part of ["frontier", "bus"] as const) {
    rows.push(...entriesOf(parts, part, () => part));
  }
  rows.push(...entriesOf(parts, "programs", (fields) => ROW.program + fields.text()));
  rows.push(...entriesOf(parts, "commands", (fields) => ROW.command + String(fields.whole())));
  rows.push(...entriesOf(parts, "sessions", (fields) => ROW.session + fields.text()));
  rows.push(...entriesOf(parts, "outbox", (fields) => ROW.outbox + fields.text()));
  rows.push(...entriesOf(parts, "round trips", (fields) => {
    const kind = fields.text();
    return kind === "priors" ? ROW.priors : kind === "peer" ? ROW.soft + fields.text() : fields.refuse(`unknown kind ${kind}`);
  }));
  rows.push(...readExecutions(parts), ...readCells(parts), ...readPeers(parts));
  for (const part of ["ingress", "lifecycle"] as const) if (of(parts, part).length > 0) throw refuse(part, "entries of an unknown kind");
  rows.sort(([a], [b]) => (a < b ? -1 : 1));
  rows.forEach(([key], at) => {
    if (key === rows[at + 1]?.[0]) throw refuse(key, "there twice");
  });
  checkTimers(parts, rows);
  return newLineage === null ? rows : withNewLineage(rows, newLineage);
}

/** Of which node, and of which point in its history, a snapshot is. */
export interface SnapshotOrigin extends StoreNumbers {
  readonly peer: string;
  readonly lineage: string;
  readonly incarnation: number;
  /** Engine time at the last commit. */
  readonly now: number;
}

/** Throws like `decodeSnapshot`. */
export function snapshotOrigin(bytes: Uint8Array): SnapshotOrigin {
  const parts = readSnapshot(bytes, SNAPSHOT_BYTES_MAX);
  const { peer, lineage, incarnation, now } = readNodeRow(readNode(parts)[1]);
  const identity = single(parts, "identity");
  for (let skipped = 0; skipped < IDENTITY_FENCE_FIELD; skipped++) identity.any();
  const clock = single(parts, "clock");
  for (let skipped = 0; skipped < CLOCK_POSITION_FIELD; skipped++) clock.any();
  return { peer, lineage, incarnation, now, fence: identity.whole(), position: clock.whole() };
}

// ── the row `node`: identity, clock, counters ──

const IDENTITY_FENCE_FIELD = 6;
const CLOCK_POSITION_FIELD = 3;

function writeNode(parts: PartsWriter, bytes: Uint8Array, { fence, position }: StoreNumbers): void {
  const node = readNodeRow(bytes);
  parts.add("identity", [node.peer, node.lineage, node.incarnation, node.nextCommand, node.nextExecution, [...node.random], fence]);
  parts.add("clock", [node.now, node.pausedNs, node.wallMs, position]);
  for (const [name, count] of node.counters) parts.add("counters", [name, count]);
}

function readNode(parts: SnapshotEntries): Encoded {
  const identity = single(parts, "identity");
  const who = [identity.text(), identity.text(), identity.whole(), identity.whole(), identity.whole(), identity.items()];
  identity.whole();
  identity.end();
  const clock = single(parts, "clock");
  const times = [clock.whole(), clock.whole(), clock.whole()];
  clock.whole();
  clock.end();
  const counters = of(parts, "counters").map((entry) => read("counters", entry, (fields) => [fields.text(), fields.whole()]));
  return [ROW.node, encodeValue([SPEC_VERSION, ...who, ...times, counters] as Value)];
}

// ── executions and slots: the specification has them apart, the rows have small values inline ──

/** Where an execution's row has its slots, and how many fields it has. */
const SLOTS_FIELD = 7;
const EXECUTION_FIELDS = 11;

function writeExecution(parts: PartsWriter, id: string, bytes: Uint8Array): void {
  const fields = listOf(ROW.execution + id, bytes);
  const slots = fields[SLOTS_FIELD];
  if (fields.length !== EXECUTION_FIELDS || !Array.isArray(slots)) throw refuse(ROW.execution + id, "not the fields of an execution");
  parts.add("executions", ["live", id, slots.length], encodeValue(fields.filter((_, at) => at !== SLOTS_FIELD)));
  (slots as Value[]).forEach((stored, slot) => {
    if (stored instanceof Uint8Array) parts.add("slots", [id, String(slot), "value"], stored);
    else if (stored === null) parts.add("slots", [id, String(slot), "nothing yet"]);
    else if (stored === false) parts.add("slots", [id, String(slot), "never"]);
    // `true`: its value has a row of its own, and comes with that.
  });
}

function writeOutlined(parts: PartsWriter, key: string, bytes: Uint8Array): void {
  const { id, value } = parseSlotKey(key);
  parts.add("slots", [id, value, "value"], bytes);
}

function readExecutions(parts: SnapshotEntries): Encoded[] {
  const rows: Encoded[] = [];
  const live = new Map<string, { readonly fields: Value[]; readonly slots: (Value | undefined)[] }>();
  for (const entry of of(parts, "executions")) {
    read("executions", entry, (fields) => {
      const kind = fields.text();
      const id = fields.text();
      if (kind === "finished") return void rows.push([ROW.result + id, entry.body]);
      fields.check(kind === "live" && !live.has(id), "a live or finished execution, each once");
      const slots = fields.whole();
      fields.check(slots <= of(parts, "slots").length, "as many slots as there are entries for them");
      live.set(id, { fields: listOf("executions", entry.body), slots: new Array<Value | undefined>(slots).fill(undefined) });
    });
  }
  for (const entry of of(parts, "slots")) {
    read("slots", entry, (fields) => {
      const [id, value, kind] = [fields.text(), fields.text(), fields.text()];
      const slots = live.get(id)?.slots ?? fields.refuse(`a slot of no execution ${id}`);
      fields.check(kind === "value" || kind === "nothing yet" || kind === "never", "what a slot holds");
      const slot = value.includes("/") ? undefined : Number(value);
      if (slot === undefined) return void rows.push([`${slotPrefix(id)}${value}`, entry.body]); // an item of a map
      fields.check(slot in slots && slots[slot] === undefined, "each slot once");
      const outlined = kind === "value" && entry.body.length > INLINE_BYTES_MAX;
      slots[slot] = kind === "nothing yet" ? null : kind === "never" ? false : outlined ? true : entry.body;
      if (outlined) rows.push([`${slotPrefix(id)}${slot}`, entry.body]);
    });
  }
  for (const [id, { fields, slots }] of live) {
    if (slots.includes(undefined)) throw refuse("slots", `execution ${id} lacks slot ${slots.indexOf(undefined)}`);
    rows.push([ROW.execution + id, encodeValue(fields.toSpliced(SLOTS_FIELD, 0, slots as Value[]))]);
  }
  return rows;
}

// ── cells: merged ──

function readCells(parts: SnapshotEntries): Encoded[] {
  const cells = new Cells();
  const unused = new Journal();
  for (const entry of of(parts, "cells")) {
    read("cells", entry, (fields) => {
      const table = cells.table(fields.text());
      const key = fields.text();
      fields.check(table.get(key) === undefined, "each cell once");
      table.set(key, RowReader.valueOf("cells", entry.body), unused);
    });
  }
  return [...cells.capture()];
}

// ── peers: the address book, what policy and health say, the cooldown ──

function writePeer(parts: PartsWriter, id: string, bytes: Uint8Array): void {
  const fields = listOf(ROW.peer + id, bytes);
  if (fields.length !== 5) throw refuse(ROW.peer + id, "not the fields of a peer");
  const [addresses, references, verdict, health, backoff] = fields as [Value, Value, Value, Value, Value];
  parts.add("address book", [id, addresses, references]);
  parts.add("policy and health", ["peer", id, verdict, health]);
  if (backoff !== null) parts.add("backoff table", [id, backoff]);
}

function readPeers(parts: SnapshotEntries): Encoded[] {
  const rows: Encoded[] = [];
  const book = new Map<string, Value[]>();
  for (const entry of of(parts, "address book")) {
    read("address book", entry, (fields) => {
      const id = fields.text();
      fields.check(!book.has(id), "each peer once");
      book.set(id, [fields.any(), fields.any()]);
    });
  }
  for (const entry of of(parts, "policy and health")) {
    read("policy and health", entry, (fields) => {
      const kind = fields.text();
      if (kind === "policy") return void rows.push([ROW.policy, entry.body]);
      fields.check(kind === "peer", "the policy or a peer");
      const peer = book.get(fields.text()) ?? fields.refuse("a peer that is not in the address book");
      fields.check(peer.length === 2, "each peer once");
      peer.push(fields.any(), fields.any());
    });
  }
  for (const entry of of(parts, "backoff table")) {
    read("backoff table", entry, (fields) => {
      const peer = book.get(fields.text()) ?? fields.refuse("a peer that is not in the address book");
      fields.check(peer.length === 4, "each peer once");
      peer.push(fields.any());
    });
  }
  for (const [id, fields] of book) {
    if (fields.length < 4) throw refuse("policy and health", `says nothing of ${id}`);
    rows.push([ROW.peer + id, encodeValue([...fields, fields[4] ?? null].slice(0, 5))]);
  }
  return rows;
}

// ── timers: they follow from the rows, and are checked against them ──

/** [due, reason, whose] of everything scheduled that survives a restart, in (due, whose) order. */
function timersOf(rows: readonly Encoded[]): [number, string, string][] {
  const timers: [number, string, string][] = [];
  for (const [key, bytes] of rows) {
    const at = key.startsWith(ROW.command) ? COMMAND_DUE_FIELD : key.startsWith(ROW.execution) ? EXECUTION_DEADLINE_FIELD : undefined;
    if (at === undefined) continue;
    const due = listOf(key, bytes)[at];
    if (typeof due === "number") timers.push([due, at === COMMAND_DUE_FIELD ? "command-due" : "execution-deadline", key]);
  }
  return timers.sort(([a, , whose], [b, , other]) => a - b || (whose < other ? -1 : 1));
}

const COMMAND_DUE_FIELD = 3;
const EXECUTION_DEADLINE_FIELD = 5;

function checkTimers(parts: SnapshotEntries, rows: readonly Encoded[]): void {
  const stored = of(parts, "timers").map((entry) => {
    return read("timers", entry, (fields) => [fields.whole(), fields.text(), fields.text()]).join();
  });
  const expected = timersOf(rows).map((timer) => timer.join());
  const at = stored.length > expected.length ? expected.length : expected.findIndex((timer, index) => timer !== stored[index]);
  if (at >= 0 && (at < expected.length || at < stored.length)) {
    throw refuse("timers", `found ${stored[at] ?? "none"}, from commands and executions follows ${expected[at] ?? "none"}`);
  }
}

// ── entries ──

class PartsWriter {
  readonly entries = new Map<SnapshotPart, SnapshotEntry[]>(SNAPSHOT_PARTS.map((part) => [part, []]));

  add(part: SnapshotPart, fields: readonly Value[], body: Uint8Array = NOTHING): void {
    this.of(part).push({ fields: encodeValue(fields), body });
  }

  of(part: SnapshotPart): SnapshotEntry[] {
    return this.entries.get(part) as SnapshotEntry[];
  }
}

const NOTHING = new Uint8Array(0);

function of(parts: SnapshotEntries, part: SnapshotPart): readonly SnapshotEntry[] {
  return parts.get(part) as readonly SnapshotEntry[];
}

/** Reads an entry's fields, every one of them. */
function read<T>(part: SnapshotPart, entry: SnapshotEntry, take: (fields: RowReader) => T): T {
  const fields = RowReader.of(part, entry.fields);
  const taken = take(fields);
  fields.end();
  return taken;
}

function entriesOf(parts: SnapshotEntries, part: SnapshotPart, keyOf: (fields: RowReader) => string): Encoded[] {
  return of(parts, part).map((entry) => [read(part, entry, keyOf), entry.body]);
}

function single(parts: SnapshotEntries, part: SnapshotPart): RowReader {
  const [entry, further] = of(parts, part);
  if (entry === undefined || further !== undefined) throw refuse(part, "not exactly one entry");
  return RowReader.of(part, entry.fields);
}

function listOf(part: string, bytes: Uint8Array): Value[] {
  const value = RowReader.valueOf(part, bytes);
  if (!Array.isArray(value)) throw refuse(part, "not a list");
  return value as Value[];
}

function refuse(part: string, reason: string): RuntimeError {
  return new RuntimeError("SNAPSHOT_INVALID", { part, reason });
}
