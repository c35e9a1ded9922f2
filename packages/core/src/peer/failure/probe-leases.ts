import { NS_PER_S } from "../../base/time.ts";
import { MAX_ENTRIES, makeRoom } from "../make-room.ts";
import { wholeOption } from "../read-quantity.ts";
import { HalfOpen, PROBES_OPEN_AT } from "./half-open.ts";
import type { Lease } from "./half-open.ts";

export interface ProbeOptions {
  /** Sends that go out at a time to a peer that failed and has not yet shown that it works. At least 1. Default 1. */
  readonly probesMax: number;
  /** Each success adds one, so that each round of them doubles it; from this on the peer is open. At least 1. Default 64: docs/lab/storms shows why not 8. */
  readonly openAt: number;
  /** How long a probe may go without an outcome before its place is free again, in ns. At least 1. Default 5 s. */
  readonly leaseNs: number;
  /** Peers held, at least 1. Default 16384. */
  readonly maxEntries: number;
}

export const PRODUCT_PROBES: ProbeOptions = { probesMax: 1, openAt: PROBES_OPEN_AT, leaseNs: 5 * NS_PER_S, maxEntries: MAX_ENTRIES };

/**
 * ProbeLeases lets a bounded number of sends out to a peer that failed, each under a lease, until it has shown that it
 * works; the others wait.
 *
 *     open ──failure──▶ half open, `probesMax` at a time ──success──▶ one more … ──`openAt`──▶ open
 *                            ▲──────────failure──────────────┘
 *
 * A place is free again when the peer's outcome is known, when its owner gives it back (it was cancelled, or it is
 * gone), or when the lease expires, for which nobody's help is needed. Leases are not stored: a restart has none, and
 * what was sent before it is not sent again as a probe.
 *
 * Invariants:
 *   L1. At most `limit` unexpired leases of a peer exist after one was taken, and `limit` is `probesMax` until a success.
 *   L2. Every lease ends by `expiresAt`: at that instant its place is free.
 *   L3. At most `maxEntries` peers are held.
 */
export class ProbeLeases<K extends string> {
  readonly #options: ProbeOptions;
  readonly #peers = new Map<K, HalfOpen<string>>();
  /** Leases by owner, so that an owner who ends and has none costs one look. */
  readonly #owners = new Map<string, number>();

  /** Throws OPTION_INVALID. */
  constructor(given: Partial<ProbeOptions> = {}) {
    const options = { ...PRODUCT_PROBES, ...given };
    this.#options = {
      probesMax: wholeOption("probesMax", options.probesMax, 1), openAt: wholeOption("openAt", options.openAt, 1),
      leaseNs: wholeOption("leaseNs", options.leaseNs, 1), maxEntries: wholeOption("maxEntries", options.maxEntries, 1),
    };
  }

  get size(): number {
    return this.#peers.size;
  }

  isHalfOpen(peer: K): boolean {
    return this.#peers.has(peer);
  }

  /** Unexpired leases of the peer. */
  taken(peer: K, now: number): number {
    const held = this.#peers.get(peer);
    if (held === undefined) return 0;
    this.#uncount(held.expire(now));
    return held.leases.length;
  }

  /** The peer failed: whatever was under way has its outcome, and the next try begins with `probesMax`. */
  recordFailure(peer: K): void {
    this.#uncount(this.#entryOf(peer).fail(this.#options.probesMax));
  }

  /** The peer works: one more may go out at a time, and in the end any number. True if waiting ones should look again. */
  recordSuccess(peer: K): boolean {
    const held = this.#peers.get(peer);
    if (held === undefined) return false;
    if (held.succeed(this.#options.openAt)) this.forget(peer);
    return true;
  }

  /** When a place is free: `now`, or when the first lease expires. */
  freeAt(peer: K, now: number): number {
    const held = this.#peers.get(peer);
    if (held === undefined) return now;
    this.#uncount(held.expire(now)); // L2
    return held.freeAt(now);
  }

  /** Takes a place for a send, if the peer is half open; false if none is free. */
  take(peer: K, owner: string, now: number): boolean {
    if (this.freeAt(peer, now) > now) return false;
    const held = this.#peers.get(peer);
    if (held === undefined) return true;
    held.take(owner, now, this.#options.leaseNs); // L1, L2
    this.#count(owner, 1);
    return true;
  }

  /** From now on the lease is another's: of what outlives the owner. */
  handOver(peer: K, from: string, to: string): void {
    const lease = this.#peers.get(peer)?.leases.find(({ owner }) => owner === from);
    if (lease === undefined) return;
    this.#count(from, -1);
    lease.owner = to;
    this.#count(to, 1);
  }

  /** Gives a lease back: its outcome will not be known, or is. True if a place is free by that. */
  release(peer: K, owner: string): boolean {
    const held = this.#owners.has(owner) ? this.#peers.get(peer) : undefined;
    if (held?.release(owner) !== true) return false;
    this.#count(owner, -1);
    return true;
  }

  /** An owner ends: all its leases come back. True if it had one. */
  releaseAll(owner: string): boolean {
    if (!this.#owners.has(owner)) return false;
    for (const peer of this.#peers.keys()) while (this.release(peer, owner));
    return true;
  }

  /** The peer is gone, denied, or open: its leases mean nothing any more. */
  forget(peer: K): void {
    const held = this.#peers.get(peer);
    if (held === undefined) return;
    this.#uncount(held.leases);
    this.#peers.delete(peer);
  }

  #entryOf(peer: K): HalfOpen<string> {
    let held = this.#peers.get(peer);
    if (held === undefined) {
      if (this.#peers.size >= this.#options.maxEntries) this.#makeRoom();
      held = new HalfOpen(this.#options.probesMax);
      this.#peers.set(peer, held);
    }
    return held;
  }

  /** L3: those go that have the fewest leases. */
  #makeRoom(): void {
    makeRoom(this.#peers, this.#options.maxEntries, ({ leases }) => leases.length, (_peer, { leases }) => this.#uncount(leases));
  }

  /** These leases are over. */
  #uncount(leases: readonly Lease<string>[]): void {
    for (const { owner } of leases) this.#count(owner, -1);
  }

  #count(owner: string, by: number): void {
    const count = (this.#owners.get(owner) ?? 0) + by;
    if (count > 0) this.#owners.set(owner, count);
    else this.#owners.delete(owner);
  }
}
