import { assert } from "../base/assert.ts";
import { StoredValue } from "../base/stored-value.ts";
import { encodeValue } from "../base/value-codec.ts";
import type { Value } from "../base/value.ts";
import type { CommandId, ExecutionId, Lineage, PeerId, ProgramHash } from "../base/ids.ts";
import type { Due } from "../base/time.ts";
import type { Chain } from "../base/ids.ts";
import type { Operation } from "../flow/program.ts";
import type { LinkedProgram } from "../flow/program-link.ts";
import type { Failure } from "../flow/definitions.ts";
import { ROW } from "./rows.ts";
import { RowReader } from "./row-reader.ts";
import type { Journal, Row } from "./journal.ts";
import type { TimerEntry, TimerSubject } from "./timer-table.ts";

/** Who gets the outcome. */
export type Origin = Readonly<
  | { kind: "application" }
  | { kind: "peer"; peer: PeerId; lineage: Lineage; request: number; attempt: number; oneWay: boolean }
  /** A child: the outcome completes this command of the parent. */
  | { kind: "parent"; command: CommandId }
  | { kind: "event"; event: string }
>;

/** Where one operation stands. Each is in exactly one state; `ready` ones are in the frontier, `parked` ones have a command. */
export const STATUS = { waiting: 0, ready: 1, parked: 2, done: 3, failed: 4, skipped: 5, cancelled: 6 } as const;
export type Status = (typeof STATUS)[keyof typeof STATUS];
export const STATUS_NAMES = Object.keys(STATUS) as readonly (keyof typeof STATUS)[];

/** Progress of a `map`: items below `next` that are not in flight are settled. */
export interface MapProgress {
  next: number;
  settled: number;
  failed: number;
  /** How many results were folded into cells. */
  folded: number;
  readonly inFlight: Map<CommandId, number>;
  /** Results by item, when they are listed and not folded. */
  readonly results: Map<number, StoredValue>;
  /** Items whose results have no row yet: a long map must not look at all of them with every commit. */
  readonly unstored: Set<number>;
  /** Children are being started just now: one that ends at once must not start more. */
  filling: boolean;
}

/** Values larger than this get rows of their own, so that an execution's row stays small. */
export const INLINE_BYTES_MAX = 1024;

/** Keys of an execution's value rows begin with this. Its id may hold slashes of its own, which must not end it early. */
export function slotPrefix(id: string): string {
  return `${ROW.slot}${id.replaceAll("%", "%25").replaceAll("/", "%2F")}/`;
}

/** The execution that a value row belongs to, and which value it is: a slot, or `operation/item` of a map. */
export function parseSlotKey(key: string): { readonly id: ExecutionId; readonly value: string } {
  const slash = key.indexOf("/", ROW.slot.length);
  const id = key.slice(ROW.slot.length, slash).replaceAll("%2F", "/").replaceAll("%25", "%") as ExecutionId;
  return { id, value: key.slice(slash + 1) };
}

/** A slot's value, or a map item's result, in a row of its own. */
class ValueRow implements Row {
  readonly key: string;
  readonly value: StoredValue;
  removed = false;
  persisted = false;
  constructor(key: string, value: StoredValue) {
    this.key = key;
    this.value = value;
  }
  encode(): Uint8Array {
    return this.value.bytes;
  }
}

/**
 * One run of a program: which values are there, where each operation stands.
 *
 * Invariants:
 *   X1. A slot is written at most once.
 *   X2. An operation becomes ready exactly once, when its last input arrives (a race: its first).
 *   X3. `unfinished` is the number of operations that are waiting, ready or parked.
 */
export class Execution implements Row, TimerSubject {
  readonly key: string;
  removed = false;
  persisted = false;
  timers: TimerEntry | undefined = undefined;

  readonly id: ExecutionId;
  readonly program: LinkedProgram;
  readonly origin: Origin;
  /** Prefix of the idempotency keys of everything this execution asks for. */
  readonly workKey: string;
  /** The chain on which the request came, or null. */
  readonly chain: Chain | null;
  readonly startedAt: number;
  readonly deadlineAt: Due;

