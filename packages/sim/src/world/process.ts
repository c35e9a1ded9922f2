import {
  type Answer, type CommandId, Driver, type Effect, Engine, type EngineEvent, engineOptions, type ExecutionId, type LinkId, NS_PER_MS, type Outcome, type PeerId, readNodeRow,
  ROW, RuntimeError, type Encoded, type Lineage, type Value,
} from "@holdfast/core";
import { definitionsFor } from "../workload/flows.ts";
import { WORKERS } from "../workload/spread.ts";
import { indexAnswer } from "../workload/text-index.ts";
import type { Owner } from "./log-disk.ts";
import type { Machine } from "./machine.ts";
import type { LinkEnd } from "./link-end.ts";
import { type Job, jobValue } from "./outside.ts";
import { limitWindows } from "./small-window.ts";

type StartHost = Extract<Effect, { kind: "start-host" }>;

/** Where a process can die. */
export type Seam =
  | "claiming" | "claimed" | "loaded" | "restored" | "polled" | "appended" | "writing" | "written" | "durable" | "committed" | "released";

/** How late a timer of the host may fire, ns. */
const TIMER_LATE_NS = NS_PER_MS;

/**
 * One process of a node, from its claim of the disk to its death: what the host is to core. A real driver on a real
 * engine; the loop, the store, the links, the host work and the clock are the world's.
 *
 *     claiming ▶ loading ▶ running ──kill, power cut, fenced, failed fsync──▶ dead
 */
export class Process {
  readonly machine: Machine;
  readonly owner: Owner;
  readonly name: string;
  readonly links = new Map<LinkId, LinkEnd>();
  alive = true;
  /** Stopped: nothing is done, and what arrives waits. */
  paused = false;
  nextLink = 1;
  driver!: Driver;
  incarnation = 0;
  /** Polls so far. */
  turns = 0;
  #inbox: EngineEvent[] = [];
  #turnDue = false;
  #wakeAt = Infinity;
  #startNs = 1;
  #startedAt = 0;
  readonly #work = new Set<CommandId>();
  /** Host work that has neither answered nor been aborted. */
  readonly workOpen = new Set<CommandId>();
  /** The position that must be durable before an effect may leave. */
  readonly #needs = new WeakMap<Effect, number>();
  /** Effects that a mutant lets out too early. */
  #leaked: Effect[] = [];

  constructor(machine: Machine, owner: Owner) {
    this.machine = machine;
    this.owner = owner;
    this.name = `${machine.name}.${owner.fence}`;
  }

  get running(): boolean {
    return this.alive && this.driver !== undefined;
  }

  get engine(): Engine {
    return this.driver.engine;
  }

  // ── start ──

  /** Goes on where the rows leave off. */
  start(loaded: readonly Encoded[], position: number): void {
    const { machine } = this;
    const { world } = machine;
    const rows = world.flaws.load?.(loaded) ?? loaded;
    world.checks.given(this, rows);
    const row = rows.find(([key]) => key === ROW.node);
    const stored = row === undefined ? undefined : readNodeRow(row[1]);
    this.incarnation = (stored?.incarnation ?? 0) + 1;
    const definitions = definitionsFor(world.plan.nodes, world.editions.of(machine));
    const engine = new Engine({
      identity: { peer: machine.id, lineage: (stored?.lineage ?? machine.lineage) as Lineage, incarnation: this.incarnation },
      definitions: world.flaws.definitions?.(definitions) ?? definitions, options: engineOptions({}), policy: world.policies.begins(this),
      groups: new Map([[WORKERS, world.machines.filter((other) => other !== machine).map(({ name }) => name)]]), seed: `${world.plan.seed}/${machine.name}/${this.incarnation}`,
    });
    const downMs = stored === undefined ? 0 : Math.max(machine.wallMs - stored.wallMs, 0);
    this.#startNs = (stored?.now ?? 1) + downMs * NS_PER_MS;
    this.#startedAt = machine.monotonicNs;
    limitWindows(engine, world.plan.windowMax);
    if (stored === undefined) engine.begin(this.now, machine.wallMs);
    else engine.restore(rows, this.now, machine.wallMs);
    this.driver = new Driver(engine, { position, durable: true });
    world.checks.began(this, stored === undefined ? undefined : rows);
    this.#watch(engine);
    world.flaws.patch?.(this);
    this.#configurePeers();
    this.#schedule();
  }

