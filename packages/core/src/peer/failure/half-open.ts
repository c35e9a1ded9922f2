import { addNs } from "../../base/time.ts";

/**
 * Each success adds one to what may be sent at a time, so that each round of them doubles it; from this on the peer is
 * open: docs/lab/storms shows why not 8.
 */
export const PROBES_OPEN_AT = 64;

/** A place among the probes of a peer, and whose it is. */
export interface Lease<Owner> {
  owner: Owner;
  readonly expiresAt: number;
}

/**
 * HalfOpen is one peer that failed and has not yet shown that it works: the rules of ProbeLeases for one peer.
 *
 * Invariants: L1 and L2 of ProbeLeases.
 */
export class HalfOpen<Owner> {
  /** Sends that may be under way at a time. */
  limit: number;
  readonly leases: Lease<Owner>[] = [];

  constructor(probesMax: number) {
    this.limit = probesMax;
  }

  /** The peer failed: whatever was under way has its outcome. Answers what that ends. */
  fail(probesMax: number): Lease<Owner>[] {
    this.limit = probesMax;
    return this.leases.splice(0);
  }

  /** The peer works: one more may go out at a time. True if any number may. */
  succeed(openAt: number): boolean {
    return ++this.limit >= openAt;
  }

  /** Ends the leases that have run their time, and answers them. */
  expire(now: number): readonly Lease<Owner>[] {
    let ended: Lease<Owner>[] = NONE;
    for (let at = this.leases.length - 1; at >= 0; at--) {
      if ((this.leases[at] as Lease<Owner>).expiresAt > now) continue;
      if (ended === NONE) ended = [];
      ended.push(...this.leases.splice(at, 1)); // L2
    }
    return ended;
  }

  /** When a place is free, of one whose leases that have run their time were ended: `now`, or when the first one ends. */
  freeAt(now: number): number {
    if (this.leases.length < this.limit) return now;
    return this.leases.reduce((first, { expiresAt }) => Math.min(first, expiresAt), Infinity);
  }

  /** Takes a place, which is free. */
  take(owner: Owner, now: number, leaseNs: number): void {
    this.leases.push({ owner, expiresAt: addNs(now, leaseNs) }); // L1, L2
  }

  /** Gives a place back; false if the owner has none. */
  release(owner: Owner): boolean {
    const at = this.leases.findIndex((lease) => lease.owner === owner);
    if (at >= 0) this.leases.splice(at, 1);
    return at >= 0;
  }
}

const NONE: never[] = [];