  readonly #slots: (StoredValue | undefined)[];
  #rows: Map<string, ValueRow> | undefined;
  readonly status: Uint8Array;
  /** By operation: inputs yet to come. Counted anew after a restart, with the first that comes. */
  #missing: Uint16Array | undefined;
  // Made when first used: most executions end in the turn that started them, and never wait for anything.
  #commands: Map<number, CommandId> | undefined;
  #maps: Map<number, MapProgress> | undefined;
  #events: Map<string, Value> | undefined;
  #dead: Set<number> | undefined;
  unfinished: number;
  failure: Failure | null = null;
  /** Outlived its first turn, so the store knows it. */
  kept = false;
  /** Has left the table of live executions; whatever still points here does nothing. */
  ended = false;

  constructor(
    id: ExecutionId, program: LinkedProgram, origin: Origin,
    given: { workKey: string; chain: Chain | null; startedAt: number; deadlineAt: Due; status?: Uint8Array },
  ) {
    this.id = id;
    this.key = ROW.execution + id;
    this.program = program;
    this.origin = origin;
    this.workKey = given.workKey;
    this.chain = given.chain;
    this.startedAt = given.startedAt;
    this.deadlineAt = given.deadlineAt;
    this.#slots = new Array<StoredValue | undefined>(program.program.slots).fill(undefined);
    this.status = given.status ?? new Uint8Array(program.operations.length);
    this.#missing = given.status === undefined ? new Uint16Array(program.indegree) : undefined;
    this.unfinished = program.operations.length;
  }

