import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Lineage, PeerId } from "../base/ids.ts";
import type { Hello } from "../wire/message.ts";
import { decodeSealed } from "../wire/message-codec.ts";
import { Journal } from "./journal.ts";
import { Session } from "./session.ts";

/** What crosses a link: hellos, and envelopes with an acknowledgement of the other direction. */
type Frame = { kind: "hello"; hello: Hello } | { kind: "envelope"; sealed: Uint8Array; acknowledged: number } | { kind: "acknowledge"; mark: number };

/** One end, as PeerLinks drives a session. Bodies are numbered by `request`, once each in a side's life. */
class Side {
  session: Session;
  readonly lineage: Lineage;
  readonly inbox: Frame[] = [];
  other!: Side;
  sendReady = false;
  receiveReady = false;
  sent = 0;
  readonly accepted: { epoch: number; request: number }[] = [];
  /** Acknowledged to us, or reported lost. */
  readonly acknowledged = new Set<number>();
  readonly lost = new Set<number>();
  readonly journal = new Journal();

  constructor(name: string, lineage: string) {
    this.session = new Session(name as PeerId);
    this.lineage = lineage as Lineage;
  }

  hello(): void {
    const { session } = this;
    this.#send({ kind: "hello", hello: {
      kind: "hello", protocol: 1, lineage: this.lineage, incarnation: 1, epoch: session.epoch, lowestUnacknowledged: session.acknowledged + 1,
      nextSequence: session.nextSequence, peerLineage: session.peerLineage, peerEpoch: session.peerEpoch, mark: session.mark, window: 256, addresses: [],
    } });
  }

  enqueue(): void {
    const entry = this.session.enqueue({ type: "cancel", request: ++this.sent, attempt: 1 }, "never", this.journal);
    if (this.sendReady) this.#envelope(entry.sealed);
  }

  resend(): void {
    if (this.sendReady) for (const entry of this.session.outbox) this.#envelope(entry.sealed);
  }

  take(): void {
    const frame = this.inbox.shift();
    if (frame === undefined) return;
    if (frame.kind === "hello") return this.#takeHello(frame.hello);
    if (frame.kind === "envelope") {
      if (!this.receiveReady) return;
      const body = decodeSealed(frame.sealed);
      const place = this.session.place(body.sequence);
      if (place === "next") {
        this.session.advance(body.sequence, this.journal);
        this.accepted.push({ epoch: this.session.peerEpoch, request: body.request });
      }
      this.#send({ kind: "acknowledge", mark: this.session.mark });
      if (place === "gap") return;
      return this.#acknowledge(frame.acknowledged);
    }
    this.#acknowledge(frame.mark);
  }

  /** A restart: what is in the session's rows is all that is left. */
  restart(): void {
    const rows = this.session.outbox.map((entry) => [entry.key, entry.encode()] as const);
    const restored = Session.restore(this.session.peer, this.session.encode(), rows);
    assert.deepEqual(restored.encode(), this.session.encode());
    this.session = restored;
  }

  end(): void {
    for (const { request } of this.session.end(this.journal)) this.lost.add(request);
  }

  #acknowledge(mark: number): void {
    if (!this.sendReady) return;
    const covered = this.session.acknowledge(mark, this.journal);
    assert.notEqual(covered, undefined, "nobody acknowledges what was not sent");
    for (const { request } of covered ?? []) this.acknowledged.add(request);
  }

  #takeHello(hello: Hello): void {
    const { session } = this;
    const verdict = session.handleHello(hello, this.lineage, this.journal);
    assert.notEqual(verdict.kind, "history-lost", JSON.stringify(verdict));
    this.receiveReady = session.peerLineage === hello.lineage && session.peerEpoch === hello.epoch;
    if (verdict.kind !== "agreed" && verdict.kind !== "restarted") return;
    if (verdict.kind === "restarted") {
      for (const { request } of verdict.lost) this.lost.add(request);
      this.hello();
    }
    for (const { request } of verdict.acknowledged) this.acknowledged.add(request);
    this.sendReady = true;
    this.resend();
  }

  #envelope(sealed: Uint8Array): void {
    this.#send({ kind: "envelope", sealed, acknowledged: this.session.mark });
  }

  #send(frame: Frame): void {
    this.other.inbox.push(frame);
  }
}

function connect(sides: readonly Side[]): void {
  for (const side of sides) {
    side.inbox.length = 0;
    side.sendReady = false;
    side.receiveReady = false;
  }
  for (const side of sides) side.hello();
}

test("session: whatever is cut, resent, restarted or blocked, a body is accepted at most once, in order, and none is lost unsaid", () => {
  const step = fc.record({
    does: fc.constantFrom("send", "send", "send", "take", "take", "take", "take", "resend", "cut", "restart", "block"),
    side: fc.nat(1), times: fc.integer({ min: 1, max: 5 }),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
    const ann = new Side("bob", "a".repeat(32));
    const bob = new Side("ann", "b".repeat(32));
    const sides = [ann, bob];
    ann.other = bob;
    bob.other = ann;
    connect(sides);
    for (const { does, side: at, times } of steps) {
      const side = sides[at] as Side;
      switch (does) {
        case "send": for (let n = 0; n < times; n++) side.enqueue(); break;
        case "take": for (let n = 0; n < times; n++) side.take(); break;
        case "resend": side.resend(); break;
        case "cut": connect(sides); break;
        case "restart":
          side.restart();
          connect(sides);
          break;
        case "block":
          side.end();
          connect(sides);
          break;
      }
    }
    connect(sides);
    while (sides.some(({ inbox }) => inbox.length > 0)) for (const side of sides) side.take();
    for (const side of sides) {
      const { accepted } = side.other;
      assert.equal(side.session.outbox.length, 0, "the streams come to rest");
      assert.equal(new Set(accepted.map(({ request }) => request)).size, accepted.length, "each at most once");
      for (const [n, one] of accepted.entries()) {
        const before = accepted[n - 1];
        if (before !== undefined) assert.ok(before.request < one.request && before.epoch <= one.epoch, "in order");
      }
      const known = new Set(accepted.map(({ request }) => request));
      for (const request of side.acknowledged) assert.ok(known.has(request), "what was acknowledged was accepted");
      for (let request = 1; request <= side.sent; request++) {
        assert.ok(side.acknowledged.has(request) || side.lost.has(request), "nothing is lost unsaid");
      }
    }
  }), { numRuns: 500 });
});
