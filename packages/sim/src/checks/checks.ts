import { type BusEvent, type Commit, type Encoded, type ExecutionId, ROW } from "@holdfast/core";
import { require, type Rule } from "../violation.ts";
import type { Owner } from "../world/log-disk.ts";
import type { Machine } from "../world/machine.ts";
import type { Process } from "../world/process.ts";
import type { World } from "../world/world.ts";
import type { Dice } from "../choice/dice.ts";
import { checkEffects } from "../workload/effects.ts";
import { checkOutcome } from "../workload/outcome.ts";
import { checkBounds } from "./bounds.ts";
import { checkConservation } from "./conservation.ts";
import { checkDrivers } from "./drivers.ts";
import { LifeWatch } from "./life-watch.ts";
import { sameBytes } from "./same-bytes.ts";
import { SessionWatch } from "./session-watch.ts";

/** After one commit in so many what is stored is restored, and compared with the live state. */
const FOLD_ODDS = 0.005;
/** And where a process dies: besides, all its rows are compared then. */
const FOLD_AT_DEATH_ODDS = 0.25;
/** One life in so many is lived again. */
const REPLAY_ODDS = 0.1;
/** Of the moments in which a process has nothing to do, one in so many is looked at. */
const IDLE_EVERY = 4;
/** What honest nodes never have to say of each other. */
const ALARMS: ReadonlySet<string> = new Set(["history-lost", "lineage-changed", "envelope-refused", "peer-blocked"]);
/** Rows of work that has ended. */
const WORK_ROWS = [ROW.execution, ROW.command, ROW.slot, ROW.outbox, ROW.program];

