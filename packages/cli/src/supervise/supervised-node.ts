import { trySignal } from "@holdfast/broker";
import type { NodeRecord } from "../fleet/fleet-directory.ts";

/** What is known of a node that the fleet's broker keeps alive. */
export class SupervisedNode {
  readonly record: NodeRecord;
  state: "starting" | "running" | "waiting" | "draining" = "starting";
  /** Deaths that nobody asked for by a drain. */
  deaths = 0;
  #pid: number | undefined;

  constructor(record: NodeRecord) {
    this.record = record;
  }

  get pid(): number | undefined {
    return this.#pid;
  }

  /** False if there is no process to take it. */
  signal(signal: NodeJS.Signals): boolean {
    return this.#pid !== undefined && trySignal(this.#pid, signal);
  }

  handleStarting(pid: number): void {
    if (this.state === "running" && pid !== this.#pid) this.deaths++;
    this.state = "starting";
    this.#pid = pid;
  }

  /** False if it is merely another broker that says so. */
  handleReady(pid: number): boolean {
    const isNews = this.state !== "running" || pid !== this.#pid;
    this.state = "running";
    this.#pid = pid;
    return isNews;
  }

  handleDeath(): void {
    this.deaths++;
    this.state = "waiting";
    this.#pid = undefined;
  }

  handleDraining(): void {
    this.state = "draining";
  }
}
