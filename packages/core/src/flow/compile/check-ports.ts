import { unreachable } from "../../base/assert.ts";
import { checkStructure, slotWriters } from "../check-structure.ts";
import { flowInvalid } from "../flow-invalid.ts";
import { loweredProgram } from "./pass.ts";
import type { Value } from "../../base/value.ts";
import type { Operation, Program } from "../program.ts";
import type { CompileScope, Pass } from "./pass.ts";

/**
 * Checks ports and types: the program's structure (P1 to P6), that everything it names exists, and that operations
 * and what they name fit together. The builder's types have seen to most of it; a program may also come from elsewhere.
 * Groups and peers are the fleet's to check.
 */
export const checkPorts: Pass = {
  name: "check-ports",
  run(unit, scope) {
    const program = loweredProgram(unit);
    checkStructure(program);
    for (const port of [...program.inputs, ...program.outputs]) checkSchema(program, null, port.schema, scope);
    const writers = slotWriters(program);
    for (const operation of program.operations) {
      checkReferences(program, operation, scope);
      checkConstantInputs(program, operation, writers);
    }
    return unit;
  },
};

function checkReferences(program: Program, operation: Operation, scope: CompileScope): void {
  switch (operation.kind) {
    case "pure":
    case "update":
      return checkPure(program, operation.name, operation.fn, operation.inputs.length, scope);
    case "host":
      if (scope.host(operation.fn) === undefined) throw flowInvalid(program.name, operation.name, `unknown host function ${operation.fn}`);
      return;
    case "wait":
      return checkSchema(program, operation.name, operation.schema, scope);
    case "send":
    case "call":
      return checkFlow(program, operation, scope);
    case "map":
      return checkMap(program, operation, scope);
    case "constant":
    case "select":
    case "gate":
    case "read":
    case "sleep":
    case "clock":
    case "race":
    case "output":
      return;
    default:
      return unreachable(operation);
  }
}

function checkPure(program: Program, operation: string, pin: string, args: number, scope: CompileScope): void {
  const definition = scope.pure(pin);
  if (definition === undefined) throw flowInvalid(program.name, operation, `unknown pure function ${pin}`);
  // `length` counts the parameters before the first optional one; JavaScript does not say more.
  if (definition.fn.length <= args) return;
  throw flowInvalid(program.name, operation, `${pin} takes ${definition.fn.length} arguments, not ${args}`);
}

function checkSchema(program: Program, operation: string | null, pin: string | null, scope: CompileScope): void {
  if (pin !== null && !scope.hasSchema(pin)) throw flowInvalid(program.name, operation, `unknown schema ${pin}`);
}

function checkFlow(program: Program, operation: Extract<Operation, { kind: "send" | "call" }>, scope: CompileScope): void {
  const flow = scope.flow(operation.flow);
  if (flow === undefined) throw flowInvalid(program.name, operation.name, `unknown flow ${operation.flow}`);
  checkSame(program, operation.name, `inputs of ${operation.flow}`, operation.ports, flow.inputs);
  if (operation.kind === "call") {
    checkSame(program, operation.name, `outputs of ${operation.flow}`, operation.results, flow.outputs);
  }
}

function checkMap(program: Program, operation: Extract<Operation, { kind: "map" }>, scope: CompileScope): void {
  const child = scope.child(operation.program);
  if (child === undefined) throw flowInvalid(program.name, operation.name, `unknown program ${operation.program}`);
  checkSame(program, operation.name, `inputs of ${child.name}`, operation.ports, child.inputs.map((port) => port.name));
  for (const { entries, fold } of operation.into) {
    checkPure(program, operation.name, entries, 1, scope);
    checkPure(program, operation.name, fold, 2, scope);
  }
}

function checkSame(program: Program, operation: string, what: string, given: readonly string[], wanted: readonly string[]): void {
  if ([...given].sort().join() === [...wanted].sort().join()) return;
  throw flowInvalid(program.name, operation, `the ${what} are ${wanted.join(", ") || "none"}, not ${given.join(", ") || "none"}`);
}

/** Where an input is a constant its type is known, and some kinds of operation want a certain one first. */
function checkConstantInputs(program: Program, operation: Operation, writers: readonly number[]): void {
  const wanted = FIRST_INPUTS[wantedBy(operation)];
  const writer = program.operations[writers[operation.inputs[0] ?? -1] ?? -1];
  if (wanted === undefined || writer?.kind !== "constant" || wanted.fits(writer.value)) return;
  throw flowInvalid(program.name, operation.name, `${writer.name} is no ${wanted.what}`);
}

function wantedBy(operation: Operation): string {
  return operation.kind === "read" ? `read-${operation.by}` : operation.kind;
}

interface Wanted {
  readonly what: string;
  readonly fits: (value: Value) => boolean;
}

const SELECTION: Wanted = {
  what: "selection",
  fits: (value) => isRecord(value) && Object.keys(value).length === 1 && typeof (value["peer"] ?? value["group"]) === "string",
};
const KEY: Wanted = { what: "key (a string)", fits: (value) => typeof value === "string" };

const FIRST_INPUTS: Readonly<Record<string, Wanted>> = {
  gate: SELECTION,
  send: SELECTION,
  call: SELECTION,
  update: KEY,
  "read-key": KEY,
  "read-range": { what: "range", fits: isRecord },
  map: { what: "list", fits: (value) => Array.isArray(value) },
  sleep: { what: "duration in ms", fits: (value) => typeof value === "number" && value >= 0 },
};

function isRecord(value: Value): value is { readonly [key: string]: Value } {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}
