import { RuntimeError } from "../base/errors.ts";
import { checkStructure } from "./check-structure.ts";
import { checkProgramGates } from "./compile/check-gates.ts";
import type { Value } from "../base/value.ts";
import type { OperationKind, Program } from "./program.ts";

/** Longest name, in UTF-16 units, and longest list: the limits of the wire (docs/LIMITS.md) and of a slot number. */
const NAME_LENGTH_MAX = 4096;
const LIST_LENGTH_MAX = 65_535;

type Shape = (value: Value) => boolean;
type Fields = Readonly<Record<string, Shape>>;

const text: Shape = (value) => typeof value === "string" && value.length >= 1 && value.length <= NAME_LENGTH_MAX;
const anyValue: Shape = () => true;
const whole: Shape = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const positive: Shape = (value) => whole(value) && value !== 0;
// Durations are whole but may lie beyond 2^53 (base/time.ts).
const duration: Shape = (value) => Number.isInteger(value) && (value as number) >= 0;
const deadline: Shape = (value) => value === "never" || (duration(value) && value !== 0);
const pin: Shape = (value) => text(value) && /^[^@]+@[1-9][0-9]*$/.test(value as string);
const hash: Shape = (value) => typeof value === "string" && /^[0-9a-f]{64}$/.test(value);
const chainId: Shape = (value) => typeof value === "string" && /^[0-9a-f]{16}$/.test(value);
const hop: Shape = (value) => whole(value) && (value as number) <= 255;

function oneOf(...values: readonly Value[]): Shape {
  return (value) => values.includes(value);
}
function nullOr(shape: Shape): Shape {
  return (value) => value === null || shape(value);
}
function list(shape: Shape): Shape {
  return (value) => Array.isArray(value) && value.length <= LIST_LENGTH_MAX && value.every(shape);
}
/** Exactly these fields, and perhaps the optional ones: an unknown one may mean what this version cannot do. */
function record(fields: Fields, optional: Fields = {}): Shape {
  const names = Object.keys(fields);
  return (value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Uint8Array) return false;
    const given = value as Readonly<Record<string, Value>>;
    const further = Object.keys(given).filter((name) => !Object.hasOwn(fields, name));
    if (!further.every((name) => Object.hasOwn(optional, name) && (optional[name] as Shape)(given[name] as Value))) return false;
    return names.every((name) => Object.hasOwn(given, name) && (fields[name] as Shape)(given[name] as Value));
  };
}

const chain = nullOr(record({ id: chainId, hop }));
const requestFields: Fields = { flow: text, ports: list(text), chain, deadlineNs: deadline };

/** The fields of each kind of operation besides the common ones. */
const OPERATION_FIELDS: Readonly<Record<OperationKind, Fields>> = {
  constant: { value: anyValue },
  pure: { fn: pin },
  host: { fn: pin, deadlineNs: deadline },
  select: { group: text },
  gate: {},
  send: requestFields,
  call: { ...requestFields, results: list(text), attempts: positive },
  map: {
    program: hash,
    ports: list(text),
    concurrency: positive,
    onItemFailure: oneOf("fail", "collect"),
    into: list(record({ cells: text, entries: pin, fold: pin })),
  },
  update: { cells: text, fn: pin },
  read: { cells: text, by: oneOf("key", "range") },
  wait: { event: text, schema: nullOr(pin), deadlineNs: deadline },
  sleep: { durationNs: duration },
  clock: {},
  race: {},
  output: { port: text },
};

const OPTIONAL_FIELDS: Readonly<Partial<Record<OperationKind, Fields>>> = { call: { hedge: oneOf("never") } };

const operationShapes = new Map(
  Object.entries(OPERATION_FIELDS).map(([kind, fields]) => {
    const shared: Fields = { kind: oneOf(kind), name: text, inputs: list(whole), outputs: list(whole), onError: nullOr(whole) };
    return [kind as Value, record({ ...shared, ...fields }, OPTIONAL_FIELDS[kind as OperationKind])];
  }),
);

function operation(value: Value): boolean {
  const kind = typeof value === "object" && value !== null && "kind" in value ? value.kind : undefined;
  return kind !== undefined && operationShapes.get(kind)?.(value) === true;
}

const port = record({ name: text, slot: whole, schema: nullOr(pin) });
const PROGRAM_FIELDS: Fields = {
  format: oneOf(1),
  name: text,
  version: positive,
  inputs: list(port),
  outputs: list(port),
  deadlineNs: deadline,
  slots: whole,
  operations: list(operation),
  children: list(hash),
  subscribes: list(text),
};
const program = record(PROGRAM_FIELDS);

/**
 * The sole way in for a program that was stored. Stored data may be damaged or forged: throws SNAPSHOT_INVALID, with
 * what is wrong, unless it has exactly the shape of a program, its structure holds (P1 to P6) and no call or
 * send bypasses a gate (G1, G2). That its definitions exist is another question: `missingDefinitions`.
 */
export function validateProgram(value: Value): Program {
  if (!program(value)) throw new RuntimeError("SNAPSHOT_INVALID", { part: "program", reason: shapeFault(value) });
  const valid = value as unknown as Program;
  try {
    checkStructure(valid);
    checkProgramGates(valid);
  } catch (error) {
    if (!(error instanceof RuntimeError)) throw error;
    throw new RuntimeError("SNAPSHOT_INVALID", { part: "program", ...error.details }, { cause: error });
  }
  return valid;
}

/** The first thing wrong with the shape, in words. */
function shapeFault(value: Value): string {
  if (typeof value !== "object" || value === null) return "it is no record";
  const given = value as Readonly<Record<string, Value>>;
  const name = Object.keys(PROGRAM_FIELDS).find((field) => !Object.hasOwn(given, field) || !(PROGRAM_FIELDS[field] as Shape)(given[field] as Value));
  if (name === undefined) return "it has an unknown field";
  const { operations } = given;
  const index = name === "operations" && Array.isArray(operations) ? operations.findIndex((entry: Value) => !operation(entry)) : -1;
  return index < 0 ? `the field ${name} is missing or malformed` : `operation ${index} is malformed`;
}
