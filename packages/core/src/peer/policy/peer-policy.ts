import { assert } from "../../base/assert.ts";
import { RuntimeError } from "../../base/errors.ts";
import type { PeerId } from "../../base/ids.ts";
import { parsePeerId } from "../../base/peer-id.ts";
import type { Due } from "../../base/time.ts";
import { utf8Length } from "../../base/utf8.ts";
import { addressParts, addressRangeText, isInRange, parseAddressRange } from "./address-range.ts";
import type { AddressParts, AddressRange } from "./address-range.ts";
import { MAX_ENTRIES } from "../make-room.ts";
import { isQuantity } from "../quantity.ts";
import { readList, readObject, readQuantity, readText, wholeOption } from "../read-quantity.ts";

/** Decision: as many entries on ids as there may be peers; fewer on addresses, for each is looked at when a link opens. */
export const POLICY_DEFAULTS = { maxPeers: MAX_ENTRIES, maxRules: 1024 } as const satisfies PolicyOptions;
/** UTF-8 bytes of a reason. */
export const POLICY_REASON_BYTES_MAX = 256;

export type PolicyKind = "deny" | "allow";
/** Who made an entry: the configuration, a person by way of a tool, or the program that runs the node. */
export type PolicySource = "config" | "operator" | "api";

/** Whom an entry is about: a peer by its id, a range of addresses (CIDR), or addresses with a protocol (tcp, unix, ws …). */
export interface PolicyScope {
  readonly on: "peer" | "range" | "protocol";
  readonly what: string;
}

/** One thing that somebody decided. Plain data; times are engine time. */
export interface PolicyEntry extends PolicyScope {
  readonly kind: PolicyKind;
  /** From this instant on it does not apply any more. */
  readonly until: Due;
  readonly by: PolicySource;
  /** In the words of whoever made it; may be empty. */
  readonly reason: string;
  readonly addedAt: number;
}

export type PolicyDecision = Readonly<{ allow: true } | { allow: false; reason: "blocklisted" | "not-allowlisted" }>;

/** What was added at run time. Plain data; without a list everybody is admitted who is not denied. */
export interface PolicyData {
  readonly entries: readonly PolicyEntry[];
  /** There is an allowlist; without entries it admits nobody. */
  readonly listed: boolean;
}

/** What decides on a peer, for people. */
export interface PolicyExplanation {
  readonly decision: PolicyDecision;
  /** The entry that decides; null where none does: everybody is admitted, or the peer is on no allowlist. */
  readonly entry: PolicyEntry | null;
  /** The address by which it decides; null for the id. */
  readonly address: string | null;
  /** Every entry that is about the peer or one of its addresses. */
  readonly entries: readonly PolicyEntry[];
  /** Whose allowlists a peer must pass. */
  readonly allowlists: readonly ("config" | "operator")[];
}

interface Rule {
  readonly entry: PolicyEntry;
  readonly range: AddressRange | undefined;
}

/** Entries of one kind. Ids are apart: they are the many, and looked up by themselves. */
interface Entries {
  readonly peers: Map<string, PolicyEntry>;
  /** By scope, as text. */
  readonly rules: Map<string, Rule>;
}

/** The entries of one source. */
interface Layer {
  readonly deny: Entries;
  /** Undefined = open. */
  allow: Entries | undefined;
}

export interface PolicyOptions {
  /** Entries on ids that may be added at run time. Default 16384. */
  readonly maxPeers: number;
  /** Entries on ranges and protocols that may be added at run time. Default 1024. */
  readonly maxRules: number;
}

export const ALLOW: PolicyDecision = Object.freeze({ allow: true });
const BLOCKLISTED: PolicyDecision = Object.freeze({ allow: false, reason: "blocklisted" });
const NOT_ALLOWLISTED: PolicyDecision = Object.freeze({ allow: false, reason: "not-allowlisted" });

/**
 * Reads whom an entry is to be about: `/NAME` is a protocol, another text with a slash or a colon a range, everything else
 * a peer's id. Throws OPTION_INVALID for a malformed range, PEER_ID_INVALID.
 */
