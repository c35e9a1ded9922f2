import type { Definitions } from "./definitions.ts";
import type { Operation } from "./program.ts";

/**
 * May the flow run twice, on two peers at the same time, under the same key? Only if nothing that it does, all the way
 * down, leaves a trace that two runs would leave twice: its host operations are of class `pure` or `keyed`, and it
 * neither changes cells, nor sends, nor waits for an event, nor hands anything to the application. `address`: a flow's name or a program's hash.
 *
 * Every process of a fleet has the same definitions, so the caller reads it off its own. A flow that is not among them
 * may not.
 */
export function isRepeatable(address: string, definitions: Definitions): boolean {
  return repeats(address, definitions, new Set());
}

function repeats(address: string, definitions: Definitions, seen: Set<string>): boolean {
  const hash = definitions.flows.get(address) ?? address;
  if (seen.has(hash)) return true; // asked already, further up
  seen.add(hash);
  const program = definitions.programs.get(hash as never);
  return program !== undefined && program.operations.every((operation) => repeatsOperation(operation, definitions, seen));
}

function repeatsOperation(operation: Operation, definitions: Definitions, seen: Set<string>): boolean {
  switch (operation.kind) {
    case "host": {
      const hostClass = definitions.host.get(operation.fn)?.class;
      return hostClass === "pure" || hostClass === "keyed";
    }
    case "call": return operation.hedge !== "never" && repeats(operation.flow, definitions, seen);
    case "map": return operation.into.length === 0 && repeats(operation.program, definitions, seen);
    case "send":
    case "update":
    case "wait":
    case "output": return false;
    case "constant":
    case "pure":
    case "select":
    case "gate":
    case "read":
    case "sleep":
    case "clock":
    case "race": return true;
  }
}