  /** Operation → its live command. A map's children are in its progress instead. */
  get commands(): Map<number, CommandId> {
    return (this.#commands ??= new Map());
  }

  get maps(): Map<number, MapProgress> {
    return (this.#maps ??= new Map());
  }

  get hasMaps(): boolean {
    return this.#maps !== undefined && this.#maps.size > 0;
  }

  mapAt(operation: number): MapProgress | undefined {
    return this.#maps?.get(operation);
  }

  /** Events that came before their `wait` was reached. */
  get events(): Map<string, Value> {
    return (this.#events ??= new Map());
  }

  /** Does any operation wait for a command or for children? */
  get isWaiting(): boolean {
    return (this.#commands !== undefined && this.#commands.size > 0) || this.hasMaps;
  }

  /** An operation waits no longer. */
  stopWaiting(operation: number): void {
    this.#commands?.delete(operation);
    this.#maps?.delete(operation);
  }

  /** Slots whose producer will never write them. */
  #isDead(slot: number): boolean {
    return this.#dead !== undefined && this.#dead.has(slot);
  }

  #bury(slot: number): void {
    (this.#dead ??= new Set()).add(slot);
  }

  /** Writes a slot (X1) and returns, through `ready`, the operations that have all their inputs now (X2). */
  write(slot: number, value: Value, bytes: Uint8Array | undefined, ready: number[]): void {
    assert(!this.isWritten(slot), "X1: a slot is written once");
    const missingOf = (this.#missing ??= this.#countMissing());
    this.#slots[slot] = StoredValue.of(value, bytes);
    for (const operation of this.program.consumers[slot] as readonly number[]) {
      if (this.status[operation] !== STATUS.waiting) continue; // a race that was won
      const race = (this.program.operations[operation] as { kind: string }).kind === "race";
      const missing = (missingOf[operation] as number) - 1;
      missingOf[operation] = missing;
      if (missing === 0 || race) {
        this.status[operation] = STATUS.ready;
        ready.push(operation);
      }
    }
  }

  /** Takes an operation to a final state. */
  settle(operation: number, status: Status): void {
    assert((this.status[operation] as number) <= STATUS.parked, "X3: an operation settles once");
    this.status[operation] = status;
    this.unfinished--;
  }

  /**
   * Marks a slot as never to be written: operations that need it are skipped, and so on down the graph. A race is
   * skipped only when none of its inputs can come.
   */
  skip(slot: number): void {
    if (this.#isDead(slot) || this.isWritten(slot)) return;
    this.#bury(slot);
    for (const index of this.program.consumers[slot] as readonly number[]) {
      if (this.status[index] !== STATUS.waiting) continue;
      const operation = this.program.operations[index] as { kind: string; inputs: readonly number[] };
      if (operation.kind === "race" && operation.inputs.some((input) => !this.#isDead(input))) continue;
      this.settle(index, STATUS.skipped);
      this.skipOutputs(index);
    }
  }

  skipOutputs(index: number): void {
    const operation = this.program.operations[index] as { outputs: readonly number[]; onError: number | null };
    for (const output of operation.outputs) this.skip(output);
    if (operation.onError !== null) this.skip(operation.onError);
  }

  isWritten(slot: number): boolean {
    return this.#slots[slot] !== undefined;
  }

  /** What was written into a slot. */
  storedAt(slot: number): StoredValue {
    const stored = this.#slots[slot];
    assert(stored !== undefined, "a slot is read after it was written");
    return stored;
  }


  valueAt(slot: number): Value {
    return this.storedAt(slot).value;
  }

  bytesOf(slot: number): Uint8Array {
    return this.storedAt(slot).bytes;
  }

  /** The rows beside this one; to be removed with it. */
  *extraRows(): Iterable<Row> {
    if (this.#rows !== undefined) yield* this.#rows.values();
  }

  encode(journal: Journal): Uint8Array {
    const slots: Value[] = [];
    for (let slot = 0; slot < this.#slots.length; slot++) {
      const stored = this.#slots[slot];
      if (stored === undefined) slots.push(this.#isDead(slot) ? false : null);
      else slots.push(stored.byteLength <= INLINE_BYTES_MAX ? stored.bytes : this.#outline(`${slotPrefix(this.id)}${slot}`, stored, journal));
    }
    const maps: Value[] = [];
    for (const [operation, map] of this.#maps ?? []) {
      for (const item of map.unstored) {
        const key = `${slotPrefix(this.id)}${operation}/${item}`;
        if (this.#rows?.get(key)?.persisted === true) map.unstored.delete(item);
        else this.#outline(key, map.results.get(item) as StoredValue, journal);
      }
      maps.push([operation, map.next, map.settled, map.failed, map.folded, [...map.inFlight].map(([id, item]) => [id, item])]);
    }
    return encodeValue([
      this.program.hash, encodeOrigin(this.origin), this.workKey,
      this.chain === null ? null : [this.chain.id, this.chain.hop],
      this.startedAt, this.deadlineAt === "never" ? null : this.deadlineAt,
      this.status.slice(), slots,
      [...(this.#commands ?? [])].map(([operation, id]) => [operation, id]),
      maps, [...(this.#events ?? [])].map(([name, value]) => [name, value]),
    ]);
  }

  /** Rebuilds an execution from its row; `extra` holds its value rows by key. Throws SNAPSHOT_INVALID. */
  static restore(
    id: ExecutionId, bytes: Uint8Array, extra: ReadonlyMap<string, Uint8Array>,
    programOf: (hash: ProgramHash) => LinkedProgram,
  ): Execution {
    const reader = RowReader.of(ROW.execution + id, bytes);
    const hash = reader.name() as ProgramHash;
    const program = programOf(hash);
    const origin = decodeOrigin(reader.list());
    const workKey = reader.text();
    const chain = reader.nullOr(() => reader.list());
    const given = {
      workKey,
      chain: chain === null ? null : { id: chain.text() as Chain["id"], hop: chain.whole() },
      startedAt: reader.whole(),
      deadlineAt: reader.nullOr(() => reader.whole()) ?? ("never" as const),
    };
    const status = reader.bytes();
    reader.check(status.length === program.operations.length, "one state an operation");
    const execution = new Execution(id, program, origin, { ...given, status });
    execution.unfinished = 0;
    for (let operation = 0; operation < status.length; operation++) {
      const state = status[operation] as number;
      reader.check(state <= STATUS.cancelled, "known operation states");
      if (state <= STATUS.parked) execution.unfinished++;
    }
    // Also results of a map that has ended: they stay until the execution goes, and must go with it.
    for (const [key, value] of extra) execution.#restoreRow(key, value);
    execution.#restoreSlots(reader.list());
    execution.#checkInputs(reader);
    for (const pair of reader.lists()) execution.commands.set(pair.whole(), pair.whole() as CommandId);
    for (const map of reader.lists()) {
      const operation = map.whole();
      const progress: MapProgress = {
        next: map.whole(), settled: map.whole(), failed: map.whole(), folded: map.whole(),
        inFlight: new Map(), results: new Map(), unstored: new Set(), filling: false,
      };
      for (const pair of map.lists()) progress.inFlight.set(pair.whole() as CommandId, pair.whole());
      const prefix = `${slotPrefix(id)}${operation}/`;
      for (const row of execution.#rows?.values() ?? []) {
        if (row.key.startsWith(prefix)) progress.results.set(Number(row.key.slice(prefix.length)), row.value);
      }
      execution.maps.set(operation, progress);
    }
    for (const pair of reader.lists()) execution.events.set(pair.text(), pair.any());
    reader.end();
    execution.persisted = true;
    execution.kept = true;
    return execution;
  }

  #restoreSlots(reader: RowReader): void {
    reader.check(reader.length === this.#slots.length, "one entry a slot");
    for (let slot = 0; slot < this.#slots.length; slot++) {
      const stored = reader.embedded();
      if (stored === null) continue;
      if (stored === false) {
        this.#bury(slot);
        continue;
      }
      const value = stored === true ? this.#rows?.get(`${slotPrefix(this.id)}${slot}`)?.value : stored;
      reader.check(value !== undefined, `the value of slot ${slot}`);
      this.#slots[slot] = value;
    }
  }

  /** An operation that runs, or is about to, reads its inputs: a damaged row must not make that our bug. */
  #checkInputs(reader: RowReader): void {
    const { operations } = this.program;
    for (let index = 0; index < operations.length; index++) {
      if (this.status[index] !== STATUS.ready && this.status[index] !== STATUS.parked) continue;
      const { kind, inputs } = operations[index] as Operation;
      const isWritten = (slot: number): boolean => this.isWritten(slot);
      reader.check(kind === "race" ? inputs.some(isWritten) : inputs.every(isWritten), `the inputs of operation ${index}`);
    }
  }

  #countMissing(): Uint16Array {
    const missing = new Uint16Array(this.program.indegree);
    this.#slots.forEach((stored, slot) => {
      if (stored === undefined) return;
      for (const operation of this.program.consumers[slot] as readonly number[]) {
        if (this.program.operations[operation]?.kind !== "race") missing[operation] = (missing[operation] as number) - 1;
      }
    });
    return missing;
  }

  #outline(key: string, value: StoredValue, journal: Journal): true {
    let row = this.#rows?.get(key);
    if (row === undefined) (this.#rows ??= new Map()).set(key, (row = new ValueRow(key, value)));
    // Not only the first time: whoever encoded it before may have had another journal.
    if (!row.persisted) journal.touch(row);
    return true;
  }

  #restoreRow(key: string, bytes: Uint8Array): void {
    const row = new ValueRow(key, RowReader.storedValueOf(key, bytes));
    row.persisted = true;
    (this.#rows ??= new Map()).set(key, row);
  }
}

function encodeOrigin(origin: Origin): Value {
  switch (origin.kind) {
    case "application": return ["application"];
    case "event": return ["event", origin.event];
    case "parent": return ["parent", origin.command];
    case "peer": return ["peer", origin.peer, origin.lineage, origin.request, origin.attempt, origin.oneWay];
  }
}

function decodeOrigin(reader: RowReader): Origin {
  const kind = reader.name();
  switch (kind) {
    case "application": return { kind };
    case "event": return { kind, event: reader.text() };
    case "parent": return { kind, command: reader.whole() as CommandId };
    case "peer":
      return {
        kind, peer: reader.text() as PeerId, lineage: reader.text() as Lineage,
        request: reader.whole(), attempt: reader.whole(), oneWay: reader.flag(),
      };
    default: return reader.refuse(`unknown origin ${kind}`);
  }
}