export function parsePolicyScope(text: string): PolicyScope {
  const [, protocol] = /^\/([a-z][a-z0-9-]{0,31})$/.exec(text) ?? [];
  if (protocol !== undefined) return { on: "protocol", what: protocol };
  if (/[/:]/.test(text)) return { on: "range", what: addressRangeText(parseAddressRange(text)) };
  return { on: "peer", what: parsePeerId(text) };
}

/** As `parsePolicyScope` reads it. */
export function policyScopeText({ on, what }: PolicyScope): string {
  return on === "protocol" ? `/${what}` : what;
}

/** Whether a reason can be kept. */
export function isPolicyReason(reason: string): boolean {
  const bytes = utf8Length(reason);
  return bytes >= 0 && bytes <= POLICY_REASON_BYTES_MAX;
}

/**
 * PeerPolicy holds what people decided about peers, from two sources: the configuration, and what was added at run time.
 *
 * A peer's id is looked up in each list that there is. Its addresses are looked at when it opens a link, when it is about to be
 * dialled and when policy changes: `judge` remembers the verdict by id, so that `check` is lookups and nothing else. Time is
 * looked at in `expire` alone: whoever owns the policy calls it at `nextExpiry`.
 *
 * Invariants:
 *   P1. Deny wins: a matching deny entry of either source denies, whatever else matches.
 *   P2. A peer must pass the allowlist of each source that has one: by its id, or by the address in question.
 *   P3. A list outlives its entries: one whose last entry expired admits nobody.
 *   P4. At most `maxPeers` entries on ids and `maxRules` others were added at run time.
 *   P5. `nextExpiry` is the least `until` of all entries.
 */
export class PeerPolicy<K extends string = PeerId> {
  readonly #options: PolicyOptions;
  readonly #config: Layer = { deny: noEntries(), allow: undefined };
  readonly #runtime: Layer = { deny: noEntries(), allow: undefined };
  readonly #layers: readonly Layer[] = [this.#config, this.#runtime];
  /** Verdicts on peers by their addresses; undefined while no entry is about addresses. */
  #judged: Map<K, PolicyDecision> | undefined;
  /** Has any source an allowlist? */
  #hasLists = false;
  /** Whom every allowlist names and no deny entry; undefined until somebody asks after a change. One lookup in place of three. */
  #admitted: { has(peer: string): boolean } | undefined;
  #nextExpiry: Due = "never";
  #version = 0;

  constructor(given: Partial<PolicyOptions> = {}) {
    const { maxPeers, maxRules } = { ...POLICY_DEFAULTS, ...given };
    this.#options = { maxPeers: wholeOption("maxPeers", maxPeers, 1), maxRules: wholeOption("maxRules", maxRules, 1) };
  }

  /** Changes with everything that may change what `check` answers of anybody. */
  get version(): number {
    return this.#version;
  }

  /** When `expire` has something to do. */
  get nextExpiry(): Due {
    return this.#nextExpiry;
  }

  /** Is any entry about addresses? Without one nobody needs to be judged. */
  get hasRules(): boolean {
    return this.#judged !== undefined;
  }

