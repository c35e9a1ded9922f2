import type { Commit, Encoded } from "@holdfast/core";
import { require } from "../violation.ts";
import type { Process } from "../world/process.ts";
import { FoldWatch } from "./fold-watch.ts";
import { watchGate } from "./gate-watch.ts";
import { Recording } from "./replay.ts";

/** Positions that are handed out and not durable yet; more than one only while a process believes too early. */
const POSITIONS_MAX = 100;

/** All that is watched over one life of a process. */
export class LifeWatch {
  readonly fold: FoldWatch;
  readonly recording: Recording | undefined;
  readonly #process: Process;
  /** Engine time, by the position of the commit that was taken then. */
  readonly #times = new Map<number, number>();
  #now: number;

  constructor(process: Process, rows: readonly Encoded[] | undefined, wanted: { recorded: boolean; gate: boolean }) {
    const { name, engine } = process;
    this.#process = process;
    this.#now = engine.state.now;
    this.fold = new FoldWatch(name, engine, rows ?? []);
    this.recording = wanted.recorded ? new Recording(name, engine, { rows, windowMax: process.machine.world.plan.windowMax }) : undefined;
    if (wanted.gate) watchGate(name, engine);
  }

  taken(commit: Commit, folds: boolean): void {
    const { now } = this.#process.engine.state;
    require(now >= this.#now, "monotone", () => `${this.#process.name}: engine time ${now} after ${this.#now}`);
    this.#now = now;
    this.#times.set(commit.position, now);
    this.#times.delete(commit.position - POSITIONS_MAX);
    if (folds) this.fold.taken(commit);
  }

  /** Engine time when the commit of that position was taken. */
  nowAt(position: number): number | undefined {
    return this.#times.get(position);
  }
}
