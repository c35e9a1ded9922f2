import { NS_PER_MS, NS_PER_S } from "@holdfast/core";
import type { Fault } from "../plan.ts";
import { Dice } from "./dice.ts";
import type { Machine } from "./machine.ts";
import type { World } from "./world.ts";

/** Crystals of a cheap clock, at worst. */
const DRIFT_MAX = 500e-6;
const HOUR_MS = 3_600_000;

/** Makes trouble of the kinds that the plan has enabled, at random times, until it is calm. */
export class Chaos {
  readonly #world: World;
  readonly #dice: Dice;

  constructor(world: World) {
    this.#world = world;
    this.#dice = new Dice(`${world.plan.seed}/chaos`);
  }

  begin(): void {
    const { network, plan, machines } = this.#world;
    if (plan.faults.has("drift")) for (const machine of machines) machine.drift = (this.#dice.below(2001) / 1000 - 1) * DRIFT_MAX;
    if (plan.faults.has("slow-network")) network.slow = 20;
    if (plan.faults.has("lossy-links")) network.lossy = true;
    this.#recur("kills", (machine) => machine.process !== undefined && machine.kill(machine.process, "out of the blue"));
    this.#recur("power-cuts", (machine) => machine.cutPower("out of the blue"));
    this.#recur("partitions", (machine) => this.#part(machine));
    this.#recur("resets", () => network.resetSome());
    this.#recur("pauses", (machine) => this.#pause(machine));
    this.#recur("takeovers", (machine) => this.#overtake(machine));
    this.#recur("wall-steps", (machine) => {
      machine.wallOffsetMs += this.#dice.between(-HOUR_MS, HOUR_MS);
      this.#world.reached("a wall clock was set");
    });
  }

  /** From here on nothing stands in anybody's way. */
  end(): void {
    const { network, machines, weather, plan } = this.#world;
    weather.calm();
    network.slow = 1;
    network.lossy = false;
    network.unblockAll();
    // A stream that was tampered with is not taken up again.
    if (plan.faults.has("lossy-links")) network.resetAll();
    for (const machine of machines) {
      for (const process of machine.living) if (process.paused) process.wake();
      // One that was overtaken learns of it when it commits. If it has nothing to commit, somebody must end it: peers that
      // have a link to it would go on believing in it.
      this.#world.after(NS_PER_S, () => machine.endOvertaken());
    }
  }

  #recur(fault: Fault, strike: (machine: Machine) => unknown): void {
    const { plan, weather, machines } = this.#world;
    if (!plan.faults.has(fault)) return;
    this.#world.after(this.#dice.exponential(plan.troubleEveryNs), () => {
      if (weather.isCalm) return;
      strike(this.#dice.pick(machines));
      this.#recur(fault, strike);
    });
  }

  /** Splits the machines in two, or cuts one off, or takes away one direction between two. */
  #part(machine: Machine): void {
    const { network, machines } = this.#world;
    const dice = this.#dice;
    const ways: [number, number][] = [];
    const kind = dice.pick(["split", "isolate", "one-way"] as const);
    const side = machines.map(() => dice.chance(0.5));
    for (const a of machines) {
      for (const b of machines) {
        if (a === b) continue;
        const cut = kind === "split" ? side[a.index] !== side[b.index] : kind === "isolate" ? a === machine || b === machine : a === machine && side[b.index] === true;
        if (cut) ways.push([a.index, b.index]);
      }
    }
    this.#world.note(`partition: ${kind} around ${machine.name}, ${ways.length} ways`);
    this.#world.reached(`partition: ${kind}`);
    for (const [from, to] of ways) network.block(from, to);
    this.#world.after(dice.exponential(2 * NS_PER_S), () => {
      for (const [from, to] of ways) network.unblock(from, to);
    });
  }

  #pause(machine: Machine): void {
    const { process } = machine;
    if (process === undefined || !process.running || process.paused) return;
    const ns = this.#dice.chance(0.2) ? this.#dice.between(NS_PER_S, 60 * NS_PER_S) : this.#dice.between(10 * NS_PER_MS, NS_PER_S);
    this.#world.note(`${process.name} is paused for ${(ns / NS_PER_MS).toFixed(0)} ms`);
    process.paused = true;
    this.#world.after(ns, () => process.paused && process.wake());
  }

  /** Another process claims the store of one that only sleeps; some time later the sleeper wakes up. */
  #overtake(machine: Machine): void {
    const { process } = machine;
    if (process === undefined || !process.running || process.paused) return;
    this.#world.note(`${process.name} sleeps and is overtaken`);
    process.paused = true;
    machine.start();
    this.#world.after(this.#dice.between(20 * NS_PER_MS, 5 * NS_PER_S), () => process.paused && process.wake());
  }
}
