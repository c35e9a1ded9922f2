import { type Lineage, NS_PER_MS, NS_PER_S, type PeerId, peerIdFromEd25519, Random, RuntimeError } from "@holdfast/core";
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
  /** How much faster than the world's its clock runs. */
  drift = 0;
  /** How far its wall clock was set. */
  wallOffsetMs = 0;
  /** Since when its monotonic clock stands still, and how long it did so before. */
  #frozenAt: number | undefined;
  #frozenNs = 0;
  /** Timers that fell due while it stood still. */
  readonly #frozenTimers: (() => void)[] = [];
  #starting = 0;
  #stranded = false;

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

  // ── address ──

  /** Of its own, so that a range of one address means this machine. */
  get ip(): string {
    return `10.0.${this.index}.1`;
  }

  get address(): string {
    return `/ip4/${this.ip}/tcp/4001`;
  }

  // ── clock ──

  get monotonicNs(): number {
    return Math.floor(((this.#frozenAt ?? this.world.now) - this.#frozenNs) * (1 + this.drift));
  }

  /** A clock of its own: it goes on when the other one stands still. */
  get wallMs(): number {
    return WALL_START_MS + this.wallOffsetMs + Math.floor((this.world.now * (1 + this.drift)) / NS_PER_MS);
  }

  /** `run` happens when this machine's clock has advanced so far, and a little later at that: a timer of the host. */
  afterClock(ns: number, lateNs: number, run: () => void): void {
    const due = this.monotonicNs + ns;
    this.world.after(Math.ceil(ns / (1 + this.drift)) + lateNs, () => {
      if (this.#frozenAt !== undefined) this.#frozenTimers.push(() => this.afterClock(Math.max(0, due - this.monotonicNs), lateNs, run));
      else if (this.monotonicNs < due) this.afterClock(due - this.monotonicNs, lateNs, run);
      else run();
    });
  }

  freeze(): void {
    this.#frozenAt ??= this.world.now;
  }

  thaw(): void {
    if (this.#frozenAt === undefined) return;
    this.#frozenNs += this.world.now - this.#frozenAt;
    this.#frozenAt = undefined;
    for (const arm of this.#frozenTimers.splice(0)) arm();
  }

  // ── disk ──

  writeNs(): number {
    return 5000 + this.dice.exponential("write", 20_000 * this.world.weather.diskFactor);
  }

  syncNs(): number {
    const { diskFactor, syncHangs } = this.world.weather;
    const hangsNs = this.dice.chance("fsync hangs", syncHangs) ? this.dice.between("fsync hang", NS_PER_S, 5 * NS_PER_S) : 0;
    if (hangsNs > 0) this.world.reached("an fsync took seconds");
    return 100_000 + this.dice.exponential("fsync", 200_000 * diskFactor) + hangsNs;
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
      if (isStale() || this.#dies(undefined, "claiming")) return;
      const owner = this.#tried("claim", () => this.disk.claim());
      if (owner === undefined) return this.#restart();
      const process = new Process(this, owner);
      this.process = process;
      this.living.add(process);
      world.note(`${process.name} claims`);
      if (this.seam(process, "claimed")) return;
      world.after(50_000 + this.dice.exponential("load", 2 * NS_PER_MS), () => {
        if (!process.alive) return;
        const loaded = this.#tried("load", () => this.disk.load());
        if (loaded === undefined) return this.kill(process, "it cannot load");
        if (this.seam(process, "loaded")) return;
        process.start(loaded.rows, loaded.position);
        if (this.seam(process, "restored")) return;
        world.checks.started(process);
        process.resume();
        this.client.retry();
      });
    });
  }

  /** Is this where the process dies? */
  seam(process: Process, seam: Seam): boolean {
    return !process.alive || this.#dies(process, seam);
  }

  /** Before its claim, a process is nothing yet that can be killed. */
  #dies(process: Process | undefined, seam: Seam): boolean {
    if (!this.world.weather.crashesAt(this.dice)) return false;
    this.world.reached(`crash ${seam}`);
    if (this.world.plan.seamPowerCuts && this.dice.chance("seam power cut", 0.5)) this.cutPower(seam);
    else if (process === undefined) this.#restart();
    else this.kill(process, seam);
    return true;
  }

  /** What the disk gives to one that starts; undefined if it cannot start. */
  #tried<Given>(what: string, run: () => Given): Given | undefined {
    try {
      return run();
    } catch (error) {
      if (!(error instanceof RuntimeError)) throw error;
      this.world.note(`${this.name} cannot ${what}: ${error.code} ${JSON.stringify(error.details)}`);
      if (error.code !== "STORE_DAMAGED") this.world.reached("a start found the disk full");
      else {
        this.world.reached("damage was detected");
        this.disk.repair();
      }
      return undefined;
    }
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

  cutPower(why: string): void {
    this.world.note(`${this.name} has no power: ${why}`);
    for (const process of this.living) {
      this.world.checks.dying(process);
      process.alive = false;
      this.world.network.abandon(process, true);
    }
    this.living.clear();
    this.disk.tear();
    this.#restart();
  }

  /** Without power, until it is rescued. */
  strand(): void {
    this.#stranded = true;
    this.#starting++; // Whoever was about to start does not.
    this.cutPower("stranded");
  }

  rescue(): void {
    this.#stranded = false;
    this.start();
  }

  /** A commit that failed is never tried again. */
  storeFailed(process: Process, error: RuntimeError): void {
    this.world.reached(error.code === "STORE_FENCED" ? "a zombie was fenced" : error.details["reason"] === "full" ? "a write found the disk full" : "an fsync failed");
    this.kill(process, error.code);
  }

  committed(process: Process): void {
    this.world.checks.committed(process);
  }

  #restart(): void {
    if (this.#stranded) return;
    this.world.after(this.world.weather.restartNs(this.dice), () => {
      if (!this.#stranded && this.process?.alive !== true) this.start();
    });
  }
}
