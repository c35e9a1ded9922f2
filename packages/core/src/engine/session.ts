import { assert } from "../base/assert.ts";
import { encodeValue } from "../base/value-codec.ts";
import type { Lineage, PeerId } from "../base/ids.ts";
import type { Due } from "../base/time.ts";
import { EXECUTIONS_MAX, OUTBOX_BYTES_MAX, WINDOW_MAX } from "../wire/limits.ts";
import type { Hello, ReplyBody, RequestBody, CancelBody, SealedBody } from "../wire/message.ts";
import { decodeSealed, sealBody } from "../wire/message-codec.ts";
import { ROW } from "./rows.ts";
import { RowReader } from "./row-reader.ts";
import type { Journal, Row } from "./journal.ts";

type Unnumbered<Body> = Body extends SealedBody ? Omit<Body, "sequence"> : never;
/** A body that has no place in the stream yet. */
export type UnnumberedBody = Unnumbered<RequestBody | ReplyBody | CancelBody>;

/** An envelope that the peer has not acknowledged. Resent verbatim, in order, until it is. */
export class OutboxEntry implements Row {
  readonly key: string;
  removed = false;
  persisted = false;
  readonly sequence: number;
  readonly type: SealedBody["type"];
  readonly request: number;
  readonly attempt: number;
  readonly sealed: Uint8Array;
  readonly deadlineAt: Due;
  /** Awake time of the first transmission; 0 = not yet. Soft. */
  sentAt = 0;
  redelivered = false;

  constructor(peer: PeerId, epoch: number, body: Pick<SealedBody, "sequence" | "type" | "request" | "attempt">, sealed: Uint8Array, deadlineAt: Due) {
    this.key = `${ROW.outbox}${peer}/${epoch}/${body.sequence}`;
    this.sequence = body.sequence;
    this.type = body.type;
    this.request = body.request;
    this.attempt = body.attempt;
    this.sealed = sealed;
    this.deadlineAt = deadlineAt;
  }

  encode(): Uint8Array {
    return encodeValue([this.deadlineAt === "never" ? null : this.deadlineAt, this.sealed]);
  }
}

/** What a Hello told us about where the two streams stand. */
export type HelloVerdict =
  | { kind: "agreed"; acknowledged: readonly OutboxEntry[] }
  /** Our stream was ended by the peer, or its lineage changed: what was unacknowledged has an unknown outcome. */
  | { kind: "restarted"; lost: readonly OutboxEntry[]; lineageChanged: boolean; acknowledged: readonly OutboxEntry[] }
  /** The peer's own stream has not caught up with what we told it; its next Hello will. */
  | { kind: "behind" }
  /** A newer process of the peer has spoken to us: from this one we take nothing, not even its word about its memory. */
  | { kind: "overtaken" }
  | { kind: "history-lost"; who: "us" | "peer"; reason: string };

/**
 * The durable half of a connection to one peer, both directions. A link is an ordered stream, so the receiver accepts
 * exactly mark + 1 and acknowledges cumulatively; deduplication is by sequence, without any limit in time.
 *
 * Invariants:
 *   S1. Sequences of an epoch are 1, 2, 3, … without gaps; `nextSequence` never goes back.
 *   S2. The outbox holds exactly the unacknowledged sequences, in order.
 *   S3. `mark` only grows within (lineage, epoch), by one at a time.
 *   S4. An epoch of ours that was ended never sends again.
 *   S5. Within the peer's lineage, `peerIncarnation` only grows, and nothing is taken from a lower one.
 */
export class Session implements Row {
  readonly key: string;
  removed = false;
  persisted = false;
  readonly peer: PeerId;

  epoch = 1;
  nextSequence = 1;
  #outbox: OutboxEntry[] = [];
  #outboxBytes = 0;
  /** Envelopes that the peer takes beyond what it acknowledged. */
  peerWindow = WINDOW_MAX;
  /** The highest sequence of this epoch that the peer acknowledged. */
  acknowledged = 0;

  peerLineage: Lineage | "" = "";
  /** The epoch of the peer's stream that we follow; 0 = never met. After a block: the first one we would take. */
  peerEpoch = 0;
  mark = 0;
  /** The highest incarnation in which the peer's lineage has spoken to us. */
  peerIncarnation = 0;
  /** How often the peer took us for overtaken although we own our store: added to the incarnation that we tell it (decision 10). */
  disputes = 0;

  constructor(peer: PeerId) {
    this.peer = peer;
    this.key = ROW.session + peer;
  }

