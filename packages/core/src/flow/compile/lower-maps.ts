import { assert } from "../../base/assert.ts";
import { flowInvalid } from "../flow-invalid.ts";
import { earlierDeadline } from "./derive-deadlines.ts";
import type { ProgramHash } from "../../base/ids.ts";
import type { DraftProgram, MapFlow } from "../draft.ts";
import type { Operation, Program } from "../program.ts";
import type { CompileScope, FlowSignature, Pass } from "./pass.ts";

/** The child's port that takes the selection. No flow has it: names of ports hold no `:`. */
export const TARGET_PORT = "to:target";

/**
 * Replaces every `map-flow` by a `map` over a compiled program. Without peers that is the flow's own program. With
 * them it is a made-up one, whose only work is to call the flow: so children always run here, each with a call
 * that has its own gate, deadline, attempts and idempotency key, and the engine knows one kind of map.
 *
 *     map-flow greet (remote)   →   map FLOW/map-greet:   name, to:target → call greet → text
 *
 * The child validates nothing itself: the peer checks what it gets.
 */
export const lowerMaps: Pass = {
  name: "lower-maps",
  run(unit, scope) {
    const children = new Map(unit.children);
    const operations = unit.program.operations.map((operation): Operation => {
      return operation.kind === "map-flow" ? lowerMap(unit.program, operation, children, scope) : operation;
    });
    const hashes = operations.flatMap((operation) => (operation.kind === "map" ? [operation.program] : []));
    return { program: { ...unit.program, operations, children: [...new Set(hashes)].sort() }, children };
  },
};

function lowerMap(
  parent: DraftProgram, operation: MapFlow, children: Map<ProgramHash, Program>, scope: CompileScope,
): Operation {
  const { name, inputs, outputs, onError, ports, concurrency, onItemFailure, into } = operation;
  const shared = { kind: "map", name, inputs, outputs, onError, concurrency, onItemFailure, into } as const;
  if (!operation.remote) return { ...shared, program: scope.programOf(operation.flow).hash, ports };
  const flow = scope.flow(operation.flow);
  if (flow === undefined) throw flowInvalid(parent.name, name, `the flow ${operation.flow} is unknown`);
  const child = scope.compile(callingProgram(parent, operation, flow));
  children.set(child.hash, child.program);
  return { ...shared, program: child.hash, ports: [...ports, TARGET_PORT] };
}

/** The made-up program that asks a peer to run the flow for one item. */
function callingProgram(parent: DraftProgram, map: MapFlow, flow: FlowSignature): DraftProgram {
  const names = [...map.ports, TARGET_PORT].sort();
  const target = names.indexOf(TARGET_PORT);
  const ports = [...map.ports].sort();
  const results = flow.outputs.map((name, index) => ({ name, slot: names.length + index, schema: null }));
  const deadlineNs = earlierDeadline(flow.deadlineNs, parent.deadlineNs);
  assert(target >= 0, "the child has a port for the selection");
  const call: Operation = {
    kind: "call",
    name: `call-${map.flow}`,
    inputs: [target, ...ports.map((name) => names.indexOf(name))],
    outputs: results.map(({ slot }) => slot),
    onError: null,
    flow: map.flow,
    ports,
    results: flow.outputs,
    chain: null,
    deadlineNs,
    attempts: map.attempts,
    ...(map.hedge === undefined ? {} : { hedge: map.hedge }),
  };
  return {
    format: 1,
    name: `${parent.name}:${map.name}`,
    version: parent.version,
    inputs: names.map((name, slot) => ({ name, slot, schema: null })),
    outputs: results,
    deadlineNs,
    slots: names.length + results.length,
    operations: [call],
    children: [],
    subscribes: [],
  };
}
