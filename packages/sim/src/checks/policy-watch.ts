import { decodeMessage, decodeValue, type PeerId, type PolicyChange, type PolicyLists, type PolicySubject } from "@holdfast/core";
import { require } from "../violation.ts";
import type { Request } from "../workload/request.ts";
import type { Owner } from "../world/log-disk.ts";
import type { Machine } from "../world/machine.ts";
import type { Process } from "../world/process.ts";
import type { World } from "../world/world.ts";

/** One machine that is kept out, by its id or by the range that its address is. */
export interface Ban {
  readonly peer: number;
  readonly byRange: boolean;
  /** Until when it holds for certain, by the clock of the node that was asked: the earliest that it may have understood. */
  until: number;
}

/** Machines by number: these are kept out; nobody else gets in. */
export interface Lists {
  readonly blocked: readonly Ban[];
  readonly allowed: readonly number[] | null;
}

export function lastingBan(peer: number, byRange: boolean): Ban {
  return { peer, byRange, until: Infinity };
}

/** What an operator may ask for. */
type Wish = Readonly<
  | { action: "block"; peer: number; byRange: boolean; forNs?: number }
  | { action: "unblock"; peer: number; byRange: boolean }
  | { action: "allow-only"; peers: readonly number[] | null; byRange: boolean }
>;
const OPEN: Lists = { blocked: [], allowed: null };

/** Where the field `mark` stands in the row of a session. */
const MARK_FIELD = 6;

/**
 * Who keeps whom out, by configuration and by its operator, and whether they are left alone.
 *
 *   P1. From the moment on in which a change of policy is acknowledged, or a process starts with a configuration, until
 *       another change is asked for, or the block's time may be over: a denied peer is not dialled, and sent nothing but a goodbye on a link that it opened.
 *   P2. As long, nothing of a denied peer is accepted: the mark of its stream stays 0.
 */
export class PolicyWatch {
  readonly #world: World;
  readonly #configured = new Map<Machine, Lists>();
  readonly #startedWith = new WeakMap<Process, Lists>();
  /** What the operator was told is durable, and what he has asked for since, in order. */
  readonly #operator = new Map<Machine, { told: Lists; asked: Lists[] }>();
  /** Pairs between which policy has ever stood, "lower/higher". */
  readonly #cut = new Set<string>();

  constructor(world: World) {
    this.#world = world;
  }

  // ── what is wanted ──

