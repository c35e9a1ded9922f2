import { NS_PER_MS } from "@holdfast/core";
import { lastingBan } from "../checks/policy-watch.ts";
import type { Dice } from "../choice/dice.ts";
import { checkSnapshot, isAtRestOnDisk, snapshotOfDisk } from "../checks/snapshots.ts";
import type { Trouble } from "../plan/trouble.ts";
import type { Machine } from "./machine.ts";
import type { World } from "./world.ts";

/** Crystals of a cheap clock, at worst, in millionths. */
const DRIFT_PPM_MAX = 500;
/** How long a process that was told to stop may take, ns. */
const STOP_NS = 50 * NS_PER_MS;
/** How often, and how many times, whoever wants a snapshot looks whether everything is durable. */
const SNAPSHOT_EVERY_NS = NS_PER_MS / 4;
const SNAPSHOT_TRIES_MAX = 100;

const HOUR_MS = 3_600_000;

/** Makes the trouble that was planned, until it is calm. */
export class Chaos {
  readonly #world: World;
  readonly #dice: Dice;

  constructor(world: World) {
    this.#world = world;
    this.#dice = world.dice("chaos");
  }

  begin(): void {
    const { network, plan, machines } = this.#world;
    if (plan.conditions.includes("drift")) {
      for (const machine of machines) machine.drift = (this.#dice.chance("slow clock", 0.5) ? -1e-6 : 1e-6) * this.#dice.below("drift ppm", DRIFT_PPM_MAX + 1);
    }
    if (plan.conditions.includes("wrong-clocks")) {
      for (const machine of machines) machine.wallOffsetMs = (this.#dice.chance("clock behind", 0.5) ? -1 : 1) * this.#dice.below("clock wrong by", HOUR_MS + 1);
    }
    if (plan.conditions.includes("slow-network")) network.slow = 20;
    if (plan.conditions.includes("lossy-links")) network.lossy = true;
    for (const trouble of plan.troubles) this.#world.after(trouble.atNs, () => this.#strike(trouble));
  }

  /** From here on nothing stands in anybody's way. */
  end(): void {
    const { network, machines, weather, plan, policies } = this.#world;
    weather.calm();
    network.calm();
    // A stream that was tampered with is not taken up again.
    if (plan.conditions.includes("lossy-links")) network.resetAll();
    for (const machine of policies.open()) if (machine.process !== undefined) machine.kill(machine.process, "its configuration denies nobody any more");
    for (const machine of machines) {
      machine.disk.full = false;
      machine.thaw();
      for (const process of machine.living) if (process.paused) process.wake();
    }
  }

  #strike(trouble: Trouble): void {
    const { network } = this.#world;
    if (trouble.kind === "partition") return this.#part(trouble);
    const machine = this.#world.machines[trouble.machine];
    if (machine === undefined) return;
    switch (trouble.kind) {
      case "kill": return machine.process === undefined ? undefined : machine.kill(machine.process, "out of the blue");
      case "power-cut": return machine.cutPower("out of the blue");
      case "reset": return network.reset(machine.process, trouble.nth);
      case "stall": return network.stall(machine.process, trouble, trouble.forNs);
      case "clog": return network.clog(machine.process, trouble, trouble.bytesPerS, trouble.forNs);
      case "half-open": return network.halfOpen(machine.process, trouble.nth, trouble.isMute);
      case "pause": return this.#pause(machine, trouble.forNs);
      case "takeover": return this.#overtake(machine, trouble.forNs);
      case "wall-step":
        machine.wallOffsetMs += trouble.byMs;
        return this.#world.reached("a wall clock was set");
      case "dead-battery":
        machine.cutPower("and its clock forgets the time");
        machine.wallOffsetMs -= trouble.byMs;
        return this.#world.reached("a wall clock went back while its machine was down");
      case "frozen-clock": return this.#freeze(machine, trouble.forNs);
      case "full-disk": return this.#fill(machine, trouble.forNs);
      case "bit-flip": return this.#flip(machine, trouble.kills);
      case "upgrade": return this.#upgrade(machine, trouble.stops);
      case "policy": return this.#changePolicy(machine, trouble);
      case "snapshot": return this.#snapshot(machine);
      case "restore": return this.#restore(machine);
    }
  }

  #freeze(machine: Machine, ns: number): void {
    this.#world.note(`${machine.name}'s clock stands still for ${(ns / NS_PER_MS).toFixed(0)} ms`);
    this.#world.reached("a clock stood still");
    machine.freeze();
    this.#world.after(ns, () => machine.thaw());
  }

