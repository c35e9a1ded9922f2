import type { StandardSchemaV1 } from "@standard-schema/spec";
import { RuntimeError } from "../base/errors.ts";
import { slotWriters } from "./check-structure.ts";
import { programHash } from "./program-hash.ts";
import type { ProgramHash } from "../base/ids.ts";
import type { Definitions, HostDefinition } from "./definitions.ts";
import type { Operation, Program } from "./program.ts";

export type PureFn = (...args: readonly unknown[]) => unknown;

/** A `Fold` with its functions. */
export interface LinkedFold {
  readonly cells: string;
  readonly entries: PureFn;
  readonly fold: PureFn;
}

/**
 * A program with everything looked up that its executions would look up again and again. Arrays are by operation or
 * by slot; what does not apply to an operation is null.
 */
export class LinkedProgram {
  readonly hash: ProgramHash;
  readonly program: Program;
  readonly operations: readonly Operation[];
  /** By slot: the operations that read it, each once, in order. */
  readonly consumers: readonly (readonly number[])[];
  /** By slot: the operation that writes it, as an output or as its failure; −1 for an input port. */
  readonly producers: readonly number[];
  /** By slot: an output port reads it. */
  readonly isOutput: readonly boolean[];
  /** By operation: how many different slots it needs; 1 for a race. */
  readonly indegree: readonly number[];
  /** Operations that need nothing, in order. */
  readonly sources: readonly number[];
  /** By operation: the function of a `pure` or an `update`. */
  readonly pure: readonly (PureFn | null)[];
  /** By operation: the definition of a `host`. */
  readonly host: readonly (HostDefinition | null)[];
  /** By operation: the schema of a `wait`. */
  readonly schemas: readonly (StandardSchemaV1 | null)[];
  /** By operation: where a `map` folds its results; empty when it lists them. */
  readonly folds: readonly (readonly LinkedFold[])[];
  readonly inputs: readonly LinkedPort[];
  readonly outputs: readonly LinkedPort[];
  readonly inputByName: ReadonlyMap<string, LinkedPort>;

  /** Everything the program pins must be there. */
  constructor(program: Program, hash: ProgramHash, definitions: Definitions) {
    const { operations } = program;
    const pure = (pin: string) => definitions.pure.get(pin)?.fn as PureFn;
    this.hash = hash;
    this.program = program;
    this.operations = operations;
    this.consumers = slotReaders(program);
    this.producers = slotWriters(program);
    this.isOutput = Array.from({ length: program.slots }, (_, slot) => program.outputs.some((port) => port.slot === slot));
    this.indegree = operations.map(({ kind, inputs }) => (kind === "race" ? 1 : new Set(inputs).size));
    this.sources = operations.flatMap(({ inputs }, index) => (inputs.length === 0 ? [index] : []));
    this.pure = operations.map((operation) => {
      return operation.kind === "pure" || operation.kind === "update" ? pure(operation.fn) : null;
    });
    this.host = operations.map((operation) => {
      return operation.kind === "host" ? (definitions.host.get(operation.fn) as HostDefinition) : null;
    });
    this.schemas = operations.map((operation) => {
      return operation.kind === "wait" ? schemaOf(operation.schema, definitions) : null;
    });
    this.folds = operations.map((operation) => {
      if (operation.kind !== "map") return NO_FOLDS;
      return operation.into.map(({ cells, entries, fold }) => ({ cells, entries: pure(entries), fold: pure(fold) }));
    });
    this.inputs = program.inputs.map((port) => new LinkedPort(port.name, port.slot, schemaOf(port.schema, definitions)));
    this.outputs = program.outputs.map((port) => new LinkedPort(port.name, port.slot, schemaOf(port.schema, definitions)));
    this.inputByName = new Map(this.inputs.map((port) => [port.name, port]));
  }
}

/** A port with its schema; null takes every value. */
export class LinkedPort {
  readonly name: string;
  readonly slot: number;
  readonly schema: StandardSchemaV1 | null;

  constructor(name: string, slot: number, schema: StandardSchemaV1 | null) {
    this.name = name;
    this.slot = slot;
    this.schema = schema;
  }
}

const NO_FOLDS: readonly LinkedFold[] = [];

/** Throws DEFINITION_MISSING with all that is missing, FLOW_INVALID if slots are not written once each (P2). */
export function linkProgram(program: Program, definitions: Definitions, hash: ProgramHash = programHash(program)): LinkedProgram {
  const missing = missingDefinitions(program, definitions);
  if (missing.length === 0) return new LinkedProgram(program, hash, definitions);
  throw new RuntimeError("DEFINITION_MISSING", { program: program.name, version: program.version, missing });
}

/** What the program pins and nobody has registered, such as `host read-batch@1`; sorted. Its children are not looked at. */
export function missingDefinitions(program: Program, definitions: Definitions): string[] {
  const missing = new Set<string>();
  const need = (what: "pure" | "host" | "schema", pin: string | null, known: ReadonlyMap<string, unknown>) => {
    if (pin !== null && !known.has(pin)) missing.add(`${what} ${pin}`);
  };
  for (const port of [...program.inputs, ...program.outputs]) need("schema", port.schema, definitions.schemas);
  for (const operation of program.operations) {
    if (operation.kind === "pure" || operation.kind === "update") need("pure", operation.fn, definitions.pure);
    else if (operation.kind === "host") need("host", operation.fn, definitions.host);
    else if (operation.kind === "wait") need("schema", operation.schema, definitions.schemas);
    else if (operation.kind === "map") {
      for (const { entries, fold } of operation.into) {
        need("pure", entries, definitions.pure);
        need("pure", fold, definitions.pure);
      }
    }
  }
  return [...missing].sort();
}

function slotReaders(program: Program): readonly (readonly number[])[] {
  const readers: number[][] = Array.from({ length: program.slots }, () => []);
  program.operations.forEach(({ inputs }, index) => {
    for (const slot of new Set(inputs)) readers[slot]?.push(index);
  });
  return readers;
}

function schemaOf(pin: string | null, definitions: Definitions): StandardSchemaV1 | null {
  return pin === null ? null : (definitions.schemas.get(pin) as StandardSchemaV1);
}
