import { chainIdFromTargets } from "../../peer/deadlines/chain-id.ts";
import { flowInvalid } from "../flow-invalid.ts";
import { loweredProgram } from "./pass.ts";
import type { Chain } from "../../base/ids.ts";
import type { Operation } from "../program.ts";
import type { Pass } from "./pass.ts";

/** Hops are numbered 0 to 255 (spec/peers.md §3). */
const HOPS_MAX = 256;

/**
 * Stamps every call and send with the chain that it starts: the flow it asks for, then the longest path of calls nested
 * in that one, because a budget must last for the longest. A chain starts at hop 0; a node that runs a request
 * which came along a chain goes on along that one, a hop further, in place of the one stamped here.
 */
export const stampChains: Pass = {
  name: "stamp-chains",
  run(unit, scope) {
    const program = loweredProgram(unit);
    const operations = program.operations.map((operation): Operation => {
      if (operation.kind !== "call" && operation.kind !== "send") return operation;
      const targets = scope.pathOf(operation.flow);
      if (targets.length > HOPS_MAX) {
        throw flowInvalid(program.name, operation.name, `${targets.length} nested calls; at most ${HOPS_MAX}`);
      }
      const chain: Chain = { id: chainIdFromTargets(targets.join(",")), hop: 0 };
      return { ...operation, chain };
    });
    return { ...unit, program: { ...program, operations } };
  },
};