  #fill(machine: Machine, ns: number): void {
    this.#world.note(`${machine.name}'s disk is full for ${(ns / NS_PER_MS).toFixed(0)} ms`);
    machine.disk.full = true;
    this.#world.after(ns, () => { machine.disk.full = false; });
  }

  /** Nobody notices before it is read again. */
  #flip(machine: Machine, kills: boolean): void {
    if (!machine.disk.flipBit()) return;
    this.#world.note(`${machine.name}'s disk has flipped a bit`);
    this.#world.reached("a bit flipped");
    if (kills && machine.process !== undefined) machine.kill(machine.process, "its disk is at fault");
  }

  #part({ shape, ways, forNs }: Extract<Trouble, { kind: "partition" }>): void {
    const { network } = this.#world;
    this.#world.note(`partition: ${shape}, ${ways.length} ways`);
    this.#world.reached(`partition: ${shape}`);
    for (const [from, to] of ways) network.block(from, to);
    this.#world.after(forNs, () => {
      for (const [from, to] of ways) network.unblock(from, to);
    });
  }

  #pause(machine: Machine, ns: number): void {
    const { process } = machine;
    if (process === undefined || !process.running || process.paused) return;
    this.#world.note(`${process.name} is paused for ${(ns / NS_PER_MS).toFixed(0)} ms`);
    process.paused = true;
    this.#world.after(ns, () => process.paused && process.wake());
  }

  /** The machine's next process has newer programs. */
  #upgrade(machine: Machine, stops: boolean): void {
    const { process } = machine;
    this.#world.editions.upgrade(machine);
    if (process === undefined) return;
    if (!stops) return machine.kill(process, "it is upgraded");
    process.receive({ kind: "drain-requested" });
    this.#world.reached("a process was asked to stop");
    this.#world.after(STOP_NS, () => machine.kill(process, "it stops for an upgrade"));
  }

  #changePolicy(machine: Machine, { source, list, peers, forNs, byRange, expires }: Extract<Trouble, { kind: "policy" }>): void {
    const { policies, machines } = this.#world;
    const named = [...new Set(peers.map((offset) => (machine.index + offset) % machines.length))].filter((peer) => peer !== machine.index);
    if (source === "configuration") {
      policies.configure(machine, list === "block" ? { blocked: named.map((peer) => lastingBan(peer, byRange)), allowed: null } : { blocked: [], allowed: named });
      if (machine.process !== undefined) machine.kill(machine.process, "its configuration has changed");
      return;
    }
    const later = (undo: () => void): void => this.#world.after(forNs, () => this.#world.weather.isCalm || undo());
    if (list === "allow") {
      policies.change(machine, { action: "allow-only", peers: named, byRange });
      return later(() => policies.change(machine, { action: "allow-only", peers: null, byRange }));
    }
    for (const peer of named) policies.change(machine, { action: "block", peer, byRange, ...(expires && { forNs: Math.ceil(forNs) }) });
    if (!expires) later(() => named.forEach((peer) => policies.change(machine, { action: "unblock", peer, byRange })));
  }

  /** As soon as everything is durable. */
  #snapshot(machine: Machine, tries = SNAPSHOT_TRIES_MAX): void {
    const { process } = machine;
    if (process !== undefined && isAtRestOnDisk(process)) {
      checkSnapshot(process);
      if (process.engine.state.executions.size > 0) this.#world.reached("a snapshot was taken of a node at work");
    } else if (tries > 0) this.#world.after(SNAPSHOT_EVERY_NS, () => this.#snapshot(machine, tries - 1));
  }

  /** Its disk is written anew from a snapshot of what is durable. */
  #restore(machine: Machine): void {
    machine.cutPower("its disk is written anew from a snapshot");
    if (machine.disk.rows.size === 0) return;
    machine.disk.restoreBackup({ ...machine.disk.backup(), rows: new Map(snapshotOfDisk(machine)) });
    this.#world.checks.replaced(machine);
    this.#world.reached("a machine was restored from a current snapshot");
  }

  /** Another process claims the store of one that only sleeps; some time later the sleeper wakes up. */
  #overtake(machine: Machine, ns: number): void {
    const { process } = machine;
    if (process === undefined || !process.running || process.paused) return;
    this.#world.note(`${process.name} sleeps and is overtaken`);
    process.paused = true;
    machine.start();
    this.#world.after(ns, () => process.paused && process.wake());
  }
}
