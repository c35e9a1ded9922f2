import { assert } from "../../base/assert.ts";
import { RuntimeError } from "../../base/errors.ts";
import type { PeerId } from "../../base/ids.ts";
import { NS_MAX } from "../../base/time.ts";
import type { BackoffTable, Cooldown } from "../failure/backoff-table.ts";
import { MAX_ENTRIES, makeRoom } from "../make-room.ts";
import { ALLOW, PeerPolicy } from "./peer-policy.ts";
import type { PolicyDecision, PolicyEntry } from "./peer-policy.ts";
import { UINT32_MAX, isQuantity } from "../quantity.ts";
import { readList, readObject, readQuantity, readText, wholeOption } from "../read-quantity.ts";

export interface GovernorOptions<K extends string = PeerId> {
  /** Consecutive failures that make a peer down, at least 1. Default 5. */
  readonly failureThreshold: number;
  /** Failures of one instant count as one step of the streak. Reference: false. */
  readonly oneStepPerInstant: boolean;
  /** Peers with health, at least 1. At the bound those least recently heard of go, down ones last. Default 16384. */
  readonly maxEntries: number;
  /** Told each peer whose health the bound drops, so that its stored state can go too. */
  readonly onEvict: ((peer: K) => void) | undefined;
}

/** What the product runs with, and the default. */
export const PRODUCT_GOVERNOR: GovernorOptions<string> = {
  failureThreshold: 5,
  oneStepPerInstant: true,
  maxEntries: MAX_ENTRIES,
  onEvict: undefined,
};

/** The behaviour that the vectors record (spec/peers.md §2). */
export const REFERENCE_GOVERNOR: GovernorOptions<string> = { ...PRODUCT_GOVERNOR, oneStepPerInstant: false };

export type { PolicyDecision } from "./peer-policy.ts";
/** `retryAt`: the instant from which the peer may be tried. */
export type OutboundDecision = PolicyDecision | Cooldown;
export type HealthTransition = "none" | "went-down" | "came-up";

/** Plain data. `down` may outlast a threshold that was raised since. */
export interface PeerHealth {
  readonly consecutiveFailures: number;
  readonly lastEvent: number;
  readonly down: boolean;
}

/**
 * What was decided at run time on ids alone. Plain data; an `allowlist` of null is open, an empty one admits nobody. Entries
 * with an expiry, a reason or an address range are in `PeerPolicy.capture`.
 */
export interface GovernorPolicy<K extends string = PeerId> {
  readonly blocklist: readonly K[];
  readonly allowlist: readonly K[] | null;
  readonly failureThreshold: number;
}

/**
 * Both boundaries of one peer, as whoever asks about it often holds them. Policy is looked up once between two changes of
 * it, and the back-off once while it has not changed for anybody.
 */
export class PeerGate<K extends string = PeerId> {
  readonly peer: K;
  readonly #governor: PeerGovernor<K>;
  readonly #backoff: BackoffTable<K>;
  #decision: PolicyDecision = ALLOW;
  #version = -1;
  #cooldownUntil = 0;
  #cooldownVersion = -1;

  constructor(peer: K, governor: PeerGovernor<K>, backoff: BackoffTable<K>) {
    this.peer = peer;
    this.#governor = governor;
    this.#backoff = backoff;
  }

  checkInbound(): PolicyDecision {
    const { version } = this.#governor.policy;
    if (this.#version !== version) {
      this.#decision = this.#governor.checkInbound(this.peer);
      this.#version = version;
    }
    return this.#decision;
  }

  checkOutbound(now: number): OutboundDecision {
    const policy = this.checkInbound();
    if (!policy.allow) return policy; // G1
    const { version } = this.#backoff;
    if (this.#cooldownVersion !== version) {
      this.#cooldownUntil = this.#backoff.retryAt(this.peer);
      this.#cooldownVersion = version;
    }
    return now >= this.#cooldownUntil ? ALLOW : (this.#backoff.cooldown(this.peer, now) ?? ALLOW);
  }
}

type Health = { -readonly [Field in keyof PeerHealth]: PeerHealth[Field] };

/** The entry that a call without further words makes. */
const PLAIN = { on: "peer", until: "never", by: "api", reason: "", addedAt: 0 } as const satisfies Partial<PolicyEntry>;

/**
 * PeerGovernor says whether we may talk to a peer at all, and whether it is up.
 *
 *     up ──failureThreshold failures in a row──▶ down ──success──▶ up
 *
 * Invariants:
 *   G1. The blocklist goes before the allowlist, and policy before cooldown.
 *   G2. Policy and health do not touch each other: no change of a list or of the threshold changes health.
 *   G3. Between two `went-down` of a peer lies a `came-up`, and the other way round.
 *   G4. At most `maxEntries` peers have health.
 */
export class PeerGovernor<K extends string = PeerId> {
  readonly #options: GovernorOptions<K>;
  /** Who is denied and admitted, with expiry, reason and address ranges. */
  readonly policy = new PeerPolicy<K>();
  readonly #health = new Map<K, Health>();
  #failureThreshold: number;

  constructor(given: Partial<GovernorOptions<K>> = {}) {
    const options = { ...PRODUCT_GOVERNOR, ...given };
    this.#options = { ...options, maxEntries: wholeOption("maxEntries", options.maxEntries, 1) };
    this.#failureThreshold = wholeOption("failureThreshold", options.failureThreshold, 1, UINT32_MAX);
  }

  get failureThreshold(): number {
    return this.#failureThreshold;
  }

  /** How many peers have health. */
  get trackedPeers(): number {
    return this.#health.size;
  }

  /** Policy alone, in both directions' terms; health and cooldown do not matter inbound. */
  checkInbound(peer: K): PolicyDecision {
    return this.policy.check(peer); // G1
  }

