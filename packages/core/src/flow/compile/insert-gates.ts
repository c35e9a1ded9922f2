import { loweredProgram } from "./pass.ts";
import type { Operation } from "../program.ts";
import type { Pass } from "./pass.ts";

type Outgoing = Extract<Operation, { kind: "call" | "send" }>;

/**
 * Puts a peer-health gate before every call and send: it takes the same selection, and its permit becomes their
 * second input, so that they cannot start without it.
 *
 *     select ──▶ call            select ──▶ gate ──permit──▶ call
 *                                   └────────────────────────▲
 *
 * Where the flow catches the failure of the call, it catches that of the gate too. Since a slot has one writer, each
 * gets an error slot of its own and a race hands on the one that is written.
 */
export const insertGates: Pass = {
  name: "insert-gates",
  run(unit) {
    const program = loweredProgram(unit);
    const operations: Operation[] = [];
    let slots = program.slots;
    for (const operation of program.operations) {
      if (!isOutgoing(operation) || hasPermit(operation)) {
        operations.push(operation);
        continue;
      }
      const [selection, ...ports] = operation.inputs as readonly [number, ...number[]];
      const permit = slots++;
      const caught = operation.onError;
      const gateError = caught === null ? null : slots++;
      const ownError = caught === null ? null : slots++;
      operations.push(
        { kind: "gate", name: `gate:${operation.name}`, inputs: [selection], outputs: [permit], onError: gateError },
        { ...operation, inputs: [selection, permit, ...ports], onError: ownError },
      );
      if (caught !== null && gateError !== null && ownError !== null) {
        const name = `failure:${operation.name}`;
        operations.push({ kind: "race", name, inputs: [gateError, ownError], outputs: [caught], onError: null });
      }
    }
    return { ...unit, program: { ...program, operations, slots } };
  },
};

export function isOutgoing(operation: Operation): operation is Outgoing {
  return operation.kind === "call" || operation.kind === "send";
}

/** Whether the operation has an input more than its selection and ports: the permit. */
export function hasPermit(operation: Outgoing): boolean {
  return operation.inputs.length === operation.ports.length + 2;
}
