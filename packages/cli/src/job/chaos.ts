import { SeededChoice } from "./seeded-choice.ts";
import type { ChaosPlan } from "./fleet-job.ts";

/** What chaos needs of a supervisor. */
export interface Victims {
  /** Sends a signal to a node's process; false if it has none. */
  readonly signal: (node: string, signal: "SIGKILL" | "SIGSTOP" | "SIGCONT") => boolean;
  /** Pid, for people. */
  readonly pid: (node: string) => number | undefined;
  /** The process of the fleet's broker; 0 if there is none just now. */
  readonly brokerPid: () => number;
  /** False if there is none. */
  readonly killBroker: () => boolean;
}

export interface ChaosOptions {
  readonly plan: ChaosPlan;
  readonly groups: Readonly<Record<string, readonly string[]>>;
  readonly victims: Victims;
  readonly seed: number;
  readonly say: (text: string) => void;
}

/** Carries out a chaos plan as the progress reaches its thresholds. */
export class Chaos {
  /** Kills and stops so far. */
  done = 0;
  readonly #options: ChaosOptions;
  readonly #choice: SeededChoice;
  readonly #ahead: number[];
  readonly #stopped = new Map<string, NodeJS.Timeout>();

  constructor(options: ChaosOptions) {
    this.#options = options;
    this.#choice = new SeededChoice(options.seed);
    this.#ahead = [...options.plan.at].sort((a, b) => a - b);
  }

  /** Thresholds that were not reached yet. */
  get ahead(): number {
    return this.#ahead.length;
  }

  handleProgress(share: number): void {
    while (this.#ahead.length > 0 && share >= (this.#ahead[0] as number)) {
      const threshold = this.#ahead.shift() as number;
      this.#strike(`${Math.round(threshold * 100)} %`);
    }
  }

  /** Lets go of every node that is still stopped. */
  finish(): void {
    for (const node of [...this.#stopped.keys()]) this.#wake(node);
  }

  #strike(when: string): void {
    const { plan, groups, say } = this.#options;
    const killed = this.#choice.of((groups[plan.kill] ?? []).filter((node) => !this.#stopped.has(node)));
    if (killed !== undefined) this.#kill(when, killed);
    const stopped = this.#choice.of((groups[plan.stop] ?? []).filter((node) => node !== killed && !this.#stopped.has(node)));
    if (stopped !== undefined && this.#signal(stopped, "SIGSTOP")) {
      say(`chaos at ${when}: SIGSTOP ${this.#title(stopped)} for ${plan.stopMs / 1000} s`);
      this.#stopped.set(stopped, setTimeout(() => this.#wake(stopped), plan.stopMs));
    }
    if (plan.broker === true) this.#killBroker(when);
    this.#kill(when, plan.killLast);
  }

  #kill(when: string, node: string): void {
    const title = this.#title(node);
    if (this.#signal(node, "SIGKILL")) this.#options.say(`chaos at ${when}: SIGKILL ${title}`);
  }

  #killBroker(when: string): void {
    const { victims, say } = this.#options;
    const pid = victims.brokerPid();
    if (!victims.killBroker()) return;
    this.done++;
    say(`chaos at ${when}: SIGKILL the broker (${pid})`);
  }

  #wake(node: string): void {
    clearTimeout(this.#stopped.get(node));
    this.#stopped.delete(node);
    if (this.#options.victims.signal(node, "SIGCONT")) this.#options.say(`chaos: SIGCONT ${this.#title(node)}`);
  }

  #signal(node: string, signal: "SIGKILL" | "SIGSTOP"): boolean {
    if (!this.#options.victims.signal(node, signal)) return false;
    this.done++;
    return true;
  }

  #title(node: string): string {
    return `${node} (${this.#options.victims.pid(node) ?? "no process"})`;
  }
}
