import { type BusEvent, type Commit, type ExecutionId, foldDifferences, ROW } from "@holdfast/core";
import { require, Violation } from "../violation.ts";
import type { Owner } from "../world/log-disk.ts";
import type { Machine } from "../world/machine.ts";
import type { Process } from "../world/process.ts";
import type { World } from "../world/world.ts";
import { jobValue } from "../world/outside.ts";
import type { Dice } from "../choice/dice.ts";
import { checkOutcome } from "../workload/client.ts";
import { SessionWatch } from "./session-watch.ts";

/** One commit in so many is compared with the live state in full. */
const FOLD_ODDS = 0.01;
/** And one death in so many. */
const FOLD_AT_DEATH_ODDS = 0.25;
/** What honest nodes never have to say of each other. */
const ALARMS: ReadonlySet<string> = new Set(["history-lost", "lineage-changed", "envelope-refused", "peer-blocked"]);
/** Rows of work that has ended. */
const WORK_ROWS = [ROW.execution, ROW.command, ROW.slot, ROW.outbox, ROW.program];

/**
 * What is checked, from outside the nodes: nothing here asks a node whether it is right, only what it did, what its disk
 * holds and what its application was told.
 */
export class Checks {
  readonly #world: World;
  readonly sessions = new SessionWatch();
  readonly #dice: Dice;
  /** How often a history was found lost, once that is what must happen. */
  lostHistories = 0;
  #expectsLoss = false;
  readonly #last = new Map<Machine, { fence: number; position: number }>();

  constructor(world: World) {
    this.#world = world;
    this.#dice = world.dice("checks");
  }

  /** From here on somebody's memory is older than what it told: nothing of that is monotone, and it must be noticed. */
  expectLostHistory(): void {
    this.#expectsLoss = true;
  }

