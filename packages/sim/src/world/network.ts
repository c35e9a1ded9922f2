import { decodeMessage, type LinkId, NS_PER_MS, NS_PER_S, type PeerId } from "@holdfast/core";
import type { Dice } from "../choice/dice.ts";
import type { Plan } from "../plan/plan.ts";
import type { EventQueue } from "./event-queue.ts";
import type { Process } from "./process.ts";

/** How long a dial waits for an answer: the host's `DIAL_MS_MAX`. */
const DIAL_NS_MAX = 5 * NS_PER_S;
/** One delay in so many is this much longer: the heavy tail. */
const TAIL_ODDS = 0.01;
const TAIL_FACTOR = 50;

/** Envelopes of one link that may be replayed, up to seconds later. */
const REPLAYS_MAX = 16;

type Parcel = { readonly frame: Uint8Array } | { readonly end: string };

/** One node's end of a link. */
export interface LinkEnd {
  readonly id: LinkId;
  readonly process: Process;
  other: LinkEnd;
  /** Nothing leaves or arrives at a closed end. */
  open: boolean;
  /** A stream keeps its order: nothing from here arrives before this. */
  arrivesAfter: number;
  /** What cannot go out while the way is blocked, in order. */
  waiting: Parcel[];
  /** The last envelopes that left, for replays. */
  readonly envelopes: Uint8Array[];
}

/**
 * Links between processes: ordered streams, each direction with delays of its own. They stall, are cut between any two
 * frames, are reset, or lose their other end without a word. With `lossy` the contract itself is broken: envelopes are
 * lost, doubled, replayed and overtake each other.
 *
 * Invariant:
 *   N1. Unless lossy: what arrives over one direction is a prefix of what was sent, in order.
 */
export class Network {
  readonly #queue: EventQueue;
  readonly #dice: Dice;
  readonly #plan: Plan;
  readonly #note: (text: string) => void;
  readonly #blocked = new Set<string>();
  #links: LinkEnd[] = [];
  slow = 1;
  lossy = false;

  constructor(given: { queue: EventQueue; dice: Dice; plan: Plan; note: (text: string) => void }) {
    this.#queue = given.queue;
    this.#dice = given.dice;
    this.#plan = given.plan;
    this.#note = given.note;
  }

  // ── trouble ──

  /** Nothing gets from one machine to the other; what is sent waits. */
  block(from: number, to: number): void {
    this.#blocked.add(`${from}>${to}`);
  }