/** What of a machine is durable, told by its disk commit by commit. */
interface Durable {
  readonly fence: number;
  readonly position: number;
  /** Engine time when that commit was taken. */
  readonly now: number;
  readonly rows: Map<string, Uint8Array>;
}

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
  readonly #last = new Map<Machine, Durable>();
  readonly #lives = new Map<Owner, LifeWatch>();
  #idle = 0;

  constructor(world: World) {
    this.#world = world;
    this.#dice = world.dice("checks");
  }

  /** Somebody has put rows in the place of those that became durable, with the same meaning. */
  replaced({ disk, name }: Machine): void {
    const [machine, last] = [...this.#last].find(([one]) => one.name === name) ?? [];
    if (machine !== undefined && last !== undefined) this.#last.set(machine, { ...last, rows: new Map(disk.rows) });
  }

  /** From here on somebody's memory is older than what it told: nothing of that is monotone, and it must be noticed. */
  expectLostHistory(): void {
    this.#expectsLoss = true;
  }

  /** A process is about to start from these rows. */
  given({ machine, owner, name }: Process, rows: readonly Encoded[]): void {
    if (this.#expectsLoss) this.#last.set(machine, { fence: owner.fence, position: 0, now: 0, rows: new Map(rows) });
    else if (this.#watches("load")) {
      const differing = differences(this.#last.get(machine)?.rows ?? new Map(), new Map(rows));
      require(differing.length === 0, "load", () => `${name} is given other rows than became durable: ${differing.join(", ")}`);
    }
  }

  /** A process has an engine, fresh or restored from these rows; nothing has gone into it yet. */
  began(process: Process, rows: readonly Encoded[] | undefined): void {
    const { machine, owner, engine, name } = process;
    const from = this.#last.get(machine)?.now ?? 0;
    require(engine.state.now >= from, "monotone", () => `${name} begins at ${engine.state.now}, and ${from} was durable`);
    const { patch, replayed = patch === undefined } = this.#world.flaws;
    const recorded = replayed && this.#watches("replay") && this.#dice.chance("replay", REPLAY_ODDS);
    this.#lives.set(owner, new LifeWatch(process, rows, { recorded, gate: this.#watches("gate") }));
  }

  /** An effect leaves that has seen the state of that position. */
  released(process: Process, kind: string, needed: number): void {
    if (!this.#watches("commit-before-release")) return;
    require(process.owner.durable >= needed, "commit-before-release", () => {
      return `${process.name} let a ${kind} of position ${needed} out, and ${process.owner.durable} is durable`;
    });
  }

  /** A process hands out a commit, between two turns. */
  taken(process: Process, commit: Commit): void {
    this.#life(process).taken(commit, this.#watches("fold"));
    this.#checkTables(process);
    if (this.#watches("fold") && this.#dice.chance("fold", FOLD_ODDS)) this.#life(process).fold.compareRestored();
  }

  /** A commit reached the platter. */
  durable(machine: Machine, commit: Commit, owner: Owner): void {
    const last = this.#last.get(machine) ?? { fence: 0, position: 0, now: 0, rows: new Map() };
    const now = this.#lives.get(owner)?.nowAt(commit.position) ?? last.now;
    for (const key of commit.deletes) last.rows.delete(key);
    for (const [key, bytes] of commit.puts) last.rows.set(key, bytes);
    this.#last.set(machine, { fence: owner.fence, position: commit.position, now, rows: last.rows });
    if (this.#expectsLoss) return;
    require(owner.fence >= last.fence, "one-writer", () => `${machine.name}: fence ${owner.fence} wrote after ${last.fence}`);
    require(commit.position > last.position, "monotone", () => `${machine.name}: position ${commit.position} after ${last.position}`);
    require(now >= last.now, "monotone", () => `${machine.name}: engine time ${now} after ${last.now}`);
    for (const [key, bytes] of commit.puts) {
      if (!key.startsWith(ROW.session)) continue;
      this.sessions.stored(machine, key.slice(ROW.session.length), bytes);
      this.#world.policies.stored(machine, owner, key.slice(ROW.session.length), bytes);
    }
  }

  /** A process believes that all it committed is durable. */
  committed({ name, owner, driver }: Process): void {
    if (!this.#watches("commit-before-release")) return;
    require(owner.durable >= driver.position, "commit-before-release", () => `${name} takes ${driver.position} for durable, and ${owner.durable} is`);
  }

  /** A process has nothing to do, and nothing on its way to its disk. */
  idle(process: Process): void {
    if (this.#idle++ % IDLE_EVERY > 0 || !this.#watches("driver")) return;
    checkDrivers(process);
    const { peers, parkedGates } = process.engine.state;
    if (parkedGates.size > 0) this.#world.reached("a gate was closed");
    for (const { queue } of peers.values()) if (queue.length > 0) this.#world.reached("a request waited for a window");
  }

  dying(process: Process): void {
    if (process.running) this.#look(process);
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
    this.#world.editions.started(process);
    if (process.incarnation > 1 && executions.size > 0) this.#world.reached("work went on after a restart");
  }

  telemetry(process: Process, { event, peer, details }: BusEvent): void {
    const world = this.#world;
    world.note(`${process.name} says ${event}`);
    if (this.#expectsLoss) return void (event === "history-lost" && this.lostHistories++);
    const denied = event === "peer-blocked" && world.policies.mayDeny(process, world.machines.findIndex(({ id }) => id === peer));
    require(denied || !ALARMS.has(event), "honest-peers", () => `${process.name} says ${event} of ${peer}: ${JSON.stringify(details)}`);
    world.reached(event);
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
      const unanswered = machine.client.pending();
      if (unanswered !== undefined) return `${name}: ${unanswered}`;
    }
    return undefined;
  }

  /** Something that needs nobody but these machines, and has not ended yet. */
  pendingWithin(core: readonly number[]): string | undefined {
    for (const { id, at, path } of this.#world.requests) {
      if (path.length === 0 || !path.every((one) => core.includes(one))) continue; // a map asks anybody
      const { process, client, name } = this.#world.machines[at] as Machine;
      if (process?.running !== true) return `${name} is not running`;
      if (client.requests.has(id) && process.engine.state.finished.get(id as ExecutionId) === undefined) return `${name} has not finished ${id}`;
    }
    return undefined;
  }

  atEnd(): void {
    const pending = this.pending();
    require(pending === undefined, "progress", () => `it is calm, and ${pending}`);
    for (const machine of this.#world.machines) this.#restOf(machine);
    checkEffects(this.#world);
  }

  #restOf(machine: Machine): void {
    const process = machine.process as Process;
    const { state } = process.engine;
    for (const request of machine.client.requests.values()) {
      const ended = state.finished.get(request.id as ExecutionId);
      if (ended !== undefined) checkOutcome(request, ended.outcome);
    }
    const left = { "pieces of work that were not aborted": process.workOpen.size, commands: state.commands.size, frontier: state.frontier.size, gates: state.parkedGates.size };
    for (const [table, size] of Object.entries(left)) require(size === 0, "at-rest", () => `${machine.name}: ${size} ${table}`);
    for (const peer of state.peers.values()) {
      require(peer.inFlight === 0 && peer.queue.length === 0, "at-rest", () => `${machine.name}: requests to ${peer.name} are in flight`);
      require(peer.session.outboxBytes === 0, "at-rest", () => `${machine.name}: outbox bytes for ${peer.name}`);
    }
    require(state.timers.size <= 4 * state.peers.size, "at-rest", () => `${machine.name}: ${state.timers.size} timers`);
    const rows = [...machine.disk.rows.keys()].filter((key) => WORK_ROWS.some((family) => key.startsWith(family)));
    require(rows.length === 0, "at-rest", () => `${machine.name} stores ${rows.join(", ")}`);
    if (this.#watches("load")) {
      const differing = differences(this.#last.get(machine)?.rows ?? new Map(), machine.disk.rows);
      require(differing.length === 0, "load", () => `${machine.name} holds other rows than became durable: ${differing.join(", ")}`);
    }
    this.#look(process);
  }

  /** The whole of a life, as it stands between two turns; the process does not go on from here. */
  #look(process: Process): void {
    const life = this.#life(process);
    if (life.recording?.replay() === true) this.#world.reached("a life was lived again");
    this.#checkTables(process);
    if (!this.#watches("fold")) return;
    if (process.engine.hasChanges) life.fold.taken(process.engine.takeRecord());
    life.fold.compareRows();
    if (this.#dice.chance("fold at death", FOLD_AT_DEATH_ODDS)) life.fold.compareRestored();
  }

  #checkTables({ name, engine }: Process): void {
    if (this.#watches("conservation")) checkConservation(name, engine.state);
    if (this.#watches("bounds")) checkBounds(name, engine.state, this.#world.plan.windowMax);
  }

  #life({ owner }: Process): LifeWatch {
    return this.#lives.get(owner) as LifeWatch;
  }

  #watches(rule: Rule): boolean {
    return this.#world.flaws.unwatched?.has(rule) !== true;
  }
}

/** Keys of the rows that differ. */
function differences(expected: ReadonlyMap<string, Uint8Array>, given: ReadonlyMap<string, Uint8Array>): string[] {
  const differing = [...expected.keys()].filter((key) => !given.has(key));
  for (const [key, bytes] of given) {
    const other = expected.get(key);
    if (other === undefined || !sameBytes(other, bytes)) differing.push(key);
  }
  return differing;
}
