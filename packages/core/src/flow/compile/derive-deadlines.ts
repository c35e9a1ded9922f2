import { loweredProgram } from "./pass.ts";
import type { Operation } from "../program.ts";
import type { Pass } from "./pass.ts";

/**
 * Bounds every operation by its flow: none lasts longer than the flow may, and `never` in a flow with a deadline means
 * as long as that. The engine subtracts the time already spent; here is what holds before any is.
 */
export const deriveDeadlines: Pass = {
  name: "derive-deadlines",
  run(unit) {
    const program = loweredProgram(unit);
    const operations = program.operations.map((operation): Operation => {
      if (!("deadlineNs" in operation)) return operation;
      return { ...operation, deadlineNs: earlierDeadline(operation.deadlineNs, program.deadlineNs) };
    });
    return { ...unit, program: { ...program, operations } };
  },
};

export function earlierDeadline(a: number | "never", b: number | "never"): number | "never" {
  if (a === "never") return b;
  if (b === "never") return a;
  return Math.min(a, b);
}
