import {
  ADVICE_SPREAD, backOff, BUDGET_CELLS, BudgetBlend, earn, forgiveFailures, GlobalPrior, HalfOpen, LearnedSite, lengthenAdvice, newBackoff, noteAttempt,
  NumberRows, PROBES_OPEN_AT, PRODUCT_LEARNING, PRODUCT_RETRY_BUDGET, retryAtOf, SITE_CELLS, spreadDelay, takeAdvice, takeToken, tokens,
} from "@holdfast/core/peer";
import type { BackoffSchedule, PolicyDecision, RetryBudgetOptions } from "@holdfast/core/peer";
import { toMs, toNs } from "./clock.ts";
import { AdvisedToWaitError, CoolingDownError, OptionError, PeerBlockedError, PeerError, withoutStack } from "./errors.ts";
import { hasArrived, isFault } from "./outcome.ts";
import type { Outcome, OutcomeKind } from "./outcome.ts";
import { NO_ROW, PeerRecord } from "./peer-record.ts";
import type { InFlight, Site, Trouble } from "./peer-record.ts";
import type { CheckedPeersOptions } from "./peers-options.ts";

/** One attempt that may go out. Ends with exactly one of `settle` and `release`. */
export interface Pass extends InFlight {
  readonly record: PeerRecord;
  readonly epoch: number;
  /** Its place among the probes; 0 for a peer that is open. */
  readonly lease: number;
}

/** Why policy denies a peer. */
export interface Denial {
  readonly reason: Extract<PolicyDecision, { allow: false }>["reason"];
  /** In words. */
  readonly why: string;
  /** For how long yet; undefined = nobody said. */
  readonly retryAfterMs: number | undefined;
}

/** What became of a peer. */
export type TransitionKind = "down" | "up" | "cooling-down" | "advised" | "blocked" | "unblocked";

const BLOCKED: Denial = { reason: "blocklisted", why: "openPeers was told to block it", retryAfterMs: undefined };
const NOT_LISTED: Denial = { reason: "not-allowlisted", why: "openPeers was told to allow others only", retryAfterMs: undefined };
/** A peer's own numbers: its budget of further attempts, and when there was last evidence of up or down (ns, 0 = never). */
const EVIDENCE_AT = BUDGET_CELLS;
const PEER_CELLS = BUDGET_CELLS + 1;
/** From so many on it is rather ourselves. */
const ISOLATED_PEERS = 3;
/** Sites with something learned, for each peer that may be held. */
const SITES_PER_PEER = 4;

/**
 * PeerBook holds every peer: whether it may be asked, how long to wait for it, what to make of what it did. Sans-IO: time
 * and chance come in, answers come out.
 *
 *     open ──failureThreshold faults in a row──▶ cooling down ──time──▶ half open ──64 successes──▶ open
 *                                                     ▲──────────fault───────┘
 *
 * Invariants:
 *   K1. A single failure holds nobody back: a cooldown begins when the peer goes down, or fails while it is half open.
 *   K2. What was sent before a cooldown began lengthens it by nothing.
 *   K3. Every pass gives back what it holds, once: its place among the probes and its count of what is in flight.
 *   K4. At most `peersMax` peers are held that have no attempts under way and are not blocked, as many that are blocked,
 *       `sitesMax` + 1 sites of each, and 4 · `peersMax` sites of which something is learned.
 *   K5. What a caller ended, and what our own machine refused, changes neither health nor cooldown.
 *   K6. What is forgotten takes all of it along: nothing is learned of a record that is no longer held.
 *   K7. Where ISOLATED_PEERS or more went down one after the other and nobody answered in between, it was probably we who were
 *       cut off: the first answer of anybody ends the cooldowns of those.
 */
export class PeerBook {
  readonly records = new Map<string, PeerRecord>();
  readonly #options: CheckedPeersOptions;
  /** The deadline where nothing is learned, in ns. */
  readonly initialNs: number;
  readonly #schedule: BackoffSchedule;
  readonly #leaseNs: number;
  readonly #budget: RetryBudgetOptions;
  readonly #denied: ReadonlySet<string> | undefined;
  readonly #allowed: ReadonlySet<string> | undefined;
  readonly #numbers = new NumberRows(PEER_CELLS);
  readonly #rows = new NumberRows(SITE_CELLS);
  /** Looks at one site after the other; nobody keeps it. */
  readonly #view = new LearnedSite(PRODUCT_LEARNING);
  #viewed = NO_ROW;
  /** Reckons one budget after the other. */
  readonly blend: BudgetBlend;
  /** What the round trips of all sites have in common. */
  prior = new GlobalPrior();
  #leases = 0;
  #epochs = 0;
  #blocked = 0;
  /** Who went down without an answer since anybody answered last. */
  #fallen: PeerRecord[] = [];
  /** When the first block ends, in ns. */
  #blockEndsAt = Infinity;
  /** Told each peer whose state is to be written. */
  onChange: (record: PeerRecord, kind: "soft" | "hard") => void = () => {};
  onTransition: (peer: string, kind: TransitionKind, retryAfterMs: number, reason: string) => void = () => {};
  onRefusal: (refusal: PeerError) => void = () => {};