  get outbox(): readonly OutboxEntry[] {
    return this.#outbox;
  }

  get outboxBytes(): number {
    return this.#outboxBytes;
  }

  /** May a new request enter the stream now? Replies and control always may: they have reserved room. */
  get admitsRequest(): boolean {
    return this.nextSequence - 1 - this.acknowledged < this.peerWindow && this.#outboxBytes < OUTBOX_BYTES_MAX;
  }

  /** Replies are never refused their place, so a peer that takes none may ask nothing more. */
  get overfull(): boolean {
    return this.#outbox.length > 2 * EXECUTIONS_MAX || this.#outboxBytes > 4 * OUTBOX_BYTES_MAX;
  }

  /** Gives a body its place in the stream (S1). Throws VALUE_TOO_LARGE, VALUE_INVALID, and changes nothing, if the wire does not take it. */
  enqueue(body: UnnumberedBody, deadlineAt: Due, journal: Journal): OutboxEntry {
    const numbered = { ...body, sequence: this.nextSequence } as SealedBody;
    const entry = new OutboxEntry(this.peer, this.epoch, numbered, sealBody(numbered), deadlineAt);
    this.nextSequence++;
    this.#outbox.push(entry);
    this.#outboxBytes += entry.sealed.length;
    journal.touch(entry);
    journal.touch(this);
    return entry;
  }

  /** Takes a cumulative acknowledgement and returns what it covers. One beyond what we sent is refused: undefined. */
  acknowledge(mark: number, journal: Journal): readonly OutboxEntry[] | undefined {
    if (mark >= this.nextSequence) return undefined;
    if (mark <= this.acknowledged) return NOTHING;
    this.acknowledged = mark;
    let count = 0;
    while (count < this.#outbox.length && (this.#outbox[count] as OutboxEntry).sequence <= mark) count++;
    const covered = this.#outbox.splice(0, count);
    for (const entry of covered) {
      this.#outboxBytes -= entry.sealed.length;
      journal.remove(entry);
    }
    journal.touch(this);
    return covered;
  }

  /** What to do with an envelope of that number (S3). */
  place(sequence: number): "next" | "duplicate" | "gap" {
    return sequence === this.mark + 1 ? "next" : sequence <= this.mark ? "duplicate" : "gap";
  }

  advance(sequence: number, journal: Journal): void {
    assert(sequence === this.mark + 1, "S3: the mark grows by one");
    this.mark = sequence;
    journal.touch(this);
  }

  /** Compares both ends' memories. Changes nothing when it says `history-lost` or `overtaken`. */
  handleHello(hello: Hello, ourLineage: Lineage, journal: Journal): HelloVerdict {
    if (hello.lineage === this.peerLineage && hello.incarnation < this.peerIncarnation) return { kind: "overtaken" }; // S5
    const verdict = this.#compare(hello, ourLineage, journal);
    if (verdict.kind !== "history-lost" && hello.lineage === this.peerLineage && hello.incarnation > this.peerIncarnation) {
      this.peerIncarnation = hello.incarnation;
      journal.touch(this);
    }
    return verdict;
  }

  /** The peer took us for overtaken. Made durable before we speak again, so only the store's owner ever comes back with it. */
  dispute(journal: Journal): void {
    this.disputes++;
    journal.touch(this);
  }

  #compare(hello: Hello, ourLineage: Lineage, journal: Journal): HelloVerdict {
    const met = this.peerLineage !== "";
    if (met && hello.lineage !== this.peerLineage) return this.#restart(hello, true, journal);
    // It remembers another history of ours: our Hello makes it start anew, and say so in a further one.
    if (hello.peerLineage !== "" && hello.peerLineage !== ourLineage) return { kind: "behind" };
    const knowsUs = hello.peerLineage === ourLineage;
    if (knowsUs && hello.peerEpoch > this.epoch) return this.#restart(hello, false, journal);
    if (knowsUs && hello.peerEpoch === this.epoch && hello.mark >= this.nextSequence) {
      return { kind: "history-lost", who: "us", reason: `the peer accepted ${hello.mark}, we remember ${this.nextSequence - 1}` };
    }
    const theirMark = knowsUs && hello.peerEpoch === this.epoch ? hello.mark : 0;
    if (theirMark < this.acknowledged) {
      return { kind: "history-lost", who: "peer", reason: `the peer acknowledged ${this.acknowledged} and remembers ${theirMark}` };
    }
    if (hello.epoch < this.peerEpoch) return { kind: "behind" };
    const mark = hello.epoch === this.peerEpoch ? this.mark : 0;
    if (hello.lowestUnacknowledged > mark + 1) {
      return { kind: "history-lost", who: "us", reason: `the peer holds ${hello.lowestUnacknowledged} upwards, we need ${mark + 1}` };
    }
    if (mark >= hello.nextSequence) {
      return { kind: "history-lost", who: "peer", reason: `we accepted ${mark}, the peer remembers ${hello.nextSequence - 1}` };
    }
    this.#follow(hello, journal);
    this.peerWindow = hello.window;
    return { kind: "agreed", acknowledged: this.acknowledge(theirMark, journal) ?? NOTHING };
  }