  checkOutbound(peer: K, backoff: BackoffTable<K>, now: number): OutboundDecision {
    const policy = this.checkInbound(peer);
    if (!policy.allow) return policy; // G1
    return backoff.cooldown(peer, now) ?? ALLOW;
  }

  /** For callers that ask about this peer again and again. */
  peer(peer: K, backoff: BackoffTable<K>): PeerGate<K> {
    return new PeerGate(peer, this, backoff);
  }

  /** For good. Throws FULL at the policy's bound. */
  block(peer: K): void {
    if (this.policy.add({ ...PLAIN, kind: "deny", what: peer }) === "full") throw new RuntimeError("FULL", { table: "policy" });
  }

  unblock(peer: K): void {
    this.policy.remove("deny", { on: "peer", what: peer });
  }

  /** Admits only these peers; without a list, everybody. Throws FULL at the policy's bound. */
  setAllowlist(peers: Iterable<K> | undefined): void {
    const entries = peers && Array.from(peers, (peer): PolicyEntry => ({ ...PLAIN, kind: "allow", what: peer }));
    if (this.policy.allowOnly(entries) === "full") throw new RuntimeError("FULL", { table: "policy" });
  }

  /** Marks nobody down until that peer's next failure. */
  setFailureThreshold(threshold: number): void {
    this.#failureThreshold = wholeOption("failureThreshold", threshold, 1, UINT32_MAX);
  }

  /** Answers `went-down` for the failure that makes the peer down; later ones count on and say nothing. */
  recordFailure(peer: K, now: number): HealthTransition {
    assert(isQuantity(now), "an instant is a quantity");
    const health = this.#healthOf(peer);
    const repeated = health.consecutiveFailures > 0 && health.lastEvent === now;
    if (!(repeated && this.#options.oneStepPerInstant)) {
      health.consecutiveFailures = Math.min(health.consecutiveFailures + 1, UINT32_MAX);
    }
    health.lastEvent = now;
    if (health.down || health.consecutiveFailures < this.#failureThreshold) return "none";
    health.down = true; // G3
    return "went-down";
  }

  /** Answers `came-up` exactly when the peer was down. */
  recordSuccess(peer: K, now: number): HealthTransition {
    assert(isQuantity(now), "an instant is a quantity");
    const health = this.#healthOf(peer);
    const wasDown = health.down;
    Object.assign(health, { consecutiveFailures: 0, lastEvent: now, down: false }); // G3
    return wasDown ? "came-up" : "none";
  }

  /** A copy; undefined if nothing was ever recorded. */
  peerHealth(peer: K): PeerHealth | undefined {
    const health = this.#health.get(peer);
    return health && { ...health };
  }

  /** Failures before now and after it are not in a row. What was announced stands: a down peer stays down until a success. */
  endStreak(peer: K): void {
    const health = this.#health.get(peer);
    if (health !== undefined) health.consecutiveFailures = 0;
  }

  isDown(peer: K): boolean {
    return this.#health.get(peer)?.down === true;
  }

  /** Takes a peer's health over verbatim. Throws SNAPSHOT_INVALID. */
  restoreHealth(peer: K, health: PeerHealth): void {
    const { consecutiveFailures, lastEvent, down } = readObject("health", health);
    if (typeof down !== "boolean") throw new RuntimeError("SNAPSHOT_INVALID", { part: "health", field: "down" });
    const restored = {
      consecutiveFailures: readQuantity("health", "consecutiveFailures", consecutiveFailures, UINT32_MAX),
      lastEvent: readQuantity("health", "lastEvent", lastEvent),
      down,
    };
    Object.assign(this.#healthOf(peer), restored);
  }

  capturePolicy(): GovernorPolicy<K> {
    const { entries, listed } = this.policy.capture();
    const peers = (kind: PolicyEntry["kind"]): K[] => entries.filter((entry) => entry.kind === kind && entry.on === "peer").map(({ what }) => what as K);
    return { blocklist: peers("deny"), allowlist: listed ? peers("allow") : null, failureThreshold: this.#failureThreshold };
  }

  /** Replaces all that was decided at run time, and leaves health as it is. Throws SNAPSHOT_INVALID. */
  restorePolicy(policy: GovernorPolicy<K>): void {
    const { blocklist, allowlist, failureThreshold } = readObject("policy", policy);
    const entries = (kind: PolicyEntry["kind"], field: string, list: readonly K[]): PolicyEntry[] =>
      readList("policy", field, list).map((peer) => ({ ...PLAIN, kind, what: readText("policy", field, peer) }));
    const read = [...entries("deny", "blocklist", blocklist), ...(allowlist === null ? [] : entries("allow", "allowlist", allowlist))];
    const threshold = readQuantity("policy", "failureThreshold", failureThreshold, UINT32_MAX);
    if (threshold === 0) throw new RuntimeError("SNAPSHOT_INVALID", { part: "policy", field: "failureThreshold" });
    this.policy.restore({ entries: read, listed: allowlist !== null });
    this.#failureThreshold = threshold;
  }

  /** Every peer with health. */
  *[Symbol.iterator](): IterableIterator<[K, PeerHealth]> {
    for (const [peer, health] of this.#health) yield [peer, { ...health }];
  }

  #healthOf(peer: K): Health {
    let health = this.#health.get(peer);
    if (health === undefined) {
      makeRoom(this.#health, this.#options.maxEntries, importance, this.#options.onEvict); // G4
      health = { consecutiveFailures: 0, lastEvent: 0, down: false };
      this.#health.set(peer, health);
    }
    return health;
  }
}

/** A verdict `down` that was announced is worth more than any health of a peer that is up: it has yet to be revoked. */
function importance(health: PeerHealth): number {
  return health.down ? NS_MAX : health.lastEvent;
}
