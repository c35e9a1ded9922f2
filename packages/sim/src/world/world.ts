import { type Definitions, type Effect, type Encoded, NS_PER_MS, NS_PER_S } from "@holdfast/core";
import { Checks } from "../checks/checks.ts";
import type { ChoiceLog, Choices } from "../choice/choice-log.ts";
import { Dice } from "../choice/dice.ts";
import type { Plan } from "../plan/plan.ts";
import { PolicyWatch } from "../checks/policy-watch.ts";
import { TimeWatch } from "../checks/time-watch.ts";
import { Editions } from "../workload/editions.ts";
import { nodeName } from "../workload/flows.ts";
import { makeRequest, type Request } from "../workload/request.ts";
import { require, type Rule } from "../violation.ts";
import type { Story } from "../story/story.ts";
import { Chaos } from "./chaos.ts";
import { EventQueue } from "./event-queue.ts";
import type { DiskFlaws } from "./log-disk.ts";
import { Machine } from "./machine.ts";
import { Network } from "./network.ts";
import { Outside } from "./outside.ts";
import type { Process } from "./process.ts";
import { Trace } from "./trace.ts";
import { Weather } from "./weather.ts";

/** Where a mutant breaks the runtime. A world without flaws is the runtime as it is shipped. */
export interface Flaws {
  readonly disk?: DiskFlaws;
  /** Effects that leave before their turn is durable. `changed`: something is not even on its way to the disk. */
  readonly leaks?: (effect: Effect, turn: { changed: boolean }) => boolean;
  /** An effect as the host performs it; undefined: not at all. */
  readonly alter?: (effect: Effect, process: Process) => Effect | undefined;
  /** Rules that are not looked at, to see what notices besides them. */
  readonly unwatched?: ReadonlySet<Rule>;
  /** Lives are replayed without the patch. (Without a patch they are, in any case.) */
  readonly replayed?: boolean;
  /** The rows that a start is given. */
  readonly load?: (rows: readonly Encoded[]) => readonly Encoded[];
  /** What the flows were compiled to. */
  readonly definitions?: (compiled: Definitions) => Definitions;
  /** Called once the engine has its state, before its first turn. */
  readonly patch?: (process: Process) => void;
}

export interface WorldOptions {
  readonly flaws?: Flaws;
  /** Where to keep what is chosen. */
  readonly kept?: ChoiceLog | undefined;
  /** What was chosen before: nothing is drawn. */
  readonly given?: ChoiceLog | undefined;
  /** Keeps what a picture of the run shows. */
  readonly story?: Story | undefined;
}

/** In a calm world everything must end within this: the longest cooldown and the longest attempt are 60 s each. */
const CALM_NS_MAX = 240 * NS_PER_S;
const GLANCE_NS = 100 * NS_PER_MS;

/**
 * A fleet of real nodes in one thread: everything around them is simulated, from a seed.
 *
 *     chaos: trouble, and requests  ──▶  calm, perhaps for a core only at first: everything pending must end  ──▶  at rest
 */
export class World {
  readonly plan: Plan;
  readonly flaws: Flaws;
  readonly trace = new Trace();
  readonly story: Story | undefined;
  readonly weather: Weather;
  readonly network: Network;
  readonly outside = new Outside();
  readonly editions = new Editions();
  readonly policies: PolicyWatch;
  readonly times: TimeWatch;
  readonly checks: Checks;
  readonly machines: readonly Machine[];
  readonly requests: Request[] = [];
  /** Rare things that happened: a batch must have seen all of them. */
  readonly labels = new Set<string>();
  readonly #queue: EventQueue;
  readonly #choices: Choices;

  constructor(plan: Plan, { flaws = {}, kept, given, story }: WorldOptions = {}) {
    this.plan = plan;
    this.flaws = flaws;
    this.story = story;
    this.#choices = { seed: plan.seed, kept, given };
    this.#queue = new EventQueue(plan.seed);
    this.weather = new Weather(plan);
    this.network = new Network({ queue: this.#queue, dice: this.dice("network"), plan, note: (text) => this.note(text), reached: (label) => this.reached(label) });
    this.policies = new PolicyWatch(this);
    this.times = new TimeWatch(this);
    this.checks = new Checks(this);
    this.machines = Array.from({ length: plan.nodes }, (_, at) => new Machine(this, at, nodeName(at)));
  }

  dice(part: string): Dice {
    return new Dice(this.#choices, part);
  }

  get now(): number {
    return this.#queue.now;
  }

  get events(): number {
    return this.#queue.count;
  }

  after(delayNs: number, run: () => void): void {
    this.#queue.after(delayNs, run);
  }

  note(text: string): void {
    this.trace.note(this.now, text);
    this.story?.noted(this.now, text);
  }

  reached(label: string): void {
    this.labels.add(label);
  }

  /** Runs the whole course. Throws a Violation, or whatever a node threw. */
  run(): void {
    const { plan, machines } = this;
    for (const machine of machines) machine.start();
    this.#planRequests();
    const chaos = new Chaos(this);
    chaos.begin();
    this.#queue.runUntil(plan.chaosNs);
    this.note("calm");
    chaos.end();
    if (plan.core !== null) this.#runCore(plan.core);
    this.#runCalm(() => this.checks.pending());
    this.checks.atEnd();
  }

  /** The core must do without the others, which come back afterwards. */
  #runCore(core: readonly number[]): void {
    const others = this.machines.filter(({ index }) => !core.includes(index));
    for (const machine of others) machine.strand();
    const pending = (): string | undefined => this.checks.pendingWithin(core);
    this.#runCalm(pending);
    const left = pending();
    require(left === undefined, "progress", () => `it is calm among ${core.map(nodeName).join(", ")}, and ${left}`);
    this.reached("a core did without the others");
    for (const machine of others) machine.rescue();
  }

  /** Lets time pass until nothing is pending, or too much has passed. */
  #runCalm(pending: () => string | undefined): void {
    const calmAt = this.now;
    const until = calmAt + CALM_NS_MAX;
    while (this.now < until && pending() !== undefined) {
      for (const { client } of this.machines) client.retry();
      this.#queue.runUntil(this.now + GLANCE_NS);
      this.times.glance(calmAt);
    }
  }

  runFor(ns: number): void {
    this.#queue.runUntil(this.now + ns);
  }

  #planRequests(): void {
    const { plan, machines } = this;
    for (const wish of plan.requests) {
      const request = makeRequest(wish, plan.nodes);
      this.requests.push(request);
      this.after(wish.atNs, () => machines[wish.at]?.client.ask(request));
    }
  }
}
