import type { StandardSchemaV1 } from "@standard-schema/spec";
import { checkCount, checkName, pinOf } from "./flow-invalid.ts";

/** Named ports and what checks them: any Standard Schema (valibot, zod, …) whose `validate` is synchronous. */
export type PortSchemas = Readonly<Record<string, StandardSchemaV1>>;

/** What the other side passes in: values before the schemas have seen them. */
export type Given<Schemas extends PortSchemas> = {
  readonly [Name in keyof Schemas]: StandardSchemaV1.InferInput<Schemas[Name]>;
};

/** What comes out of the check: a schema may transform. */
export type Checked<Schemas extends PortSchemas> = {
  readonly [Name in keyof Schemas]: StandardSchemaV1.InferOutput<Schemas[Name]>;
};

const UNCHECKED: StandardSchemaV1 = {
  "~standard": { version: 1, vendor: "holdfast", validate: (value) => ({ value }) },
};

/** A port that takes every value: the type is the author's word alone. Programs pin no schema for it. */
export function any<T>(): StandardSchemaV1<T> {
  return UNCHECKED as StandardSchemaV1<T>;
}

/** A schema under a name and version of its own, so that several ports share one pin. */
export class NamedSchema<Input, Output> implements StandardSchemaV1<Input, Output> {
  readonly name: string;
  readonly version: number;
  readonly schema: StandardSchemaV1<Input, Output>;

  constructor(name: string, version: number, schema: StandardSchemaV1<Input, Output>) {
    checkName(name, "schema", name);
    checkCount(name, "version", version);
    this.name = name;
    this.version = version;
    this.schema = schema;
  }

  get "~standard"(): StandardSchemaV1.Props<Input, Output> {
    return this.schema["~standard"];
  }
}

export function schema<Schema extends StandardSchemaV1>(
  name: string,
  { version = 1 }: { readonly version?: number },
  standard: Schema,
): NamedSchema<StandardSchemaV1.InferInput<Schema>, StandardSchemaV1.InferOutput<Schema>> {
  return new NamedSchema(name, version, standard as never);
}

/** A schema as a program refers to it; null for a port that takes every value. */
export interface PinnedSchema {
  readonly pin: string;
  readonly schema: StandardSchemaV1;
}

/** Pins a schema under its own name, or else under the derived one. */
export function pinSchema(given: StandardSchemaV1, derivedName: string, version: number): PinnedSchema | null {
  if (given === UNCHECKED) return null;
  if (given instanceof NamedSchema) return { pin: pinOf(given), schema: given.schema as StandardSchemaV1 };
  return { pin: `${derivedName}@${version}`, schema: given };
}

/** The schema to run, without its name; null when there is nothing to check. */
export function bareSchema(given: StandardSchemaV1 | undefined): StandardSchemaV1 | null {
  if (given === undefined || given === UNCHECKED) return null;
  return given instanceof NamedSchema ? (given.schema as StandardSchemaV1) : given;
}
