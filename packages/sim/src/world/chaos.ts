import { NS_PER_MS, NS_PER_S } from "@holdfast/core";
import type { Dice } from "../choice/dice.ts";
import type { Trouble } from "../plan/trouble.ts";
import type { Machine } from "./machine.ts";
import type { World } from "./world.ts";

/** Crystals of a cheap clock, at worst, in millionths. */
const DRIFT_PPM_MAX = 500;

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
    if (plan.conditions.includes("slow-network")) network.slow = 20;
    if (plan.conditions.includes("lossy-links")) network.lossy = true;
    for (const trouble of plan.troubles) this.#world.after(trouble.atNs, () => this.#strike(trouble));
  }

  /** From here on nothing stands in anybody's way. */
  end(): void {
    const { network, machines, weather, plan } = this.#world;
    weather.calm();
    network.slow = 1;
    network.lossy = false;
    network.unblockAll();
    // A stream that was tampered with is not taken up again.
    if (plan.conditions.includes("lossy-links")) network.resetAll();
    for (const machine of machines) {
      for (const process of machine.living) if (process.paused) process.wake();
      // One that was overtaken learns of it when it commits. If it has nothing to commit, somebody must end it: peers that
      // have a link to it would go on believing in it.
      this.#world.after(NS_PER_S, () => machine.endOvertaken());
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
      case "pause": return this.#pause(machine, trouble.forNs);
      case "takeover": return this.#overtake(machine, trouble.forNs);
      case "wall-step":
        machine.wallOffsetMs += trouble.byMs;
        return this.#world.reached("a wall clock was set");
    }
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