  /** Tells the engine whom it has to do with. */
  #configurePeers(): void {
    const { world } = this.machine;
    for (const other of world.machines) {
      if (other !== this.machine) this.receive({ kind: "peer-configured", peer: other.id, name: other.name, addresses: [other.address], keepLink: world.plan.keepLinks });
    }
  }

  /** Notes, between engine and driver, what each effect has seen: the driver is not believed. */
  #watch(engine: Engine): void {
    const poll = engine.poll.bind(engine);
    const { leaks } = this.machine.world.flaws;
    engine.poll = (now, wallMs) => {
      const turn = poll(now, wallMs);
      const needed = this.driver.position + (engine.hasChanges ? 1 : 0);
      for (const effect of turn.effects) this.#needs.set(effect, needed);
      if (leaks === undefined) return turn;
      const early = (effect: Effect): boolean => leaks(effect, { changed: engine.hasChanges });
      this.#leaked.push(...turn.effects.filter(early));
      return { effects: turn.effects.filter((effect) => !early(effect)), more: turn.more };
    };
  }

  /** Engine time: goes on from the last commit, and with the machine's clock. */
  get now(): number {
    return this.#startNs + Math.floor(this.machine.monotonicNs - this.#startedAt);
  }

  // ── what comes in ──

  receive(event: EngineEvent): void {
    if (!this.alive) return;
    if (this.paused || this.driver === undefined) return void this.#inbox.push(event);
    if (event.kind === "frame-received") this.#arrived(event);
    while (this.driver.handle(event) === "full") this.#turn();
    this.#schedule();
  }

  #arrived({ link, body }: Extract<EngineEvent, { kind: "frame-received" }>): void {
    const { story, now } = this.machine.world;
    const end = story === undefined ? undefined : this.links.get(link);
    if (end !== undefined) story?.received(now, end.other.process.machine.index, this.machine.index, body);
  }

  resume(): void {
    this.paused = false;
    if (!this.running) return;
    for (const event of this.#inbox.splice(0)) this.receive(event);
    for (const end of [...this.links.values()]) end.wake();
    this.#schedule();
  }

  /** Engine time at which it wakes up by itself. */
  get wakesAt(): number {
    return this.#wakeAt;
  }

  /** Is host work under way for that command? */
  works(command: CommandId): boolean {
    return this.#work.has(command);
  }

  admits(peer: PeerId, remote: string): boolean {
    return this.running && this.engine.state.governor.policy.checkAddress(peer, remote).allow;
  }

  // ── the loop ──

  #schedule(): void {
    if (this.#turnDue || !this.running) return;
    this.#turnDue = true;
    this.machine.world.after(1000 + this.machine.dice.below("turn", 50_000), () => {
      this.#turnDue = false;
      this.#turn();
    });
  }

  #turn(): void {
    if (!this.running || this.paused) return;
    const { driver, machine } = this;
    this.turns++;
    driver.poll(this.now, machine.wallMs);
    for (const effect of this.#leaked.splice(0)) this.#perform(effect);
    if (machine.seam(this, "polled")) return;
    this.#commit();
    this.#release();
    if (!this.alive) return;
    if (driver.engine.hasWork) this.#schedule();
    else this.#rest();
  }

  /** Nothing to do until something comes, or a timer falls due. */
  #rest(): void {
    this.#arm();
    if (this.driver.isIdle && this.#inbox.length === 0) this.machine.world.checks.idle(this);
  }

  #arm(): void {
    const wake = this.driver.nextTimeout();
    if (wake === undefined || wake.at === "never" || wake.at >= this.#wakeAt) return;
    const { at } = wake;
    this.#wakeAt = at;
    const late = this.machine.dice.below("timer", TIMER_LATE_NS);
    this.machine.afterClock(Math.max(0, at - this.now), late, () => {
      if (this.#wakeAt !== at) return;
      this.#wakeAt = Infinity;
      this.#turn();
    });
  }

  #commit(): void {
    const commit = this.driver.pollCommit();
    if (commit === undefined) return;
    const { machine } = this;
    const { disk, world } = machine;
    world.checks.taken(this, commit);
    world.note(`${this.name} commits ${commit.position}: ${commit.puts.length} rows`);
    for (const [, bytes] of commit.puts) world.trace.bytes(bytes);
    if (machine.seam(this, "appended")) return;
    const guarded = (run: () => void) => () => {
      if (!this.alive) return;
      if (this.paused) return void this.#inboxRun.push(run);
      run();
    };
    const committed = (): void => {
      this.driver.handleCommitted(commit.position);
      machine.committed(this);
      if (machine.seam(this, "committed")) return;
      this.#commit();
      this.#release();
      if (!this.alive) return;
      if (this.engine.hasWork) this.#schedule();
      else this.#rest();
    };
    world.after(machine.writeNs(), () => {
      // The disk works on without a process that only sleeps, but not for one that is gone.
      if (!this.alive) return;
      let record: ReturnType<typeof disk.beginWrite>;
      try {
        record = disk.beginWrite(commit, this.owner);
      } catch (error) {
        return guarded(() => machine.storeFailed(this, error as RuntimeError))();
      }
      if (machine.seam(this, "writing")) return;
      disk.endWrite(record);
      if (machine.seam(this, "written")) return;
      if (disk.lies) guarded(committed)();
      world.after(machine.syncNs(), () => {
        if (machine.syncFails()) {
          world.note(`${this.name} fsync fails at ${commit.position}`);
          if (!disk.retriesFsync) {
            disk.failSync(record);
            return guarded(() => machine.storeFailed(this, new RuntimeError("STORE_FAILED", { reason: "fsync" })))();
          }
          disk.lose(record);
        } else disk.sync(record);
        if (!this.alive || machine.seam(this, "durable")) return;
        if (!disk.lies) guarded(committed)();
      });
    });
  }

  /** What came back from the disk while the process was stopped. */
  readonly #inboxRun: (() => void)[] = [];

  /** Lets the process hear what its disk did meanwhile. */
  wake(): void {
    if (!this.alive) return;
    this.resume();
    for (const run of this.#inboxRun.splice(0)) if (this.alive) run();
  }

  #release(): void {
    while (this.alive) {
      const effect = this.driver.pollEffect();
      if (effect === undefined) return;
      this.#perform(effect);
      if (this.machine.seam(this, "released")) return;
    }
  }

  // ── what goes out ──

  #perform(given: Effect): void {
    const { world } = this.machine;
    world.checks.released(this, given.kind, this.#needs.get(given) ?? Infinity);
    if (given.kind === "send-frame") this.#watchFrame(given.link, given.frame);
    const effect = world.flaws.alter === undefined ? given : world.flaws.alter(given, this);
    if (effect === undefined) return;
    switch (effect.kind) {
      case "send-frame": {
        const end = this.links.get(effect.link);
        if (end === undefined) return;
        world.policies.sent(this, end.other.process.machine.index, effect.frame);
        world.trace.bytes(effect.frame);
        world.story?.sent(world.now, this.machine.index, end.other.process.machine.index, effect.frame.subarray(4));
        return world.network.send(end, effect.frame);
      }
      case "close-link": {
        const end = this.links.get(effect.link);
        return end === undefined ? undefined : world.network.close(end);
      }
      case "dial": {
        const target = world.machines.findIndex(({ id }) => id === effect.peer);
        world.policies.dialled(this, target);
        return world.network.dial(this, target, effect.peer);
      }
      case "start-host": return this.#startWork(effect);
      case "abort-host": return this.#abortWork(effect.command);
      case "answer": return this.#answer(effect.tag, effect.answer);
      case "execution-finished": return this.#finished(effect.execution, effect.outcome);
      case "telemetry": return world.checks.telemetry(this, effect.event);
      case "deliver-output": return this.receive({ kind: "output-delivered", command: effect.command });
    }
  }

  #answer(tag: number, answer: Answer): void {
    this.machine.client.answered(tag, answer);
  }

  #finished(execution: ExecutionId, outcome: Outcome): void {
    this.machine.client.finished(execution, outcome);
  }

  #watchFrame(link: LinkId, frame: Uint8Array): void {
    const peer = this.links.get(link)?.other.process.machine.index;
    if (peer !== undefined) this.machine.world.times.sent(this, peer, frame);
  }

  #abortWork(command: CommandId): void {
    this.#work.delete(command);
    this.workOpen.delete(command);
    this.machine.world.reached("host work was aborted");
  }

  #startWork({ command, key, input, remainingNs, fn }: StartHost): void {
    const { world } = this.machine;
    const job = input.value as unknown as Job;
    this.#work.add(command);
    this.workOpen.add(command);
    world.note(`${this.name} starts ${job.item} under ${key}`);
    const mayFail = remainingNs !== "never" && job.deadline !== false;
    const { doneAfterNs, answerAfterNs, repeats, twice, lost, lateNs } = world.weather.work(this.machine.dice, mayFail);
    // Done outside, whatever becomes of the process that asked.
    world.after(doneAfterNs, () => world.outside.perform(key, job));
    if (twice) world.after(doneAfterNs + answerAfterNs, () => world.outside.perform(key, job));
    if (lost) return world.reached("an answer was lost");
    if (lateNs !== undefined) world.reached("an answer came after the deadline");
    const value = indexAnswer(fn, input.value) ?? jobValue(job.item);
    const report = (told: Value): void => {
      this.workOpen.delete(command);
      if (!this.#work.has(command)) return;
      if (job.fails) this.receive({ kind: "host-failed", command, code: "OUTSIDE", message: "the outside says no", details: null });
      else this.receive({ kind: "host-completed", command, value: told });
    };
    const answeredNs = lateNs === undefined ? doneAfterNs + answerAfterNs : Math.max(doneAfterNs, (remainingNs as number) + lateNs);
    world.after(answeredNs, () => report(value));
    // A second answer, and another one: too late to change anything.
    if (repeats) world.after(answeredNs + answerAfterNs + NS_PER_MS, () => report(-1));
  }
}
