import { type Lineage, NS_PER_MS, type PeerId, peerIdFromEd25519, Random, type RuntimeError } from "@holdfast/core";
import type { Dice } from "../choice/dice.ts";
import { Client } from "../workload/client.ts";
import { LogDisk } from "./log-disk.ts";
import { Process, type Seam } from "./process.ts";
import type { World } from "./world.ts";

/** When the world begins: 2026-01-01, ms. */
const WALL_START_MS = 1_767_225_600_000;

/** What outlives the processes of one node: its disk, its clock, its key, and the application that uses it. */
export class Machine {
  readonly world: World;
  readonly index: number;
  readonly name: string;
  readonly id: PeerId;
  readonly lineage: Lineage;
  readonly dice: Dice;
  readonly disk: LogDisk;
  readonly client: Client;
  /** The last process that was started; it may be dead. */
  process: Process | undefined;
  /** All that live: more than one while a process that was overtaken has not noticed. */
  readonly living = new Set<Process>();
  /** A process was overtaken here, and may have been alive a while longer. */
  overtaken = false;
  /** How much faster than the world's its clock runs. */
  drift = 0;
  /** How far its wall clock was set. */
  wallOffsetMs = 0;
  #starting = 0;

  constructor(world: World, index: number, name: string) {
    this.world = world;
    this.index = index;
    this.name = name;
    this.dice = world.dice(name);
    this.id = peerIdFromEd25519(new Uint8Array(32).fill(index + 1));
    const random = Random.fromSeed(`${world.plan.seed}/${name}/lineage`);
    this.lineage = Array.from({ length: 4 }, () => random.nextUint32().toString(16).padStart(8, "0")).join("") as Lineage;
    this.disk = new LogDisk(this.dice, world.flaws.disk ?? {}, { durable: (commit, owner) => world.checks.durable(this, commit, owner) });
    this.client = new Client(this);
  }

  // ── clock ──

  get monotonicNs(): number {
    return Math.floor(this.world.now * (1 + this.drift));
  }

  get wallMs(): number {
    return WALL_START_MS + this.wallOffsetMs + Math.floor(this.monotonicNs / NS_PER_MS);
  }

  /** How long the world waits until this machine's clock has advanced so far. */
  virtualNs(ns: number): number {
    return Math.ceil(ns / (1 + this.drift));
  }

  // ── disk ──

  writeNs(): number {
    return 5000 + this.dice.exponential("write", 20_000 * this.world.weather.diskFactor);
  }

  syncNs(): number {
    return 100_000 + this.dice.exponential("fsync", 200_000 * this.world.weather.diskFactor);
  }

  syncFails(): boolean {
    return this.dice.chance("fsync fails", this.world.weather.syncFailures);
  }

  // ── processes ──

  /** Starts a process, which overtakes whoever lives here. */
  start(): void {
    const { world } = this;
    const starting = ++this.#starting;
    const isStale = (): boolean => starting !== this.#starting;
    world.after(200_000 + this.dice.exponential("claim", 5 * NS_PER_MS), () => {
      if (isStale()) return;
      const owner = this.disk.claim();
      const process = new Process(this, owner);
      if (this.living.size > 0) this.overtaken = true;
      this.process = process;
      this.living.add(process);
      world.note(`${process.name} claims`);
      if (this.seam(process, "claimed")) return;
      world.after(50_000 + this.dice.exponential("load", 2 * NS_PER_MS), () => {
        if (!process.alive) return;
        const { rows, position } = this.disk.load();
        if (this.seam(process, "loaded")) return;
        process.start(rows, position);
        if (this.seam(process, "restored")) return;
        world.checks.started(process);
        process.resume();
        this.client.retry();
      });
    });
  }

  /** Is this where the process dies? */
  seam(process: Process, seam: Seam): boolean {
    if (!process.alive) return true;
    if (!this.world.weather.crashesAt(this.dice)) return false;
    this.world.reached(`crash ${seam}`);
    if (this.world.plan.seamPowerCuts && this.dice.chance("seam power cut", 0.5)) this.cutPower(seam);
    else this.kill(process, seam);
    return true;
  }

  /** kill −9. */
  kill(process: Process, why: string): void {
    if (!process.alive) return;
    this.world.note(`${process.name} is killed: ${why}`);
    this.world.checks.dying(process);
    process.alive = false;
    this.living.delete(process);
    this.world.network.abandon(process, false);
    if (process === this.process) this.#restart();
  }

  /** Ends the processes that another one has taken the disk from. */
  endOvertaken(): void {
    for (const process of this.living) if (process.owner.fence !== this.disk.fence) this.kill(process, "it was overtaken");
  }

  cutPower(why: string): void {
    this.world.note(`${this.name} has no power: ${why}`);
    for (const process of this.living) {
      this.world.checks.dying(process);
      process.alive = false;
      this.world.network.abandon(process, true);
    }
    this.living.clear();
    this.disk.cutPower();
    this.#restart();
  }

  /** A commit that failed is never tried again. */
  storeFailed(process: Process, error: RuntimeError): void {
    this.world.reached(error.code === "STORE_FENCED" ? "a zombie was fenced" : "an fsync failed");
    this.kill(process, error.code);
  }

  committed(process: Process): void {
    this.world.checks.committed(process);
  }

  #restart(): void {
    this.world.after(this.world.weather.restartNs(this.dice), () => {
      if (this.process?.alive !== true) this.start();
    });
  }
}
