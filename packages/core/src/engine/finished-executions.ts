import { StoredValue } from "../base/stored-value.ts";
import { encodeValue } from "../base/value-codec.ts";
import type { Value } from "../base/value.ts";
import type { ExecutionId, ProgramHash } from "../base/ids.ts";
import type { Failure } from "../flow/definitions.ts";
import { ROW } from "./rows.ts";
import { RowReader } from "./row-reader.ts";
import type { Outcome } from "./engine-events.ts";
import type { Journal, Row } from "./journal.ts";

interface Finished {
  readonly program: ProgramHash;
  readonly flow: string;
  /** {port: value}, as the schemas left it: tells the same id with another input apart. */
  readonly input: StoredValue;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly ok: boolean;
  /** What its outcome holds: the value, or the failure as a value. */
  readonly result: StoredValue;
}

/** What is kept of an execution that the application started, after its end. */
export class FinishedExecution implements Row {
  readonly key: string;
  removed = false;
  persisted = false;
  readonly id: ExecutionId;
  readonly program: ProgramHash;
  readonly flow: string;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly ok: boolean;
  readonly #input: StoredValue;
  readonly #result: StoredValue;
  /** The row it was restored from: it never changes. */
  readonly #row: Uint8Array | undefined;

  private constructor(id: ExecutionId, given: Finished, row?: Uint8Array) {
    this.id = id;
    this.key = ROW.result + id;
    this.program = given.program;
    this.flow = given.flow;
    this.startedAt = given.startedAt;
    this.endedAt = given.endedAt;
    this.ok = given.ok;
    this.#input = given.input;
    this.#result = given.result;
    this.#row = row;
    this.persisted = row !== undefined;
  }

  static of(id: ExecutionId, given: Pick<Finished, "program" | "flow" | "startedAt" | "endedAt"> & { input: Value; outcome: Outcome }): FinishedExecution {
    const { input, outcome } = given;
    const result = StoredValue.of(outcome.ok ? outcome.value : failureValue(outcome.failure));
    return new FinishedExecution(id, { ...given, input: StoredValue.of(input), ok: outcome.ok, result });
  }

  get input(): Value {
    return this.#input.value;
  }

  get outcome(): Outcome {
    const { value } = this.#result;
    return this.ok ? { ok: true, value } : { ok: false, failure: parseFailure(value) };
  }

  encode(): Uint8Array {
    return this.#row ?? encodeValue([this.program, this.flow, this.input, this.startedAt, this.endedAt, this.ok, this.#result.value]);
  }

  static restore(id: ExecutionId, bytes: Uint8Array): FinishedExecution {
    const reader = RowReader.of(ROW.result + id, bytes);
    const given = {
      program: reader.name() as ProgramHash, flow: reader.name(), input: reader.stored(),
      startedAt: reader.whole(), endedAt: reader.whole(), ok: reader.flag(), result: reader.stored(),
    };
    reader.end();
    return new FinishedExecution(id, given, bytes);
  }
}

/** Results, kept for `retentionNs` and at most `resultsMax`; the oldest go first. */
export class FinishedExecutions {
  readonly #retentionNs: number;
  readonly #max: number;
  // Insertion order is the order of ending, so the oldest come first.
  readonly #byId = new Map<ExecutionId, FinishedExecution>();
  /** Where `expire` left off: an iterator begun anew would step over everything that was ever removed before it. */
  #fromOldest = this.#byId.values();
  #oldest: FinishedExecution | undefined;

  constructor(options: { retentionNs: number; resultsMax: number }) {
    this.#retentionNs = options.retentionNs;
    this.#max = options.resultsMax;
  }

  get size(): number {
    return this.#byId.size;
  }

  get(id: ExecutionId): FinishedExecution | undefined {
    return this.#byId.get(id);
  }

  values(): Iterable<FinishedExecution> {
    return this.#byId.values();
  }

  add(finished: FinishedExecution, journal: Journal): void {
    this.#byId.set(finished.id, finished);
    journal.touch(finished);
    this.expire(finished.endedAt, journal);
  }

  remove(id: ExecutionId, journal: Journal): void {
    const finished = this.#byId.get(id);
    if (finished === undefined) return;
    this.#byId.delete(id);
    journal.remove(finished);
  }

  expire(now: number, journal: Journal): void {
    for (let oldest = this.#findOldest(); oldest !== undefined; oldest = this.#findOldest()) {
      if (this.#byId.size <= this.#max && oldest.endedAt + this.#retentionNs > now) return;
      this.remove(oldest.id, journal);
    }
  }

  #findOldest(): FinishedExecution | undefined {
    if (this.#oldest !== undefined && this.#byId.get(this.#oldest.id) === this.#oldest) return this.#oldest;
    let next = this.#fromOldest.next();
    if (next.done === true) {
      this.#fromOldest = this.#byId.values(); // an iterator that came to the end stays there
      next = this.#fromOldest.next();
    }
    return (this.#oldest = next.value);
  }

  /** Rows of the family `result/`, in any order. */
  restore(rows: readonly FinishedExecution[]): void {
    for (const row of [...rows].sort((a, b) => a.endedAt - b.endedAt || (a.id < b.id ? -1 : 1))) this.#byId.set(row.id, row);
  }
}

export function failureValue(failure: Failure): Value {
  return { code: failure.code, message: failure.message, at: [...failure.at], details: failure.details };
}

/** Reads a failure that came from a store or a peer; what does not look like one becomes one that says so. */
export function parseFailure(value: Value): Failure {
  if (typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)) {
    const { code, message, at, details } = value as { readonly [key: string]: Value };
    if (typeof code === "string" && typeof message === "string" && Array.isArray(at) && at.every((part) => typeof part === "string")) {
      return { code, message, at: at as string[], details: details ?? null };
    }
  }
  return { code: "FAILURE_MALFORMED", message: "The failure could not be read.", at: [], details: null };
}
