import { flowInvalid } from "./flow-invalid.ts";
import { unreachable } from "../base/assert.ts";
import type { Operation, Program } from "./program.ts";

/**
 * Checks everything about a program that needs no definitions. Throws FLOW_INVALID unless
 *   P1. names are unique: those of operations, of input ports, of output ports; ports are sorted by name;
 *   P2. every slot is written by exactly one input port or operation;
 *   P3. every slot that an operation reads is written by an input or an earlier operation: no cycle, topological order;
 *   P4. every output port reads a slot;
 *   P5. every operation has as many inputs and outputs as its kind wants;
 *   P6. the children are the programs that the maps run, sorted.
 */
export function checkStructure(program: Program): void {
  checkUnique(program, null, "operation", program.operations.map(({ name }) => name));
  checkSorted(program, "input port", program.inputs.map(({ name }) => name));
  checkSorted(program, "output port", program.outputs.map(({ name }) => name));
  const writers = slotWriters(program);
  program.operations.forEach((operation, index) => {
    checkWidths(program, operation);
    for (const slot of operation.inputs) checkOrder(program, writers, slot, index);
  });
  for (const port of program.outputs) {
    if (writers[port.slot] === undefined) throw flowInvalid(program.name, null, `the output port ${port.name} is not bound`); // P4
  }
  const used = program.operations.flatMap((operation) => (operation.kind === "map" ? [operation.program] : []));
  if ([...new Set(used)].sort().join() !== program.children.join()) {
    throw flowInvalid(program.name, null, "the children are not the programs that its maps run"); // P6
  }
}

/** Index of the operation that writes each slot, −1 for an input port. Throws FLOW_INVALID unless P2 holds. */
export function slotWriters(program: Program): readonly number[] {
  const writers: number[] = [];
  const write = (slot: number, index: number) => {
    const name = program.operations[index]?.name ?? null;
    if (slot >= program.slots) throw flowInvalid(program.name, name, `slot ${slot} is beyond the ${program.slots} there are`);
    if (writers[slot] !== undefined) throw flowInvalid(program.name, name, `slot ${slot} is written twice`);
    writers[slot] = index;
  };
  for (const port of program.inputs) write(port.slot, -1);
  program.operations.forEach((operation, index) => {
    for (const slot of operation.outputs) write(slot, index);
    if (operation.onError !== null) write(operation.onError, index);
  });
  // All were in range and different, so the count shows whether one is left.
  const written = writers.reduce((count) => count + 1, 0);
  if (written !== program.slots) throw flowInvalid(program.name, null, `${program.slots - written} slots are written by nothing`);
  return writers;
}

/** P3, with the two ways to break it told apart. */
function checkOrder(program: Program, writers: readonly number[], slot: number, reader: number): void {
  const operation = program.operations[reader] as Operation;
  const writer = writers[slot];
  if (writer === undefined) throw flowInvalid(program.name, operation.name, `input slot ${slot} is not bound`);
  if (writer < reader) return;
  const reason = needs(program, writers, writer, reader) ? "it is part of a cycle" : "it comes before what it needs";
  throw flowInvalid(program.name, operation.name, reason);
}

/** Whether operation `from` needs the outputs of operation `to`, directly or through others. */
function needs(program: Program, writers: readonly number[], from: number, to: number): boolean {
  const seen = new Set<number>();
  const open = [from];
  for (let index = open.pop(); index !== undefined; index = open.pop()) {
    if (index === to) return true;
    if (index < 0 || seen.has(index)) continue;
    seen.add(index);
    for (const slot of program.operations[index]?.inputs ?? []) open.push(writers[slot] ?? -1);
  }
  return false;
}

/** P5. */
function checkWidths(program: Program, operation: Operation): void {
  const [least, most] = inputCounts(operation);
  const { length } = operation.inputs;
  if (length < least || length > most) {
    throw flowInvalid(program.name, operation.name, `a ${operation.kind} with ${length} inputs`);
  }
  const wanted = operation.kind === "call" ? operation.results.length : 1;
  if (operation.outputs.length !== wanted) {
    throw flowInvalid(program.name, operation.name, `a ${operation.kind} with ${operation.outputs.length} outputs, not ${wanted}`);
  }
  if (operation.kind === "send" || operation.kind === "call" || operation.kind === "map") {
    checkUnique(program, operation.name, "port", operation.ports);
  }
}

/** The least and most inputs that an operation can have. */
function inputCounts(operation: Operation): readonly [least: number, most: number] {
  switch (operation.kind) {
    case "constant":
    case "select": return [0, 0];
    case "pure":
    case "wait":
    case "sleep":
    case "clock": return [0, Infinity];
    case "host": return [0, 1];
    case "gate":
    case "output": return [1, 1];
    case "update":
    case "read":
    case "race": return [1, Infinity];
    // The selection, the permit once there is a gate, and the ports.
    case "send":
    case "call": return [1 + operation.ports.length, 2 + operation.ports.length];
    // The list goes to the first port.
    case "map": return [Math.max(1, operation.ports.length), operation.ports.length];
    default: return unreachable(operation);
  }
}

function checkUnique(program: Program, operation: string | null, what: string, names: readonly string[]): void {
  const repeated = names.find((name, index) => names.indexOf(name) !== index);
  if (repeated !== undefined) throw flowInvalid(program.name, operation ?? repeated, `two of the ${what} name ${repeated}`);
}

function checkSorted(program: Program, what: string, names: readonly string[]): void {
  checkUnique(program, null, what, names);
  if (names.some((name, index) => index > 0 && name < (names[index - 1] as string))) {
    throw flowInvalid(program.name, null, `the ${what}s are not sorted by name`);
  }
}
