import { NS_PER_MS, NS_PER_S } from "@holdfast/core";
import { Dice } from "../choice/dice.ts";
import { type Plan, quietPlan } from "../plan/plan.ts";
import { require } from "../violation.ts";
import { makeRequest } from "../workload/request.ts";
import type { Backup } from "../world/log-disk.ts";
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
 * and it must be, before a peer that knows more believes anything of it. A backup beyond which no peer has seen anything is as
 * good as the disk was: the machine goes on from it, and nobody says a word. Throws a Violation.
 */
export function restoreOldBackup(seed: number, flaws: Flaws = {}): BackupResult {
  const dice = new Dice({ seed: `backup ${seed}` }, "backup");
  const world = new World(drawPlan(dice, seed), { flaws });
  const machine = world.machines[0] as Machine;
  let backup: Backup | undefined;
  // Now and then it is made when all is done, and nobody can know more.
  const isLate = dice.chance("late backup", 0.2);
  if (!isLate) world.after(dice.between("backup at", 0, world.plan.chaosNs), () => { backup = machine.disk.backup(); });
  world.run();
  backup ??= machine.disk.backup();
  const { sessions } = world.checks;
  const ahead = sessions.ahead(machine, backup.rows);
  const marks = ahead.map((peer) => sessions.markOf(peer, machine));
  world.checks.expectLostHistory();
  machine.cutPower("its disk is replaced by a backup");
  machine.disk.restoreBackup(backup);
  world.runFor(NS_PER_S);
  // It goes on asking, under numbers that it has given before.
  const late = makeRequest({ id: "late", at: 0, kind: "tell", length: 1, fails: false }, world.plan.nodes);
  machine.client.ask(late);
  world.runFor(NOTICE_NS_MAX);
  ahead.forEach((peer, at) => {
    require(sessions.markOf(peer, machine) === marks[at], "honest-peers", () => `${peer.name} took something from a machine with an old memory`);
  });
  const detected = world.checks.lostHistories > 0;
  require(detected === ahead.length > 0, "honest-peers", () => `${ahead.length} peers know more than the backup; noticed: ${detected}`);
  if (ahead.length === 0) for (const at of late.path) requireCounted(world.machines[at] as Machine, late.id);
  return { peersKnowMore: ahead.length, detected };
}

function requireCounted({ name, process }: Machine, id: string): void {
  const count = process?.engine.state.cells.table("counts").get(id);
  require(count === 1, "effect-once", () => `${name} counted ${id} ${String(count ?? 0)} times, after a backup that nobody has seen beyond`);
}

/** Something between a machine that hardly talks and a busy fleet, with deaths and power cuts before and after the backup is made. */
function drawPlan(dice: Dice, seed: number): Plan {
  const plan = quietPlan(seed, dice.between("requests", 1, 20));
  const machines = dice.chance("power cuts", 0.5) ? [0, ...Array.from({ length: dice.below("more power cuts", 4) }, () => dice.below("machine", plan.nodes))] : [];
  return {
    ...plan, keepLinks: true,
    troubles: machines.map((machine) => {
      return { kind: dice.pick("trouble", ["power-cut", "kill"] as const), machine, atNs: dice.between("trouble at", 10 * NS_PER_MS, plan.chaosNs) };
    }).sort((a, b) => a.atNs - b.atNs),
  };
}
