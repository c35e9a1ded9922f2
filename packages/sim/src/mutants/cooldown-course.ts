import { NS_PER_S } from "@holdfast/core";
import { quietPlan } from "../plan/plan.ts";
import { makeRequest } from "../workload/request.ts";
import type { Machine } from "../world/machine.ts";
import { type Flaws, World } from "../world/world.ts";

/** As long as it takes to give a link up, and to fail at the next dials. */
const CUT_OFF_NS = 60 * NS_PER_S;

/** A node is asked for what it needs its neighbour for, again and again, while that cannot be reached. Throws a Violation. */
export function runIntoCooldown(seed: number, flaws: Flaws): void {
  const world = new World({ ...quietPlan(seed), keepLinks: true }, { flaws });
  world.run();
  const [first, second] = world.machines as readonly [Machine, Machine];
  world.network.block(first.index, second.index);
  world.network.block(second.index, first.index);
  world.runFor(CUT_OFF_NS);
  for (let second = 0; second < 10; second++) {
    first.client.ask(makeRequest({ id: `late ${second}`, at: first.index, kind: "tell", length: 1, fails: false }, world.plan.nodes));
    world.runFor(NS_PER_S);
  }
}
