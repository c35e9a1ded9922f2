import { Compiler } from "./compile/compile.ts";
import { noUses, useHost, usePure, useSchema } from "./draft.ts";
import { flowInvalid, pinOf } from "./flow-invalid.ts";
import { NamedSchema } from "./port-schema.ts";
import type { ProgramHash } from "../base/ids.ts";
import type { Definitions, HostDefinition, PureDefinition } from "./definitions.ts";
import type { Uses } from "./draft.ts";
import type { AnyFlow } from "./flow.ts";
import type { Program } from "./program.ts";

export interface LibraryOptions {
  /** What no flow uses any more, but work in flight may still need: old versions of functions and schemas. */
  readonly keep?: readonly (PureDefinition | HostDefinition | NamedSchema<unknown, unknown>)[];
}

/**
 * Compiles flows, and those that they call or map over, into all that a node needs to know. The same flows give the
 * same programs in every process, in whatever order they are given.
 *
 * Throws FLOW_INVALID, also for two definitions under one `name@version`.
 */
export function compileFlows(flows: readonly AnyFlow[], { keep = [] }: LibraryOptions = {}): Definitions {
  const compiler = new Compiler();
  const uses = noUses();
  const programs = new Map<ProgramHash, Program>();
  const newest = new Map<string, { version: number; hash: ProgramHash }>();
  for (const definition of keep) keepDefinition(uses, definition);
  for (const flow of reachable(flows)) {
    const { hash, program, children } = compiler.compile(flow);
    mergeUses(uses, flow);
    programs.set(hash, program);
    for (const [childHash, child] of children) programs.set(childHash, child);
    if ((newest.get(flow.name)?.version ?? 0) < flow.version) newest.set(flow.name, { version: flow.version, hash });
  }
  const byName = new Map([...newest].map(([name, { hash }]) => [name, hash]));
  return { pure: uses.pure, host: uses.host, schemas: uses.schemas, programs, flows: byName };
}

/** The flows and all that they refer to, sorted by pin; two under one pin: FLOW_INVALID. */
function reachable(flows: readonly AnyFlow[]): AnyFlow[] {
  const found = new Map<string, AnyFlow>();
  const open = [...flows];
  for (let flow = open.pop(); flow !== undefined; flow = open.pop()) {
    const known = found.get(pinOf(flow));
    if (known === flow) continue;
    if (known !== undefined) throw flowInvalid(flow.name, null, `two different definitions of the flow ${pinOf(flow)}`);
    found.set(pinOf(flow), flow);
    open.push(...flow.draft().uses.flows.values());
  }
  return [...found.keys()].sort().map((pin) => found.get(pin) as AnyFlow);
}

function mergeUses(into: Uses, flow: AnyFlow): void {
  const { uses } = flow.draft();
  for (const definition of uses.pure.values()) usePure(into, definition, flow.name);
  for (const definition of uses.host.values()) useHost(into, definition, flow.name);
  for (const [pin, schema] of uses.schemas) useSchema(into, { pin, schema }, flow.name);
}

function keepDefinition(uses: Uses, definition: PureDefinition | HostDefinition | NamedSchema<unknown, unknown>): void {
  if (definition instanceof NamedSchema) {
    useSchema(uses, { pin: pinOf(definition), schema: definition.schema }, definition.name);
  } else if (definition.kind === "pure") usePure(uses, definition, definition.name);
  else useHost(uses, definition, definition.name);
}