  unblock(from: number, to: number): void {
    if (!this.#blocked.delete(`${from}>${to}`)) return;
    for (const end of this.#links) {
      if (end.process.machine.index !== from || end.other.process.machine.index !== to) continue;
      for (const parcel of end.waiting.splice(0)) this.#carry(end, parcel);
    }
  }

  unblockAll(): void {
    for (const way of [...this.#blocked]) {
      const [from, to] = way.split(">").map(Number) as [number, number];
      this.unblock(from, to);
    }
  }

  /** Cuts a link of the process somewhere in the middle of what is on its way; both ends find out, each in its own time. */
  reset(process: Process | undefined, nth: number): void {
    const open = this.#links.filter((end) => end.open && end.process === process);
    const end = open[nth % open.length];
    if (end === undefined) return;
    this.#note(`reset ${end.process.name}#${end.id}`);
    this.#break(end, "reset");
    this.#break(end.other, "reset");
  }

  resetAll(): void {
    for (const end of [...this.#links]) if (end.open) this.#break(end, "reset");
  }

  /** The process is gone. With its machine up, the system closes its links; without power nobody is told. */
  abandon(process: Process, silently: boolean): void {
    for (const end of process.links.values()) {
      if (!end.open) continue;
      end.open = false;
      end.waiting = [];
      if (silently) continue;
      // What the process had given to the system may still arrive, or is dropped by a reset.
      if (this.#dice.chance("closes", 0.5)) this.#send(end, { end: "closed" });
      else this.#break(end.other, "reset");
    }
    this.#links = this.#links.filter((end) => end.open || end.other.open);
  }

  // ── what processes ask for ──

  dial(from: Process, to: Process | undefined, machine: number, peer: PeerId): void {
    const way = this.#isBlocked(from.machine.index, machine) || this.#isBlocked(machine, from.machine.index);
    const deaf = to?.paused === true;
    if (way || deaf) return this.#queue.after(DIAL_NS_MAX, () => from.receive({ kind: "dial-failed", peer, reason: "timeout" }));
    this.#queue.after(this.#delay(), () => {
      if (!from.alive) return;
      const target = from.machine.world.machines[machine]?.process;
      if (target === undefined || !target.alive || target.paused || !target.admits(from.machine.id)) {
        return this.#queue.after(this.#delay(), () => from.receive({ kind: "dial-failed", peer, reason: "refused" }));
      }
      this.#open(from, target);
    });
  }

  send(end: LinkEnd, frame: Uint8Array): void {
    if (!end.open) return;
    if (this.lossy && this.#meddle(end, frame)) return;
    this.#send(end, { frame });
  }

  close(end: LinkEnd): void {
    if (!end.open) return;
    end.open = false;
    this.#send(end, { end: "closed" });
    end.process.receive({ kind: "link-closed", link: end.id, reason: "closed", blamesPeer: false });
  }

  // ── inside ──

  #open(from: Process, to: Process): void {
    const near = { id: from.nextLink++, process: from, open: true, arrivesAfter: 0, waiting: [], envelopes: [] } as unknown as LinkEnd;
    const far: LinkEnd = { id: to.nextLink++, process: to, other: near, open: true, arrivesAfter: 0, waiting: [], envelopes: [] };
    near.other = far;
    this.#links.push(near, far);
    from.links.set(near.id, near);
    to.links.set(far.id, far);
    to.receive({ kind: "link-opened", link: far.id, peer: from.machine.id, dialled: false });
    from.receive({ kind: "link-opened", link: near.id, peer: to.machine.id, dialled: true });
  }

  #send(end: LinkEnd, parcel: Parcel): void {
    if (end.waiting.length > 0 || this.#isBlocked(end.process.machine.index, end.other.process.machine.index)) end.waiting.push(parcel);
    else this.#carry(end, parcel);
  }

  #carry(end: LinkEnd, parcel: Parcel): void {
    const at = Math.max(this.#queue.now + this.#delay(), end.arrivesAfter + 1); // N1
    end.arrivesAfter = at;
    this.#queue.after(at - this.#queue.now, () => this.#arrive(end.other, parcel));
  }

  #arrive(end: LinkEnd, parcel: Parcel): void {
    if ("end" in parcel) return this.#break(end, parcel.end);
    // Nobody is there any more: a machine that is up again says so, one without power says nothing.
    if (!end.open) {
      if (end.process.machine.process?.alive === true) this.#break(end.other, "reset");
      return;
    }
    end.process.receive({ kind: "frame-received", link: end.id, body: parcel.frame.subarray(4) });
  }

  /** This end learns, a little later, that the link is gone; nothing arrives at it before that. */
  #break(end: LinkEnd, reason: string): void {
    if (!end.open) return;
    end.open = false;
    end.waiting = [];
    this.#queue.after(this.#delay(), () => {
      end.process.links.delete(end.id);
      end.process.receive({ kind: "link-closed", link: end.id, reason, blamesPeer: false });
    });
    if (this.#links.length > 200) this.#links = this.#links.filter((one) => one.open || one.other.open);
  }

  /** Breaks N1 on purpose, for envelopes only. True if the frame is taken care of. */
  #meddle(end: LinkEnd, frame: Uint8Array): boolean {
    if (decodeMessage(frame.subarray(4)).kind !== "envelope") return false;
    const dice = this.#dice;
    end.envelopes.push(frame);
    if (end.envelopes.length > REPLAYS_MAX) end.envelopes.shift();
    if (dice.chance("lost", 0.15)) {
      this.#note(`lost ${end.process.name}#${end.id}`);
      return true;
    }
    if (dice.chance("doubled", 0.15)) this.#send(end, { frame });
    if (dice.chance("replayed", 0.15)) {
      const again = { frame: dice.pick("which", end.envelopes) };
      this.#queue.after(this.#delay() + dice.exponential("replayed after", 2 * NS_PER_S), () => this.#arrive(end.other, again));
    }
    if (!dice.chance("overtaken", 0.15)) return false;
    this.#queue.after(this.#delay() + dice.exponential("overtaken by", 20 * NS_PER_MS), () => this.#arrive(end.other, { frame }));
    return true;
  }

  #isBlocked(from: number, to: number): boolean {
    return this.#blocked.size > 0 && this.#blocked.has(`${from}>${to}`);
  }

  #delay(): number {
    const { delayMinNs, delayMeanNs } = this.#plan;
    const beyond = this.#dice.exponential("delay", delayMeanNs) * this.slow;
    return delayMinNs + (this.#dice.chance("heavy tail", TAIL_ODDS) ? beyond * TAIL_FACTOR : beyond);
  }
}
