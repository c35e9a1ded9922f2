import { type ExecutionId, NS_PER_MS, NS_PER_S } from "@holdfast/core";
import { quietPlan } from "../plan/plan.ts";
import { require } from "../violation.ts";
import type { Machine } from "../world/machine.ts";
import type { Process } from "../world/process.ts";
import { type Flaws, World } from "../world/world.ts";

const ID = "overdue" as ExecutionId;
const DEADLINE_NS = 5 * NS_PER_MS;

/** A process dies over work that nobody else ends, and its successor starts, as a rule, when the deadline has passed. Throws a Violation. */
export function runOverdue(seed: number, flaws: Flaws): void {
  const world = new World(quietPlan(seed), { flaws });
  world.run();
  const machine = world.machines[0] as Machine;
  machine.process?.receive({ kind: "invoked", id: ID, flow: "approval", input: { key: ID, fails: false }, deadlineNs: DEADLINE_NS, tag: 0 });
  world.runFor(DEADLINE_NS / 2);
  machine.kill(machine.process as Process, "its work has a deadline");
  world.runFor(NS_PER_S);
  const ended = machine.process?.engine.state.finished.get(ID);
  require(ended?.outcome.ok === false, "progress", () => `${machine.name} has not ended ${ID}, which was due a second ago`);
}