  /** The id, and the verdict remembered of the peer's addresses. */
  check(peer: K): PolicyDecision {
    if (this.#hasLists && this.#judged === undefined) {
      if ((this.#admitted ??= this.#findAdmitted()).has(peer)) return ALLOW;
      return this.#isDenied(peer) ? BLOCKLISTED : NOT_ALLOWLISTED;
    }
    if (this.#isDenied(peer)) return BLOCKLISTED; // P1
    const judged = this.#judged?.get(peer);
    if (judged !== undefined) return judged;
    return !this.#hasLists || this.#isListed(peer) ? ALLOW : NOT_ALLOWLISTED;
  }

  /** Whether the peer may be spoken with at this address; an address that nobody knows matches no entry. */
  checkAddress(peer: K, address: string | undefined): PolicyDecision {
    if (this.#isDenied(peer)) return BLOCKLISTED;
    if (this.#judged === undefined) return this.check(peer);
    const parts = address === undefined ? undefined : addressParts(address);
    for (const { deny } of this.#layers) if (findRule(deny, parts) !== undefined) return BLOCKLISTED; // P1
    for (const { allow } of this.#layers) {
      if (allow !== undefined && !allow.peers.has(peer) && findRule(allow, parts) === undefined) return NOT_ALLOWLISTED; // P2
    }
    return ALLOW;
  }

  /** Whether nobody may be spoken with at this address, whoever it is: so that a stranger can be turned away unheard. */
  deniesAddress(address: string): boolean {
    if (this.#judged === undefined) return false;
    const parts = addressParts(address);
    return this.#layers.some(({ deny }) => findRule(deny, parts) !== undefined);
  }

  /**
   * Remembers how the peer is to be judged from now on, by all addresses at which it may be spoken with: one that is allowed
   * is enough. Without any, by its id alone.
   */
  judge(peer: K, addresses: readonly (string | undefined)[]): PolicyDecision {
    if (this.#judged === undefined) return this.check(peer);
    let verdict: PolicyDecision | undefined;
    for (const address of addresses) {
      const one = this.checkAddress(peer, address);
      if (verdict === undefined || one.allow) verdict = one;
      if (one.allow) break;
    }
    this.#version++;
    if (verdict === undefined) this.#judged.delete(peer);
    else this.#judged.set(peer, verdict);
    return this.check(peer);
  }

  /** Forgets the verdict on a peer that is known no more. */
  forget(peer: K): void {
    if (this.#judged?.delete(peer)) this.#version++;
  }

  // ── changes ──

  /** Adds an entry, or puts it in place of the one of the same source, kind and scope. `full`: P4. */
  add(entry: PolicyEntry): "added" | "full" {
    assert(entry.until === "never" || isQuantity(entry.until), "an expiry is an instant");
    const layer = entry.by === "config" ? this.#config : this.#runtime;
    const known = this.#find(layer, entry.kind, entry);
    if (known === undefined && layer === this.#runtime) {
      const { peers, rules } = this.#counts();
      if (entry.on === "peer" ? peers >= this.#options.maxPeers : rules >= this.#options.maxRules) return "full";
    }
    put(entriesOf(layer, entry.kind), entry);
    // An id that is denied is denied whatever was remembered: only other entries can change a verdict by address.
    if (entry.on !== "peer" || entry.kind !== "deny") this.#forgetVerdicts();
    else {
      this.#admitted = undefined;
      this.#version++;
    }
    if (known === undefined || known.until === "never") this.#nextExpiry = sooner(this.#nextExpiry, entry.until); // P5
    else this.#findExpiry();
    return "added";
  }

  /** Takes back what was added at run time. True if it was there. */
  remove(kind: PolicyKind, scope: PolicyScope): boolean {
    const known = this.#find(this.#runtime, kind, scope);
    const entries = kind === "deny" ? this.#runtime.deny : this.#runtime.allow;
    if (known === undefined || entries === undefined) return false;
    drop(entries, known);
    this.#forgetVerdicts();
    if (known.until !== "never") this.#findExpiry();
    return true;
  }

  /** Replaces the allowlist of the run time; undefined opens it. `full`: P4, and nothing has changed. */
  allowOnly(entries: readonly PolicyEntry[] | undefined): "set" | "full" {
    const allow = entries && noEntries();
    for (const entry of entries ?? []) put(allow as Entries, { ...entry, kind: "allow" });
    const { deny } = this.#runtime;
    const peers = deny.peers.size + (allow?.peers.size ?? 0);
    const rules = deny.rules.size + (allow?.rules.size ?? 0);
    if (peers > this.#options.maxPeers || rules > this.#options.maxRules) return "full";
    this.#runtime.allow = allow;
    this.#forgetVerdicts();
    this.#findExpiry();
    return "set";
  }

  /** Replaces what the configuration says. */
  configure(entries: readonly PolicyEntry[], listed: boolean): void {
    this.#replace(this.#config, entries, listed);
  }

  /** Drops the entries that do not apply any more at `now`, and returns them. */
  expire(now: number): readonly PolicyEntry[] {
    if (this.#nextExpiry === "never" || this.#nextExpiry > now) return [];
    const expired = [...this.entries()].filter(({ until }) => until !== "never" && until <= now);
    for (const entry of expired) {
      const layer = entry.by === "config" ? this.#config : this.#runtime;
      drop(entriesOf(layer, entry.kind), entry); // P3
    }
    this.#forgetVerdicts();
    this.#findExpiry();
    return expired;
  }

  // ── for people and stores ──

  /** Everything that applies, the configuration's entries first. */
  *entries(): IterableIterator<PolicyEntry> {
    for (const { deny, allow } of this.#layers) {
      for (const { peers, rules } of allow === undefined ? [deny] : [deny, allow]) {
        yield* peers.values();
        for (const { entry } of rules.values()) yield entry;
      }
    }
  }

  get allowlists(): ("config" | "operator")[] {
    const lists: ("config" | "operator")[] = [];
    if (this.#config.allow !== undefined) lists.push("config");
    if (this.#runtime.allow !== undefined) lists.push("operator");
    return lists;
  }

  /** Why the peer is denied or not: by its id, then by its addresses as `judge` looks at them. Scans; not for hot paths. */
  explain(peer: K, addresses: readonly (string | undefined)[]): PolicyExplanation {
    const decision = this.check(peer);
    const named = this.#matching(peer, undefined);
    const at = addresses.filter((address) => address !== undefined).map((address) => ({ address, found: this.#matching(peer, address) }));
    const decides = ({ kind }: PolicyEntry): boolean => (kind === "deny") === !decision.allow;
    const byId = named.find(decides);
    const byAddress = byId === undefined ? at.find(({ found }) => found.some(decides)) : undefined;
    const entry = byId ?? byAddress?.found.find(decides);
    const isListed = decision.allow || decision.reason === "blocklisted";
    return {
      decision,
      entry: isListed ? (entry ?? null) : null,
      address: isListed ? (byAddress?.address ?? null) : null,
      entries: [...new Set([...named, ...at.flatMap(({ found }) => found)])],
      allowlists: this.allowlists,
    };
  }

  /** What was added at run time, in an order that does not depend on history. */
  capture(): PolicyData {
    const entries = [...this.entries()].filter(({ by }) => by !== "config").sort((a, b) => (orderOf(a) < orderOf(b) ? -1 : 1));
    return { entries, listed: this.#runtime.allow !== undefined };
  }

  /** Replaces what was added at run time. Throws SNAPSHOT_INVALID, and has then changed nothing. */
  restore(data: PolicyData): void {
    const { entries, listed } = readObject("policy", data);
    const read = readList("policy", "entries", entries).map(readEntry);
    if (typeof listed !== "boolean" || (!listed && read.some(({ kind }) => kind === "allow"))) {
      throw new RuntimeError("SNAPSHOT_INVALID", { part: "policy", field: "listed" });
    }
    this.#replace(this.#runtime, read, listed);
  }

  // ── inside ──

  #isDenied(peer: string): boolean {
    if (this.#runtime.deny.peers.has(peer)) return true;
    const { peers } = this.#config.deny;
    return peers.size > 0 && peers.has(peer);
  }

  /** P2, by the id. */
  #isListed(peer: string): boolean {
    return this.#layers.every(({ allow }) => allow === undefined || allow.peers.has(peer));
  }

  /** The list itself, if it names nobody else. */
  #findAdmitted(): { has(peer: string): boolean } {
    const { peers } = this.#runtime.allow ?? this.#config.allow ?? noEntries();
    const admitted = [...peers.keys()].filter((peer) => this.#isListed(peer) && !this.#isDenied(peer));
    return admitted.length === peers.size ? peers : new Set(admitted);
  }

  #find(layer: Layer, kind: PolicyKind, { on, what }: PolicyScope): PolicyEntry | undefined {
    const entries = kind === "deny" ? layer.deny : layer.allow;
    return on === "peer" ? entries?.peers.get(what) : entries?.rules.get(keyOf(on, what))?.entry;
  }

  #counts(): { readonly peers: number; readonly rules: number } {
    const { deny, allow } = this.#runtime;
    return { peers: deny.peers.size + (allow?.peers.size ?? 0), rules: deny.rules.size + (allow?.rules.size ?? 0) };
  }

  #replace(layer: Layer, entries: readonly PolicyEntry[], listed: boolean): void {
    layer.deny.peers.clear();
    layer.deny.rules.clear();
    layer.allow = listed ? noEntries() : undefined;
    for (const entry of entries) put(entriesOf(layer, entry.kind), entry);
    this.#forgetVerdicts();
    this.#findExpiry();
  }

  /** Verdicts by address are of the old policy: everybody is to be judged again. */
  #forgetVerdicts(): void {
    this.#version++;
    const hasRules = this.#layers.some(({ deny, allow }) => deny.rules.size > 0 || (allow !== undefined && allow.rules.size > 0));
    this.#judged = hasRules ? new Map() : undefined;
    this.#hasLists = this.#layers.some(({ allow }) => allow !== undefined);
    this.#admitted = undefined;
  }

  #findExpiry(): void {
    this.#nextExpiry = "never";
    for (const { until } of this.entries()) this.#nextExpiry = sooner(this.#nextExpiry, until); // P5
  }

  /** The entries about the peer's id, or about one of its addresses. */
  #matching(peer: K, address: string | undefined): PolicyEntry[] {
    const parts = address === undefined ? undefined : addressParts(address);
    const found: PolicyEntry[] = [];
    for (const { deny, allow } of this.#layers) {
      for (const entries of allow === undefined ? [deny] : [deny, allow]) {
        const entry = parts === undefined ? entries.peers.get(peer) : findRule(entries, parts);
        if (entry !== undefined) found.push(entry);
      }
    }
    return found;
  }
}

function noEntries(): Entries {
  return { peers: new Map(), rules: new Map() };
}

/** An allow entry where there is no allowlist begins one. */
function entriesOf(layer: Layer, kind: PolicyKind): Entries {
  return kind === "deny" ? layer.deny : (layer.allow ??= noEntries());
}

function put(entries: Entries, entry: PolicyEntry): void {
  const { kind, on, what, until, by, reason, addedAt } = entry;
  // Written out: what is spread takes half as much again, and there may be one for each peer.
  if (on === "peer") entries.peers.set(what, { kind, on, what, until, by, reason, addedAt });
  else entries.rules.set(keyOf(on, what), { entry, range: on === "range" ? parseAddressRange(what) : undefined });
}

function drop(entries: Entries, { on, what }: PolicyScope): void {
  if (on === "peer") entries.peers.delete(what);
  else entries.rules.delete(keyOf(on, what));
}

/** The first entry about such an address. */
function findRule({ rules }: Entries, parts: AddressParts | undefined): PolicyEntry | undefined {
  if (parts === undefined) return undefined;
  for (const { entry, range } of rules.values()) {
    const isMeant = entry.on === "protocol" ? parts.protocols.includes(entry.what) : range !== undefined && parts.ips.some((ip) => isInRange(ip, range));
    if (isMeant) return entry;
  }
  return undefined;
}

function keyOf(on: PolicyScope["on"], what: string): string {
  return `${on} ${what}`;
}

function orderOf({ kind, on, what }: PolicyEntry): string {
  return `${kind} ${keyOf(on, what)}`;
}

function sooner(a: Due, b: Due): Due {
  return a === "never" || (b !== "never" && b < a) ? b : a;
}

function readEntry(entry: PolicyEntry): PolicyEntry {
  const { kind, on, what, until, by, reason, addedAt } = readObject("policy", entry);
  const read: PolicyEntry = {
    kind: readText("policy", "kind", kind, ["deny", "allow"]),
    on: readText("policy", "on", on, ["peer", "range", "protocol"]),
    what: readText("policy", "what", what),
    until: until === "never" ? until : readQuantity("policy", "until", until),
    by: readText("policy", "by", by, ["operator", "api"]),
    reason: readText("policy", "reason", reason),
    addedAt: readQuantity("policy", "addedAt", addedAt),
  };
  if (read.on !== "range") return read;
  try {
    parseAddressRange(read.what);
  } catch (cause) {
    throw new RuntimeError("SNAPSHOT_INVALID", { part: "policy", field: "what" }, { cause });
  }
  return read;
}
