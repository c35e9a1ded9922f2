import type { StandardSchemaV1 } from "@standard-schema/spec";
import { RuntimeError } from "../base/errors.ts";
import { checkValue, decodeValue } from "../base/value-codec.ts";
import type { Value } from "../base/value.ts";
import type { Failure } from "../flow/definitions.ts";
import type { Port, Program } from "../flow/program.ts";
import type { PortPayload } from "../wire/message.ts";
import type { EngineState } from "./engine-state.ts";

export type Checked = { readonly ok: true; readonly values: readonly Value[] } | { readonly ok: false; readonly failure: Failure };

/** Checks one value against its schema; the schema's output is what is kept. Null schema: any value. */
export function validate(schema: StandardSchemaV1 | null | undefined, value: unknown, where: string): { value: Value } | { failure: Failure } {
  if (schema === null || schema === undefined) return { value: value as Value };
  let result: ReturnType<StandardSchemaV1["~standard"]["validate"]>;
  try {
    result = schema["~standard"].validate(value);
  } catch (error) {
    return { failure: { code: "SCHEMA", message: `${where}: the schema threw: ${String(error)}`, at: [], details: null } };
  }
  if (typeof (result as { then?: unknown }).then === "function") {
    return { failure: { code: "SCHEMA", message: `${where}: an asynchronous schema cannot be used here`, at: [], details: null } };
  }
  const { issues } = result as StandardSchemaV1.FailureResult;
  if (issues !== undefined) {
    const listed = issues.map((issue) => ({ message: issue.message, path: pathText(issue.path) }));
    const text = listed.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`)).join("; ");
    return { failure: { code: "SCHEMA", message: `${where}: ${text}`, at: [], details: { issues: listed } } };
  }
  const output = (result as StandardSchemaV1.SuccessResult<unknown>).value;
  try {
    checkValue(output);
  } catch (error) {
    return { failure: valueFailure(error, where) };
  }
  return { value: output };
}

/** Decodes and checks the inputs of a request, in the order of the program's ports. */
export function validateInputs(state: EngineState, program: Program, ports: readonly PortPayload[]): Checked {
  return decodePorts(state, program.inputs, ports, program.name);
}

/** The same for a reply, in the order of the call's outputs. A flow that we do not know is not checked. */
export function validateOutputs(state: EngineState, call: { flow: string; results: readonly string[] }, ports: readonly PortPayload[]): Checked {
  const program = state.programByAddress(call.flow)?.program;
  const expected = call.results.map((name) => program?.outputs.find((port) => port.name === name) ?? { name, slot: 0, schema: null });
  return decodePorts(state, expected, ports, call.flow);
}

/** Checks values that the application gave, as {port: value}, or the bare value of a flow with one port. */
export function validateGiven(state: EngineState, program: Program, input: Value): Checked {
  const values: Value[] = [];
  const record = isRecord(input) ? input : undefined;
  for (const name of Object.keys(record ?? {})) {
    if (!program.inputs.some((port) => port.name === name)) return refuse(`${program.name} has no input ${name}`);
  }
  if (program.inputs.length > 0 && record === undefined) {
    return refuse(`the input of ${program.name} is an object with ${program.inputs.map((port) => port.name).join(", ")}`);
  }
  for (const port of program.inputs) {
    const given = record?.[port.name];
    const checked = validate(schemaOf(state, port), given, `${program.name}.${port.name}`);
    if ("failure" in checked) return { ok: false, failure: checked.failure };
    if (checked.value === undefined) return refuse(`${program.name} needs an input ${port.name}`);
    values.push(checked.value);
  }
  return { ok: true, values };
}

export function schemaOf(state: EngineState, port: { schema: string | null }): StandardSchemaV1 | null {
  return port.schema === null ? null : (state.definitions.schemas.get(port.schema) ?? null);
}

export function valueFailure(error: unknown, where: string): Failure {
  if (!(error instanceof RuntimeError)) throw error;
  return { code: error.code, message: `${where}: ${error.message}`, at: [], details: null };
}

function decodePorts(state: EngineState, expected: readonly Port[], ports: readonly PortPayload[], where: string): Checked {
  if (ports.length !== expected.length) return refuse(`${where} takes ${expected.length} ports and got ${ports.length}`);
  const values: Value[] = [];
  for (let at = 0; at < expected.length; at++) {
    const port = expected[at] as Port;
    // Both ends list ports in the program's order, so the first guess is nearly always right.
    const given = ports[at]?.name === port.name ? ports[at] : ports.find(({ name }) => name === port.name);
    if (given === undefined) return refuse(`${where} needs a port ${port.name}`);
    let decoded: Value;
    try {
      decoded = decodeValue(given.payload);
    } catch (error) {
      return { ok: false, failure: valueFailure(error, `${where}.${port.name}`) };
    }
    const checked = validate(schemaOf(state, port), decoded, `${where}.${port.name}`);
    if ("failure" in checked) return { ok: false, failure: checked.failure };
    values.push(checked.value);
  }
  return { ok: true, values };
}

function refuse(message: string): Checked {
  return { ok: false, failure: { code: "SCHEMA", message, at: [], details: null } };
}

function isRecord(value: Value): value is { readonly [key: string]: Value } {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

function pathText(path: StandardSchemaV1.Issue["path"]): string {
  return (path ?? []).map((segment) => String(typeof segment === "object" ? segment.key : segment)).join(".");
}