  /** The operator asks for a change. */
  change(machine: Machine, change: Wish): void {
    const known = this.#operator.get(machine) ?? { told: OPEN, asked: [] };
    this.#operator.set(machine, known);
    const before = known.asked.at(-1) ?? known.told;
    const ban = change.action === "block" ? lastingBan(change.peer, change.byRange) : undefined;
    const after = change.action === "allow-only" ? { ...before, allowed: change.peers }
      : { ...before, blocked: [...before.blocked.filter(({ peer, byRange }) => peer !== change.peer || byRange !== change.byRange), ...(ban === undefined ? [] : [ban])] };
    known.asked.push(after);
    this.#cuts(machine, after);
    const acknowledged = (): void => {
      known.told = known.asked.shift() as Lists;
      this.#world.reached(change.action === "allow-only" ? "an allowlist changed" : "a blocklist changed");
      if (change.byRange) this.#world.reached("a policy on a range of addresses");
    };
    machine.client.changePolicy(this.#spelled(change), acknowledged, (process) => {
      if (ban !== undefined && change.action === "block" && change.forNs !== undefined) ban.until = Math.min(ban.until, process.now + change.forNs);
    });
  }

  /** The configuration is another one from the next start on. */
  configure(machine: Machine, lists: Lists): void {
    this.#configured.set(machine, lists);
    this.#cuts(machine, lists);
  }

  /** Everybody may talk to everybody again. A configuration takes effect when the machine is started again: those that need it are returned. */
  open(): Machine[] {
    for (const [machine, { told, asked }] of this.#operator) {
      const last = asked.at(-1) ?? told;
      for (const { peer, byRange } of last.blocked) this.change(machine, { action: "unblock", peer, byRange });
      if (last.allowed !== null) this.change(machine, { action: "allow-only", peers: null, byRange: false });
    }
    const configured = [...this.#configured.keys()];
    this.#configured.clear();
    return configured;
  }

  #spelled(change: Wish): PolicyChange {
    if (change.action === "allow-only") return { action: "allow-only", peers: change.peers?.map((peer) => this.#subject(peer, change.byRange)) ?? null };
    const peer = this.#subject(change.peer, change.byRange);
    return change.action === "block" && change.forNs !== undefined ? { action: "block", peer, forNs: change.forNs } : { action: change.action, peer };
  }

  #subject(peer: number, byRange: boolean): PolicySubject {
    const { id, ip } = this.#world.machines[peer] as Machine;
    return byRange ? { on: "range", what: `${ip}/32` } : id;
  }

  /** The lists with which a process starts. */
  begins(process: Process): PolicyLists {
    const lists = this.#configured.get(process.machine) ?? OPEN;
    this.#startedWith.set(process, lists);
    const idsOf = (peers: readonly number[]): PeerId[] => peers.map((peer) => (this.#world.machines[peer] as Machine).id);
    const block = lists.blocked.map(({ peer, byRange }) => {
      const subject = this.#subject(peer, byRange);
      return typeof subject === "string" ? subject : { ...subject, reason: "of the configuration" };
    });
    return { block, allow: lists.allowed === null ? null : idsOf(lists.allowed) };
  }

  // ── what it excuses ──

  /** Policy may stand between the two, as this process sees it: its own says so, or will. */
  mayDeny(process: Process, peer: number): boolean {
    const { told, asked } = this.#operator.get(process.machine) ?? { told: OPEN, asked: [] };
    return [this.#startedWith.get(process) ?? OPEN, told, ...asked].some((lists) => denies(lists, peer, 0)) || this.#cut.has(pair(process.machine.index, peer));
  }

  /** Marks a request that needs two nodes between which policy has stood. */
  marks(request: Request): void {
    if (this.#cut.size === 0 || (request.finished && request.kind !== "tell")) return;
    const { at, path, kind } = request;
    const others = kind === "spread" || kind === "index" ? this.#world.machines.map(({ index }) => [at, index] as const) : path.slice(1).map((to, hop) => [path[hop] as number, to] as const);
    if (others.some(([from, to]) => this.#cut.has(pair(from, to)))) request.isCut = true;
  }

  #cuts(machine: Machine, lists: Lists): void {
    for (const { index } of this.#world.machines) if (index !== machine.index && denies(lists, index, 0)) this.#cut.add(pair(machine.index, index));
    for (const request of this.#world.requests) this.marks(request);
  }

  // ── what is seen ──

  dialled(process: Process, peer: number): void {
    require(!this.#denies(process, peer), "denied-never-contacted", () => `${process.name} dials n${peer}, which its policy denies`); // P1
  }

  sent(process: Process, peer: number, frame: Uint8Array): void {
    if (!this.#denies(process, peer)) return;
    const { kind } = decodeMessage(frame.subarray(4));
    require(kind === "goodbye", "denied-never-contacted", () => `${process.name} sends n${peer} a ${kind}, and its policy denies it`); // P1
    this.#world.reached("a denied peer was told goodbye");
  }

  /** The row of a session became durable. */
  stored(machine: Machine, owner: Owner, peer: string, bytes: Uint8Array): void {
    const { process } = machine;
    if (process?.owner !== owner) return;
    const index = this.#world.machines.findIndex(({ id }) => id === peer);
    if (!this.#denies(process, index)) return;
    const mark = (decodeValue(bytes) as number[])[MARK_FIELD];
    require(mark === 0, "denied-never-contacted", () => `${process.name} has accepted ${mark} envelopes of n${index}, which its policy denies`); // P2
  }

  /** Policy denies the peer for certain: whatever of it may or may not be durable yet. */
  #denies(process: Process, peer: number): boolean {
    if (this.#cut.size === 0) return false;
    if (denies(this.#startedWith.get(process) ?? OPEN, peer, process.now)) return true;
    const known = this.#operator.get(process.machine);
    // One that was overtaken does not hear of its operator any more.
    if (known === undefined || process !== process.machine.process || process.owner.fence !== process.machine.disk.fence) return false;
    return denies(known.told, peer, process.now) && known.asked.every((lists) => denies(lists, peer, process.now));
  }
}

/** By the clock of the node whose lists they are; at 0 nothing has ended yet. */
function denies({ blocked, allowed }: Lists, peer: number, now: number): boolean {
  return blocked.some((ban) => ban.peer === peer && now < ban.until) || (allowed !== null && !allowed.includes(peer));
}

function pair(a: number, b: number): string {
  return a < b ? `${a}/${b}` : `${b}/${a}`;
}
