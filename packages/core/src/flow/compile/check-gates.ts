import { flowInvalid } from "../flow-invalid.ts";
import { hasPermit, isOutgoing } from "./insert-gates.ts";
import { loweredProgram } from "./pass.ts";
import type { Operation, Program } from "../program.ts";
import type { Pass } from "./pass.ts";

/** Checks that nothing bypasses a gate, in the program and in every child that was made up for it. */
export const checkGates: Pass = {
  name: "check-gates",
  run(unit) {
    checkProgramGates(loweredProgram(unit));
    for (const child of unit.children.values()) checkProgramGates(child);
    return unit;
  },
};

/**
 * Throws FLOW_INVALID unless
 *   G1. every call and send consumes a permit that a gate of the same selection wrote;
 *   G2. a permit serves one call or send, and nothing else: it is no value that a program can pass around.
 */
export function checkProgramGates(program: Program): void {
  const permits = new Map<number, Operation>();
  for (const operation of program.operations) {
    if (operation.kind === "gate") permits.set(operation.outputs[0] as number, operation);
  }
  const unused = new Map(permits);
  for (const operation of program.operations) {
    const gated = isOutgoing(operation) && hasPermit(operation);
    if (isOutgoing(operation) && !gated) throw flowInvalid(program.name, operation.name, "it bypasses the gate (G1)");
    operation.inputs.forEach((slot, index) => {
      const gate = permits.get(slot);
      if (gated && index === 1) {
        if (gate?.inputs[0] !== operation.inputs[0]) {
          throw flowInvalid(program.name, operation.name, "its permit is not one for its selection (G1)");
        }
        if (!unused.delete(slot)) throw flowInvalid(program.name, operation.name, "its permit is used twice (G2)");
      } else if (gate !== undefined) {
        throw flowInvalid(program.name, operation.name, `it reads the permit of ${gate.name} (G2)`);
      }
    });
  }
  for (const port of program.outputs) {
    if (permits.has(port.slot)) throw flowInvalid(program.name, null, `the output ${port.name} is a permit (G2)`);
  }
}
