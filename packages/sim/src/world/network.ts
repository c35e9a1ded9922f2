import { NS_PER_S, type PeerId } from "@holdfast/core";
import type { Dice } from "../choice/dice.ts";
import type { Plan } from "../plan/plan.ts";
import type { EventQueue } from "./event-queue.ts";
import { LinkEnd, type LinkPorts } from "./link-end.ts";
import type { Process } from "./process.ts";
import { Tampering } from "./tampering.ts";
import { Ways } from "./ways.ts";

/** How long a dial waits for an answer: the host's `DIAL_MS_MAX`. */
const DIAL_NS_MAX = 5 * NS_PER_S;
/** Closed links are forgotten when there are so many. */
const ENDS_MAX = 200;

/** One direction of one of a machine's links: the `nth`, counted round; towards the machine or away from it. */
export interface Direction {
  readonly nth: number;
  readonly inbound: boolean;
}

/**
 * Links between processes: how they come to be, and what is done to them. Ways say what is between two machines, ByteStream what
 * one direction of a link carries, LinkEnd what a process makes of it. With `lossy`, their contract is broken (Tampering).
 */
export class Network {
  readonly #ports: LinkPorts;
  readonly #note: (text: string) => void;
  readonly #tampering: Tampering;
  #ends: LinkEnd[] = [];
  #bufferBytesMax: number;
  lossy = false;

  constructor(given: { queue: EventQueue; dice: Dice; plan: Plan; note: (text: string) => void; reached: (label: string) => void }) {
    const { note, plan, ...ports } = given;
    this.#note = note;
    this.#bufferBytesMax = plan.linkBufferMax;
    this.#ports = { ...ports, plan, ways: new Ways(given.dice, plan), bufferBytesMax: () => this.#bufferBytesMax };
    this.#tampering = new Tampering(this.#ports);
  }

  /** Makes all delays so many times longer. */
  set slow(factor: number) {
    this.#ports.ways.slow = factor;
  }

  // ── trouble ──

  /** Nothing gets from one machine to the other; what is sent waits. */
  block(from: number, to: number): void {
    this.#ports.ways.block(from, to);
  }

  unblock(from: number, to: number): void {
    if (!this.#ports.ways.isBlocked(from, to)) return;
    this.#ports.ways.unblock(from, to);
    this.#pump(from, to);
  }

  /** Cuts a link of the process somewhere in the middle of what is on its way; both ends find out, each in its own time. */
  reset(process: Process | undefined, nth: number): void {
    const end = this.#openEnd(process, nth);
    if (end === undefined) return;
    this.#note(`reset ${end.process.name}#${end.id}`);
    end.cut();
    end.other.cut();
  }

  resetAll(): void {
    for (const end of this.#ends) end.cut();
  }

  /** One direction of a link carries nothing for a while, then everything at once. */
  stall(process: Process | undefined, { nth, inbound }: Direction, ns: number): void {
    const end = this.#openEnd(process, nth);
    if (end === undefined) return;
    this.#note(`stall ${end.process.name}#${end.id} ${inbound ? "in" : "out"} for ${ns} ns`);
    this.#ports.reached("stall");
    (inbound ? end.in : end.out).stall(ns);
  }

  /** The way that one direction of a link takes becomes a narrow one for a while. */
  clog(process: Process | undefined, { nth, inbound }: Direction, bytesPerS: number, ns: number): void {
    const end = this.#openEnd(process, nth);
    if (end === undefined) return;
    const [from, to] = inbound ? [end.other.machine, end.machine] : [end.machine, end.other.machine];
    this.#note(`clog ${from}>${to}: ${bytesPerS} bytes/s for ${ns} ns`);
    this.#ports.reached("clog");
    this.#ports.ways.clog(from, to, bytesPerS);
    this.#ports.queue.after(ns, () => {
      this.#ports.ways.unclog(from, to);
      this.#pump(from, to);
    });
  }

  /** The process loses its end of a link, and the other is not told. Unless mute, it is when it sends. */
  halfOpen(process: Process | undefined, nth: number, isMute: boolean): void {
    const end = this.#openEnd(process, nth);
    if (end === undefined) return;
    this.#note(`half-open ${end.process.name}#${end.id}${isMute ? ", mute" : ""}`);
    this.#ports.reached("half-open");
    end.vanish(isMute);
  }

  /** The process is gone. With its machine up, the system closes its links; without power nobody is told. */
  abandon(process: Process, silently: boolean): void {
    // What the process had given to the system may still arrive, or is dropped by a reset.
    for (const end of process.links.values()) end.die(silently ? "silent" : this.#ports.dice.chance("closes", 0.5) ? "closed" : "reset");
  }

  /** From here on links are links, and nothing stands in their way. */
  calm(): void {
    this.#ports.ways.calm();
    this.lossy = false;
    this.#bufferBytesMax = Infinity;
    for (const { in: stream } of [...this.#ends]) {
      stream.unstall();
      stream.pump();
    }
  }

  // ── what processes ask for ──

  dial(from: Process, machine: number, peer: PeerId): void {
    const { queue, ways } = this.#ports;
    const isBlocked = ways.isBlocked(from.machine.index, machine) || ways.isBlocked(machine, from.machine.index);
    const fails = (reason: string) => () => from.receive({ kind: "dial-failed", peer, reason, fault: reason === "timeout" ? "silent" : "refused" });
    if (isBlocked) return queue.after(DIAL_NS_MAX, fails("timeout"));
    queue.after(ways.delay(), () => {
      if (!from.alive) return;
      const target = from.machine.world.machines[machine]?.process;
      if (target?.alive === true && target.paused) return queue.after(DIAL_NS_MAX, fails("timeout"));
      if (target === undefined || !target.alive || !target.admits(from.machine.id, from.machine.address)) return queue.after(ways.delay(), fails("refused"));
      this.#open(from, target);
    });
  }

  send(end: LinkEnd, frame: Uint8Array): void {
    if (this.lossy) this.#tampering.send(end, frame);
    else end.send(frame);
  }

  close(end: LinkEnd): void {
    end.close();
  }

  // ── inside ──

  #open(from: Process, to: Process): void {
    if (this.#ends.length > ENDS_MAX) this.#ends = this.#ends.filter((end) => !end.isClosed || !end.other.isClosed);
    const [near, far] = LinkEnd.connect(this.#ports, from, to);
    this.#ends.push(near, far);
    to.receive({ kind: "link-opened", link: far.id, peer: from.machine.id, dialled: false, remote: from.machine.address });
    from.receive({ kind: "link-opened", link: near.id, peer: to.machine.id, dialled: true, remote: to.machine.address });
  }

  #openEnd(process: Process | undefined, nth: number): LinkEnd | undefined {
    const open = this.#ends.filter((end) => end.isOpen && end.process === process);
    return open[nth % open.length];
  }

  /** Sends what waited for a way. */
  #pump(from: number, to: number): void {
    for (const end of [...this.#ends]) if (end.machine === from && end.other.machine === to) end.out.pump();
  }
}
