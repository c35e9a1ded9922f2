import type { StandardSchemaV1 } from "@standard-schema/spec";
import { flowInvalid, pinOf } from "./flow-invalid.ts";
import type { HostDefinition, PureDefinition } from "./definitions.ts";
import type { AnyFlow } from "./flow.ts";
import type { PinnedSchema } from "./port-schema.ts";
import type { Operation, Program } from "./program.ts";

/**
 * A draft is what a builder function leaves behind: a program in which a `map` still names its flow, and the things
 * that the program refers to by name. The compiler's first pass makes it a program.
 */
export interface Draft {
  readonly program: DraftProgram;
  readonly uses: Uses;
}

export type DraftProgram = Omit<Program, "operations"> & { readonly operations: readonly DraftOperation[] };

/** Every program is a draft without anything left to lower. */
export type DraftOperation = Operation | MapFlow;

/**
 * A map before `lower-maps`. Inputs: the list, one for each of `ports` after the first, and the selection if `remote`.
 * Becomes a `map` whose children run here; a remote one gets a child program that makes the call.
 */
export type MapFlow = Omit<Extract<Operation, { kind: "map" }>, "kind" | "program"> & {
  readonly kind: "map-flow";
  readonly flow: string;
  readonly remote: boolean;
  /** Attempts of each child's call; 1 for a local map. */
  readonly attempts: number;
  /** Of each child's call. */
  readonly hedge?: "never";
};

/** Everything that programs refer to, by `name@version`; the flows they call or map over by name. */
export interface Uses {
  readonly pure: Map<string, PureDefinition>;
  readonly host: Map<string, HostDefinition>;
  readonly schemas: Map<string, StandardSchemaV1>;
  readonly flows: Map<string, AnyFlow>;
}

export function noUses(): Uses {
  return { pure: new Map(), host: new Map(), schemas: new Map(), flows: new Map() };
}

/** Notes the function and returns its pin. Two functions under one pin: FLOW_INVALID. */
export function usePure(uses: Uses, definition: PureDefinition, flow: string): string {
  const known = uses.pure.get(pinOf(definition)) ?? definition;
  if (known.fn !== definition.fn) throw taken("pure function", pinOf(definition), flow);
  uses.pure.set(pinOf(definition), known);
  return pinOf(definition);
}

export function useHost(uses: Uses, definition: HostDefinition, flow: string): string {
  const known = uses.host.get(pinOf(definition)) ?? definition;
  if (known.fn !== definition.fn) throw taken("host function", pinOf(definition), flow);
  uses.host.set(pinOf(definition), known);
  return pinOf(definition);
}

export function useSchema(uses: Uses, pinned: PinnedSchema | null, flow: string): string | null {
  if (pinned === null) return null;
  const known = uses.schemas.get(pinned.pin) ?? pinned.schema;
  if (known !== pinned.schema) throw taken("schema", pinned.pin, flow);
  uses.schemas.set(pinned.pin, known);
  return pinned.pin;
}

/** A program calls flows by name alone, so one program cannot mean two versions of a flow. */
export function useFlow(uses: Uses, used: AnyFlow, flow: string): string {
  const known = uses.flows.get(used.name) ?? used;
  if (known !== used) throw taken("flow", `${used.name}`, flow);
  uses.flows.set(used.name, known);
  return used.name;
}

function taken(what: string, pin: string, flow: string): Error {
  return flowInvalid(flow, null, `two different definitions of the ${what} ${pin}`);
}