  /** An effect leaves that has seen the state of that position. */
  released(process: Process, kind: string, needed: number): void {
    if (this.#world.flaws.gateUnwatched === true) return;
    require(process.owner.durable >= needed, "commit-before-release", () => {
      return `${process.name} let a ${kind} of position ${needed} out, and ${process.owner.durable} is durable`;
    });
  }

  /** A commit reached the platter. */
  durable(machine: Machine, commit: Commit, owner: Owner): void {
    if (this.#expectsLoss) return;
    const last = this.#last.get(machine) ?? { fence: 0, position: 0 };
    require(owner.fence >= last.fence, "one-writer", () => `${machine.name}: fence ${owner.fence} wrote after ${last.fence}`);
    require(commit.position > last.position, "monotone", () => `${machine.name}: position ${commit.position} after ${last.position}`);
    this.#last.set(machine, { fence: owner.fence, position: commit.position });
    for (const [key, bytes] of commit.puts) {
      if (key.startsWith(ROW.session)) this.sessions.stored(machine, key.slice(ROW.session.length), bytes);
    }
  }

  /** A process believes that all it committed is durable. */
  committed(process: Process): void {
    if (this.#dice.chance("fold", FOLD_ODDS)) this.#fold(process);
  }

  dying(process: Process): void {
    if (process.running && process.owner.durable === process.driver.position && this.#dice.chance("fold at death", FOLD_AT_DEATH_ODDS)) this.#fold(process);
  }

  /** A process has taken over what the disk held: is everything still there that somebody was told of? */
  started(process: Process): void {
    if (this.#expectsLoss) return;
    const { client, name } = process.machine;
    const { executions, finished } = process.engine.state;
    for (const request of client.requests.values()) {
      const ended = finished.get(request.id as ExecutionId);
      if (ended !== undefined) checkOutcome(request, ended.outcome);
      const known = ended !== undefined || (!request.finished && executions.has(request.id as ExecutionId));
      require(known || !request.acknowledged, "acknowledged-survives", () => `${name} forgot ${request.id}`);
    }
    if (process.incarnation > 1 && executions.size > 0) this.#world.reached("work went on after a restart");
  }

  telemetry(process: Process, { event, peer, details }: BusEvent): void {
    const world = this.#world;
    world.note(`${process.name} says ${event}`);
    if (this.#expectsLoss) return void (event === "history-lost" && this.lostHistories++);
    const excused = event === "history-lost" && this.#isZombiesMemory(process, peer);
    if (excused) return world.reached("a zombie's memory was taken for a lost history");
    require(!ALARMS.has(event), "honest-peers", () => `${process.name} says ${event} of ${peer}: ${JSON.stringify(details)}`);
    world.reached(event);
  }

  /** One that was overtaken and has not noticed shakes hands with an old memory: of the two ends, one is right to complain. */
  #isZombiesMemory(process: Process, peer: string | null): boolean {
    const other = this.#world.machines.find(({ id }) => id === peer);
    return process !== process.machine.process || (other?.overtaken ?? false);
  }

  /** Something that has not ended yet. */
  pending(): string | undefined {
    for (const machine of this.#world.machines) {
      const { process, name } = machine;
      if (process === undefined || !process.running) return `${name} is not running`;
      const { state } = process.engine;
      for (const request of machine.client.requests.values()) {
        if (state.finished.get(request.id as ExecutionId) === undefined) return `${name} has not finished ${request.id}`;
      }
      const [execution] = state.executions.values();
      if (execution !== undefined) return `${name} still runs ${execution.id} (${execution.program.program.name})`;
      for (const { name: peer, session } of state.peers.values()) {
        if (session.outbox.length > 0) return `${name} has ${session.outbox.length} envelopes for ${peer}, not acknowledged`;
      }
      if (!process.driver.isIdle) return `${name} is not idle`;
    }
    return undefined;
  }

  atEnd(): void {
    const pending = this.pending();
    require(pending === undefined, "progress", () => `it is calm, and ${pending}`);
    for (const machine of this.#world.machines) this.#restOf(machine);
    this.#counts();
  }

  /** Every request counted once by everybody on its path, and nothing else was counted. */
  #counts(): void {
    const { machines, requests, outside } = this.#world;
    const expected = machines.map(() => 0);
    for (const { id, path, items } of requests) {
      for (const at of path) {
        const machine = machines[at] as Machine;
        const count = machine.process?.engine.state.cells.table("counts").get(id);
        require(count === 1, "effect-once", () => `${machine.name} counted ${id} ${String(count ?? 0)} times`);
        (expected[at] as number)++;
      }
      for (const item of items.length > 0 ? items : [id]) {
        require((outside.asked.get(item) ?? 0) > 0, "effect-once", () => `the work of ${item} was never done`);
        if ((outside.asked.get(item) ?? 0) > 1) this.#world.reached("work was done more than once outside");
      }
    }
    for (const machine of machines) this.#sums(machine);
    for (const { process, index, name } of machines) {
      const size = process?.engine.state.cells.table("counts").size;
      require(size === expected[index], "effect-once", () => `${name} counted ${size} requests, of ${expected[index]}`);
    }
  }

  /** Every item of a map was added up once, however many attempts at it there were. */
  #sums({ client, process, name }: Machine): void {
    const sums = process?.engine.state.cells.table("sums");
    const items = [...client.requests.values()].flatMap((request) => request.items);
    for (const item of items) {
      const sum = sums?.get(item);
      require(sum === jobValue(item), "effect-once", () => `${name} added ${item} up to ${String(sum ?? 0)}, not ${jobValue(item)}`);
    }
    require(sums?.size === items.length, "effect-once", () => `${name} added up ${sums?.size} items, of ${items.length}`);
  }

  #restOf(machine: Machine): void {
    const process = machine.process as Process;
    const { state } = process.engine;
    for (const request of machine.client.requests.values()) {
      const ended = state.finished.get(request.id as ExecutionId);
      if (ended !== undefined) checkOutcome(request, ended.outcome);
    }
    const left = { commands: state.commands.size, frontier: state.frontier.size, gates: state.parkedGates.size };
    for (const [table, size] of Object.entries(left)) require(size === 0, "at-rest", () => `${machine.name}: ${size} ${table}`);
    for (const peer of state.peers.values()) {
      require(peer.inFlight === 0 && peer.queue.length === 0, "at-rest", () => `${machine.name}: requests to ${peer.name} are in flight`);
      require(peer.session.outboxBytes === 0, "at-rest", () => `${machine.name}: outbox bytes for ${peer.name}`);
    }
    require(state.timers.size <= 4 * state.peers.size, "at-rest", () => `${machine.name}: ${state.timers.size} timers`);
    const rows = [...machine.disk.rows.keys()].filter((key) => WORK_ROWS.some((family) => key.startsWith(family)));
    require(rows.length === 0, "at-rest", () => `${machine.name} stores ${rows.join(", ")}`);
    this.#fold(process);
  }

  /** Folds what the disk holds and compares, when nothing of the process is on its way there. */
  #fold(process: Process): void {
    const { machine, owner, driver } = process;
    if (owner.fence !== machine.disk.fence || driver.engine.hasChanges || driver.position !== machine.disk.position) return;
    let differences: string[];
    try {
      differences = foldDifferences(process.engine.state, [...machine.disk.rows]);
    } catch (cause) {
      throw new Violation("fold", `${process.name}: what it stored does not fold: ${(cause as Error).message}`, { cause });
    }
    require(differences.length === 0, "fold", () => `${process.name} stores other rows than it has: ${differences.join(", ")}`);
  }
}