  /** Ends both streams for good (S4): returns what was unacknowledged. The next contact starts the next epochs. */
  end(journal: Journal): readonly OutboxEntry[] {
    const lost = this.#startEpoch(this.epoch + 1, journal);
    if (this.peerEpoch > 0) this.peerEpoch++;
    this.mark = 0;
    journal.touch(this);
    return lost;
  }

  #restart(hello: Hello, lineageChanged: boolean, journal: Journal): HelloVerdict {
    const expected = lineageChanged ? this.epoch + 1 : hello.peerEpoch;
    // A peer that lost its history knows nothing of us, or expects an epoch that we never began.
    const lost = this.#startEpoch(Math.max(this.epoch + 1, expected), journal);
    if (lineageChanged) {
      this.peerLineage = "";
      this.peerEpoch = 0;
      this.mark = 0;
      this.peerIncarnation = 0;
    }
    if (hello.epoch >= this.peerEpoch) this.#follow(hello, journal);
    this.peerWindow = hello.window;
    return { kind: "restarted", lost, lineageChanged, acknowledged: NOTHING };
  }

  #follow(hello: Hello, journal: Journal): void {
    if (this.peerLineage === hello.lineage && this.peerEpoch === hello.epoch) return;
    this.peerLineage = hello.lineage;
    this.peerEpoch = hello.epoch;
    this.mark = 0;
    journal.touch(this);
  }

  #startEpoch(epoch: number, journal: Journal): readonly OutboxEntry[] {
    const lost = this.#outbox;
    for (const entry of lost) journal.remove(entry);
    this.#outbox = [];
    this.#outboxBytes = 0;
    this.epoch = epoch;
    this.nextSequence = 1;
    this.acknowledged = 0;
    journal.touch(this);
    return lost;
  }

  encode(): Uint8Array {
    return encodeValue([
      this.epoch, this.nextSequence, this.acknowledged, this.peerWindow, this.peerLineage, this.peerEpoch, this.mark,
      this.peerIncarnation, this.disputes,
    ]);
  }

  /** Rebuilds a session from its row and its outbox' rows. Throws SNAPSHOT_INVALID. */
  static restore(peer: PeerId, bytes: Uint8Array, outbox: readonly (readonly [string, Uint8Array])[]): Session {
    const session = new Session(peer);
    const reader = RowReader.of(session.key, bytes);
    session.epoch = reader.whole();
    session.nextSequence = reader.whole();
    session.acknowledged = reader.whole();
    session.peerWindow = reader.whole();
    session.peerLineage = reader.text() as Lineage | "";
    session.peerEpoch = reader.whole();
    session.mark = reader.whole();
    session.peerIncarnation = reader.whole();
    session.disputes = reader.whole();
    reader.end();
    session.persisted = true;
    for (const [key, row] of outbox) {
      const fields = RowReader.of(key, row);
      const deadlineAt = fields.nullOr(() => fields.whole()) ?? ("never" as const);
      const sealed = fields.bytes();
      fields.end();
      const entry = new OutboxEntry(peer, session.epoch, decodeSealed(sealed), sealed, deadlineAt);
      if (entry.key !== key) fields.refuse("the outbox entry's own number");
      entry.persisted = true;
      entry.redelivered = true;
      session.#outbox.push(entry);
      session.#outboxBytes += sealed.length;
    }
    session.#outbox.sort((a, b) => a.sequence - b.sequence);
    session.#outbox.forEach((entry, at) => {
      reader.check(entry.sequence === session.acknowledged + 1 + at, "an outbox without gaps"); // S2
    });
    reader.check(session.acknowledged + session.#outbox.length === session.nextSequence - 1, "a complete outbox"); // S2
    return session;
  }
}

const NOTHING: readonly OutboxEntry[] = [];
