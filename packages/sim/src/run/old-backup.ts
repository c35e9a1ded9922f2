import { NS_PER_S } from "@holdfast/core";
import { quietPlan } from "../plan/plan.ts";
import { require } from "../violation.ts";
import { makeRequest } from "../workload/request.ts";
import type { Machine } from "../world/machine.ts";
import { type Flaws, World } from "../world/world.ts";

/** The longest that a link to a peer may take to come up again in a calm world. */
const NOTICE_NS_MAX = 60 * NS_PER_S;

export interface BackupResult {
  /** Peers that hold more of the machine's streams than its backup. */
  readonly peersKnowMore: number;
  /** Somebody raised the alarm. */
  readonly detected: boolean;
}

/**
 * One machine is restored from a backup that is older than what it has told its peers. That cannot be repaired, only noticed,
 * and it must be, before a peer that knows more believes anything of it. Throws a Violation.
 */
export function restoreOldBackup(seed: number, flaws: Flaws = {}): BackupResult {
  const world = new World({ ...quietPlan(seed, 12), keepLinks: true }, { flaws });
  const machine = world.machines[0] as Machine;
  let backup: ReadonlyMap<string, Uint8Array> = new Map();
  world.after(world.plan.chaosNs / 2, () => { backup = new Map(machine.disk.rows); });
  world.run();
  const { sessions } = world.checks;
  const ahead = sessions.ahead(machine, backup);
  const marks = ahead.map((peer) => sessions.markOf(peer, machine));
  world.checks.expectLostHistory();
  machine.cutPower("its disk is replaced by a backup");
  machine.disk.replace(backup);
  world.runFor(NS_PER_S);
  // It goes on asking, under numbers that it has given before.
  machine.client.ask(makeRequest({ id: "late", at: 0, kind: "tell", length: 1, fails: false }, world.plan.nodes));
  world.runFor(NOTICE_NS_MAX);
  ahead.forEach((peer, at) => {
    require(sessions.markOf(peer, machine) === marks[at], "honest-peers", () => `${peer.name} took something from a machine with an old memory`);
  });
  const detected = world.checks.lostHistories > 0;
  require(detected === ahead.length > 0, "honest-peers", () => `${ahead.length} peers know more than the backup; noticed: ${detected}`);
  return { peersKnowMore: ahead.length, detected };
}