  constructor(options: CheckedPeersOptions) {
    this.#options = options;
    this.initialNs = toNs(options.deadlineInitialMs);
    this.#leaseNs = toNs(options.probeLeaseMs);
    this.#budget = { ...PRODUCT_RETRY_BUDGET, share: options.retryShare, reserve: options.retryReserve };
    this.#schedule = {
      baseNs: toNs(options.cooldownBaseMs), maxDelayNs: toNs(options.cooldownMaxMs), adviceTotalMaxNs: toNs(options.adviceTotalMaxMs),
      // From half of it up: those who failed together do not come back together, and none at once.
      spread: (delayNs) => spreadDelay(delayNs, Math.floor(delayNs / 2), options.clock.random()),
      lengthen: (adviceNs) => lengthenAdvice(adviceNs, options.clock.random(), ADVICE_SPREAD),
    };
    const budgetFloorNs = toNs(options.deadlineFloorMs);
    this.blend = new BudgetBlend({ ...PRODUCT_LEARNING, budgetFloorNs, budgetCeilingNs: Math.max(budgetFloorNs, toNs(options.deadlineCeilingMs)) });
    this.#denied = options.block.length === 0 ? undefined : new Set(options.block);
    this.#allowed = options.allowOnly && new Set(options.allowOnly);
  }

  record(key: string, now: number): PeerRecord {
    let record = this.records.get(key);
    if (record === undefined) {
      if (this.records.size - this.#blocked >= this.#options.peersMax) this.#makeRoom();
      record = new PeerRecord(key, this.#numbers.take());
      this.records.set(key, record);
    }
    record.use(now);
    return record;
  }

  /** A pass, or why there is none. */
  admit(key: string, siteName: string, now: number): Pass | PeerError {
    const admitted = this.#admit(key, siteName, now);
    if (admitted instanceof PeerError) this.onRefusal(admitted);
    return admitted;
  }

  #admit(key: string, siteName: string, now: number): Pass | PeerError {
    if (now >= this.#blockEndsAt) this.#endBlocks(now);
    const denial = this.denial(key, now);
    if (denial !== undefined) return refusal(PeerBlockedError, key, denial.why, denial.retryAfterMs);
    const record = this.record(key, now);
    const site = record.site(siteName, this.#options.sitesMax);
    const { trouble } = record;
    let lease = 0;
    let epoch = 0;
    if (trouble !== undefined) {
      const refusal = this.#refusal(record, trouble, site, now);
      if (refusal !== undefined) return refusal;
      epoch = trouble.epoch;
      if (trouble.probes !== undefined) {
        lease = ++this.#leases;
        trouble.probes.take(lease, now, this.#leaseNs);
        // A probe carries what was to be sent anyway: it costs a token, and needs none.
        this.takeRetry(record, now);
      }
      if (trouble.backoff !== undefined) noteAttempt(trouble.backoff, now);
    }
    const pass: Pass = { record, site, startedAt: now, epoch, lease, next: undefined, previous: undefined };
    record.enter(pass);
    return pass;
  }

  /** Who denies the peer, if anybody does. Who denies it goes before who admits it. */
  denial(key: string, now: number): Denial | undefined {
    const block = this.#blocked > 0 ? this.records.get(key)?.block : undefined;
    if (block !== undefined && block.until > now) {
      const retryAfterMs = block.until === Infinity ? undefined : toMs(block.until - now);
      const why = `blocked${retryAfterMs === undefined ? "" : ` for ${Math.ceil(retryAfterMs)} ms`}${block.reason === "" ? "" : `: ${block.reason}`}`;
      return { reason: "blocklisted", why, retryAfterMs };
    }
    if (this.#denied?.has(key) === true) return BLOCKED;
    return this.#allowed?.has(key) === false ? NOT_LISTED : undefined;
  }

  /** The instant from which the peer may be tried, as far as cooldown and advice go; 0 = at any time. */
  retryAt(key: string): number {
    const backoff = this.records.get(key)?.trouble?.backoff;
    return backoff === undefined ? 0 : retryAtOf(backoff);
  }

  /** How long this attempt's answer may take, in ns. */
  deadlineNs(site: Site, now: number): number {
    return this.blend.siteBudgetNs(this.prior, this.learned(site), this.initialNs, now);
  }

  /** What is learned of the site, if anything is: to be looked at now. */
  learned({ row }: Site): LearnedSite | undefined {
    if (row === NO_ROW) return undefined;
    // Rows never move: who was looked at last is often looked at next.
    if (row !== this.#viewed) this.#view.over(this.#rows.cells(row), this.#rows.words(row), this.#rows.at(row));
    this.#viewed = row;
    return this.#view;
  }

  /** The same, made if need be: all zeros. */
  learn(record: PeerRecord, site: Site): LearnedSite {
    if (site.row === NO_ROW) {
      if (this.#rows.taken >= SITES_PER_PEER * this.#options.peersMax) this.#makeRoom(record);
      site.row = this.#rows.take();
    }
    return this.learned(site) as LearnedSite;
  }

  /** May a further attempt be made? Takes the token. None goes to a peer that is down. */
  takeRetry({ numbers }: PeerRecord, now: number): boolean {
    return takeToken(this.#numbers.cells(numbers), this.#numbers.at(numbers), this.#budget, now);
  }

  /** Further attempts that are there, in parts. */
  retryTokens(record: PeerRecord | undefined, now: number): number {
    return record === undefined ? this.#budget.reserve : tokens(this.#numbers.cells(record.numbers), this.#numbers.at(record.numbers), this.#budget, now);
  }

  /** When there was last evidence of up or down, in ns; 0 = never. Takes over what is given. */
  evidenceAt({ numbers }: PeerRecord, at?: number): number {
    const cells = this.#numbers.cells(numbers);
    const place = this.#numbers.at(numbers) + EVIDENCE_AT;
    return at === undefined ? (cells[place] as number) : (cells[place] = at);
  }

  /** The attempt's outcome; `roundTripNs`: how long the answer took, if it was one. */
  settle(pass: Pass, outcome: Outcome, roundTripNs: number | undefined, now: number): void {
    if (roundTripNs !== undefined) this.#observe(pass, roundTripNs, now);
    this.release(pass);
    this.judge(pass, outcome, now);
  }

  /** What is learned of a peer after its pass ended: of a body that followed an answer. */
  judge({ record, epoch }: Pass, outcome: Outcome, now: number): void {
    if (record.numbers === NO_ROW) return; // K6
    const { kind, retryAfterMs } = outcome;
    if (this.#fallen.length > 0 && hasArrived(kind)) this.#rejoin(); // K7
    if (typeof retryAfterMs === "number") this.#advise(record, retryAfterMs, now);
    if (isFault(kind)) this.#faulted(record, epoch, kind, now);
    else if (kind === "overload") this.#overloaded(record, epoch, typeof retryAfterMs === "number", now);
    else if (kind === "works" && outcome.isProof !== false) this.#works(record, now);
    // K5
  }

  /** The body of an answer broke off. From now on only whole answers prove that the peer works. */
  bodyBroke(pass: Pass, now: number): void {
    const { record } = pass;
    if (record.numbers === NO_ROW) return; // K6
    record.troubled().bodiesBreak = true;
    this.judge(pass, { kind: "body-broken" }, now);
  }

  bodyEnded(pass: Pass, now: number): void {
    const { trouble } = pass.record;
    if (trouble !== undefined) trouble.bodiesBreak = false;
    this.judge(pass, { kind: "works" }, now);
  }

  /** The attempt was given up unanswered after its learned deadline. */
  timedOut(pass: Pass, now: number): void {
    this.#siteOf(pass)?.observeTimeout(pass.startedAt, now);
    this.censored(pass, now);
  }

  /** The attempt was given up unanswered, for whatever reason. */
  censored(pass: Pass, now: number): void {
    this.#siteOf(pass)?.observeCensored(Math.max(0, now - pass.startedAt));
  }

  /** What had been given up answered all the same: the deadline was too short. */
  answeredLate(pass: Pass, now: number): void {
    this.#siteOf(pass)?.observeLateReply();
    this.#observe(pass, now - pass.startedAt, now);
  }

  /** Gives back what the pass holds; nothing is known of its outcome. */
  release(pass: Pass): void {
    const { record, lease } = pass;
    record.leave(pass);
    if (lease !== 0) record.trouble?.probes?.release(lease);
  }

  /** Denies a peer until then, in ns; Infinity = for good. Throws OPTION_INVALID where as many are blocked as may be. */
  block(key: string, until: number, reason: string, now: number): void {
    const record = this.record(key, now);
    if (!this.setBlock(record, { until, reason, saidMs: this.#saidMs(record) })) throw new OptionError("block", "as many peers are blocked as may be held (peersMax)");
    this.onChange(record, "hard");
    this.onTransition(key, "blocked", until === Infinity ? 0 : toMs(until - now), reason);
  }

  unblock(key: string, now: number): boolean {
    const record = this.records.get(key);
    if (record === undefined || !record.block?.until) return false;
    this.#unblock(record, "");
    record.use(now);
    return true;
  }

  /** False if too many are blocked already. */
  setBlock(record: PeerRecord, block: PeerRecord["block"]): boolean {
    const wasBlocked = record.block?.until ? 1 : 0;
    const isBlocked = block?.until ? 1 : 0;
    if (isBlocked > wasBlocked && this.#blocked >= this.#options.peersMax) return false; // K4
    this.#blocked += isBlocked - wasBlocked;
    record.block = block;
    if (isBlocked === 1) {
      this.#blockEndsAt = Math.min(this.#blockEndsAt, block?.until as number);
      // Whatever tried it is no longer waited for.
      if (record.trouble !== undefined) record.trouble.probes = undefined;
      this.reconsider(record);
    }
    return true;
  }

  /** Lets the peer be tried at once. Its advice holds, and so does what its failures have taught. */
  endCooldown(record: PeerRecord): void {
    const backoff = record.trouble?.backoff;
    if (backoff === undefined || backoff.nextRetry === 0) return;
    backoff.nextRetry = 0;
    this.onChange(record, "hard");
  }

  /** Is anything still the matter with the peer? */
  reconsider(record: PeerRecord): void {
    if (record.trouble?.isOver === true) record.trouble = undefined;
  }

  /** Why the peer may not be asked now. */
  #refusal({ key }: PeerRecord, { backoff, probes }: Trouble, site: Site, now: number): PeerError | undefined {
    if (backoff !== undefined) {
      const retryAt = retryAtOf(backoff);
      const ms = toMs(retryAt - now);
      if (ms > 0 && backoff.advisedUntil >= retryAt) return refusal(AdvisedToWaitError, key, `asked to be left alone for ${Math.ceil(ms)} ms`, ms);
      if (ms > 0) return refusal(CoolingDownError, key, `failed, ${backoff.attempts} times since it worked; left alone for ${Math.ceil(ms)} ms`, ms);
    }
    if (probes === undefined) return undefined;
    probes.expire(now);
    const freeAt = probes.freeAt(now);
    // A place is free when a probe is answered, and no later than when its lease ends.
    return freeAt <= now ? undefined : refusal(CoolingDownError, key, "failed, and is being probed", toMs(Math.min(freeAt - now, this.deadlineNs(site, now))));
  }

  #observe(pass: Pass, roundTripNs: number, now: number): void {
    const site = this.#siteOf(pass);
    if (site === undefined) return;
    const elapsedNs = Math.max(1, Math.floor(roundTripNs));
    site.observe(elapsedNs, now);
    this.prior.observe(elapsedNs, now, PRODUCT_LEARNING);
    this.onChange(pass.record, "soft");
  }

  /** K6. */
  #siteOf({ record, site }: Pass): LearnedSite | undefined {
    return record.numbers === NO_ROW ? undefined : this.learn(record, site);
  }

  #works(record: PeerRecord, now: number): void {
    const { numbers, trouble } = record;
    const cells = this.#numbers.cells(numbers);
    const at = this.#numbers.at(numbers);
    earn(cells, at, this.#budget, now);
    cells[at + EVIDENCE_AT] = now;
    if (trouble === undefined) return;
    const wasDown = trouble.isDown;
    trouble.failures = trouble.overloads = 0;
    trouble.isDown = false;
    if (trouble.backoff !== undefined && forgiveFailures(trouble.backoff, now)) trouble.backoff = undefined;
    if (trouble.probes?.succeed(PROBES_OPEN_AT) === true) trouble.probes = undefined;
    this.reconsider(record);
    this.onChange(record, "hard");
    if (wasDown) this.onTransition(record.key, "up", 0, "answered");
  }

  #faulted(record: PeerRecord, epoch: number, kind: OutcomeKind, now: number): void {
    const trouble = record.troubled();
    if (epoch < trouble.epoch && trouble.isDown) return; // K2
    this.evidenceAt(record, now);
    const goesDown = ++trouble.failures >= this.#options.failureThreshold && !trouble.isDown;
    if (goesDown) {
      trouble.isDown = true;
      if (!hasArrived(kind) && this.#fallen.length < this.#options.peersMax) this.#fallen.push(record);
    }
    if (trouble.isDown || trouble.probes !== undefined) this.#coolDown(record, trouble, goesDown ? "down" : "cooling-down", kind, now); // K1
    this.onChange(record, "hard");
  }

  #rejoin(): void {
    if (this.#fallen.length >= ISOLATED_PEERS) for (const record of this.#fallen) this.endCooldown(record);
    this.#fallen = [];
  }

  /** It said so, but not for how long: it is asked no less than a peer that fails. Its health does not move. */
  #overloaded(record: PeerRecord, epoch: number, isAdvised: boolean, now: number): void {
    this.evidenceAt(record, now);
    if (isAdvised || epoch < (record.trouble?.epoch ?? 0)) return; // K2
    const trouble = record.troubled();
    if (++trouble.overloads < this.#options.failureThreshold && trouble.probes === undefined) return;
    this.#coolDown(record, trouble, "cooling-down", "overload", now);
    this.onChange(record, "hard");
  }

  #coolDown({ key }: PeerRecord, trouble: Trouble, kind: "down" | "cooling-down", reason: string, now: number): void {
    const { probesMax } = this.#options;
    const backoff = (trouble.backoff ??= newBackoff());
    backOff(backoff, this.#schedule, now);
    (trouble.probes ??= new HalfOpen(probesMax)).fail(probesMax);
    trouble.epoch = ++this.#epochs;
    this.onTransition(key, kind, toMs(Math.max(0, retryAtOf(backoff) - now)), reason);
  }

  #advise(record: PeerRecord, adviceMs: number, now: number): void {
    if (!(adviceMs > 0)) return;
    const backoff = (record.troubled().backoff ??= newBackoff());
    const before = retryAtOf(backoff);
    takeAdvice(backoff, this.#schedule, now, toNs(adviceMs));
    const until = retryAtOf(backoff);
    if (until <= before) return;
    this.onChange(record, "hard");
    this.onTransition(record.key, "advised", toMs(until - now), "advice");
  }

  /** Later than the last word, also if the wall clock was set back since. */
  #saidMs({ block }: PeerRecord): number {
    return Math.max(Math.round(this.#options.clock.wallMs()), (block?.saidMs ?? 0) + 1);
  }

  /** The blocks whose time is over. */
  #endBlocks(now: number): void {
    this.#blockEndsAt = Infinity;
    for (const record of this.records.values()) {
      const until = record.block?.until ?? 0;
      if (until > now) this.#blockEndsAt = Math.min(this.#blockEndsAt, until);
      else if (until > 0) this.#unblock(record, "its time is over");
    }
  }

  #unblock(record: PeerRecord, reason: string): void {
    this.setBlock(record, { until: 0, reason: "", saidMs: this.#saidMs(record) });
    this.onChange(record, "hard");
    this.onTransition(record.key, "unblocked", 0, reason);
  }

  /** K4. A sixteenth at a time, so that a flood of new keys costs one look at all of them a batch. */
  #makeRoom(kept?: PeerRecord): void {
    const idle = [...this.records.values()].filter((record) => record.newest === undefined && !record.block?.until && record !== kept);
    idle.sort((a, b) => Number(a.trouble !== undefined) - Number(b.trouble !== undefined) || a.usedAt - b.usedAt);
    for (const record of idle.slice(0, Math.max(1, Math.floor(this.#options.peersMax / 16)))) this.#forget(record);
  }

  /** K6. */
  #forget(record: PeerRecord): void {
    for (const site of record.sites) {
      if (site.row !== NO_ROW) this.#rows.giveBack(site.row);
      site.row = NO_ROW;
    }
    this.#numbers.giveBack(record.numbers);
    record.numbers = NO_ROW;
    this.records.delete(record.key);
  }
}

type Refusal = new (peer: string, message: string, details: { readonly retryAfterMs: number | undefined }) => PeerError;

function refusal(kind: Refusal, key: string, message: string, retryAfterMs?: number): PeerError {
  return withoutStack(() => new kind(key, message, { retryAfterMs }));
}
