import assert from "node:assert/strict";
import { test } from "node:test";
import type { Lineage, PeerId } from "../base/ids.ts";
import type { Hello } from "../wire/message.ts";
import { Journal } from "./journal.ts";
import { type HelloVerdict, Session, type UnnumberedBody } from "./session.ts";

const PEER = "bob" as PeerId;
const OURS = "a".repeat(32) as Lineage;
const THEIRS = "b".repeat(32) as Lineage;
const OTHER = "c".repeat(32) as Lineage;
const journal = new Journal();

const cancel = (request: number): UnnumberedBody => ({ type: "cancel", request, attempt: 1 });

/** A session that sent `sent`, of which the peer acknowledged `acknowledged`, and accepted `mark` of the peer's epoch 1. */
function session({ sent = 3, acknowledged = 1, mark = 2, met = true } = {}): Session {
  const made = new Session(PEER);
  if (met) made.handleHello(hello({ mark: 0, nextSequence: 1, lowestUnacknowledged: 1, peerEpoch: 0, peerLineage: "" }), OURS, journal);
  for (let n = 1; n <= sent; n++) made.enqueue(cancel(n), "never", journal);
  made.acknowledge(acknowledged, journal);
  for (let n = 1; n <= mark; n++) made.advance(n, journal);
  return made;
}

/** The Hello of a peer that agrees with `session()`, in all but what is given. */
function hello(given: Partial<Hello> = {}): Hello {
  return {
    kind: "hello", protocol: 1, lineage: THEIRS, incarnation: 2, epoch: 1, lowestUnacknowledged: 3, nextSequence: 3,
    peerLineage: OURS, peerEpoch: 1, mark: 1, window: 100, addresses: [], ...given,
  };
}

const summary = (verdict: HelloVerdict): unknown => {
  switch (verdict.kind) {
    case "agreed": return { agreed: verdict.acknowledged.map(({ sequence }) => sequence) };
    case "restarted": return { restarted: verdict.lost.map(({ sequence }) => sequence), lineageChanged: verdict.lineageChanged };
    case "history-lost": return { lost: verdict.who };
    case "behind":
    case "overtaken": return verdict.kind;
  }
};

test("session: S1, sequences go up by one, and a body that the wire does not take uses none", () => {
  const one = session({ sent: 0, acknowledged: 0 });
  assert.deepEqual([1, 2, 3].map((n) => one.enqueue(cancel(n), "never", journal).sequence), [1, 2, 3]);
});

test("session: S2, an acknowledgement is cumulative, an old one changes nothing, one beyond what was sent is refused", () => {
  const one = session({ sent: 4, acknowledged: 0 });
  assert.deepEqual(one.acknowledge(2, journal)?.map(({ sequence }) => sequence), [1, 2]);
  assert.deepEqual(one.acknowledge(1, journal), []);
  assert.equal(one.acknowledge(5, journal), undefined);
  assert.deepEqual(one.outbox.map(({ sequence }) => sequence), [3, 4]);
  one.acknowledge(4, journal);
  assert.equal(one.outboxBytes, 0);
});

test("session: S3, only the next sequence is accepted; the rest is a duplicate or a gap", () => {
  const one = session({ mark: 2 });
  assert.deepEqual([1, 2, 3, 4].map((sequence) => one.place(sequence)), ["duplicate", "duplicate", "next", "gap"]);
  one.advance(3, journal);
  assert.equal(one.place(3), "duplicate");
  assert.throws(() => one.advance(5, journal), /S3/);
});

test("session: requests heed the peer's window, other bodies do not", () => {
  const one = session({ sent: 0, acknowledged: 0 });
  one.peerWindow = 2;
  one.enqueue(cancel(1), "never", journal);
  assert.equal(one.admitsRequest, true);
  one.enqueue(cancel(2), "never", journal);
  assert.equal(one.admitsRequest, false);
  assert.equal(one.enqueue(cancel(3), "never", journal).sequence, 3);
  one.acknowledge(2, journal);
  assert.equal(one.admitsRequest, true);
});

const fresh = { met: false, sent: 0, acknowledged: 0, mark: 0 };
const strangers = { peerLineage: "" as const, peerEpoch: 0, mark: 0 };
const cases: readonly [name: string, state: Parameters<typeof session>[0], given: Partial<Hello>, expected: unknown][] = [
  ["first contact of two that never met", fresh, { ...strangers, lowestUnacknowledged: 1, nextSequence: 1 }, { agreed: [] }],
  ["first contact, and it has sent already", fresh, { ...strangers, lowestUnacknowledged: 1, nextSequence: 6 }, { agreed: [] }],
  ["first contact, and we have sent already", { ...fresh, sent: 2 }, { ...strangers, lowestUnacknowledged: 1, nextSequence: 1 }, { agreed: [] }],
  ["both remember the same", {}, {}, { agreed: [] }],
  ["the peer accepted more than it could tell us: that leaves the outbox", {}, { mark: 3 }, { agreed: [2, 3] }],
  ["the peer still holds what we accepted", {}, { lowestUnacknowledged: 1 }, { agreed: [] }],
  ["the peer accepted more than we remember sending", {}, { mark: 4 }, { lost: "us" }],
  ["the peer forgot what it acknowledged", {}, { mark: 0 }, { lost: "peer" }],
  ["the peer does not know us any more, though its lineage is the same", {}, strangers, { lost: "peer" }],
  ["the peer no longer holds what we need", {}, { lowestUnacknowledged: 4, nextSequence: 6 }, { lost: "us" }],
  ["we accepted more than the peer remembers sending", {}, { lowestUnacknowledged: 2, nextSequence: 2 }, { lost: "peer" }],
  ["a peer that we never met no longer holds its first", fresh, { ...strangers, lowestUnacknowledged: 3, nextSequence: 6 }, { lost: "us" }],
  ["the peer's lineage changed", {}, { lineage: OTHER, ...strangers, lowestUnacknowledged: 1, nextSequence: 1 }, { restarted: [2, 3], lineageChanged: true }],
  ["the peer ended our epoch", {}, { peerEpoch: 2, mark: 0 }, { restarted: [2, 3], lineageChanged: false }],
  ["the peer ended its own epoch", {}, { epoch: 2, lowestUnacknowledged: 1, nextSequence: 1 }, { agreed: [] }],
  ["the peer ended both", {}, { epoch: 2, peerEpoch: 2, mark: 0, lowestUnacknowledged: 1, nextSequence: 1 }, { restarted: [2, 3], lineageChanged: false }],
  ["the peer remembers another history of ours", {}, { peerLineage: OTHER, peerEpoch: 4, mark: 9 }, "behind"],
  ["S5: an older process of the peer, which agrees", {}, { incarnation: 1 }, "overtaken"],
  ["S5: an older process of the peer, with an old memory", {}, { incarnation: 1, mark: 0, lowestUnacknowledged: 1, nextSequence: 1 }, "overtaken"],
  ["a newer process of the peer", {}, { incarnation: 3 }, { agreed: [] }],
  ["a newer process of the peer, with an old memory", {}, { incarnation: 3, mark: 0 }, { lost: "peer" }],
];
for (const [name, state, given, expected] of cases) {
  test(`session: hello: ${name}`, () => {
    const one = session(state);
    const before = one.encode();
    const verdict = one.handleHello(hello(given), OURS, journal);
    assert.deepEqual(summary(verdict), expected);
    if (verdict.kind === "history-lost" || verdict.kind === "behind" || verdict.kind === "overtaken") assert.deepEqual(one.encode(), before, "nothing has changed");
  });
}

test("session: S4, a stream that we ended never sends again, and the peer's old one is not followed", () => {
  const one = session();
  assert.deepEqual(one.end(journal).map(({ sequence }) => sequence), [2, 3]);
  assert.deepEqual([one.epoch, one.nextSequence, one.acknowledged, one.outbox.length, one.peerEpoch, one.mark], [2, 1, 0, 0, 2, 0]);
  // A stale Hello, sent before the peer heard of it.
  assert.equal(one.handleHello(hello(), OURS, journal).kind, "behind");
  const next = hello({ epoch: 2, peerEpoch: 2, mark: 0, lowestUnacknowledged: 1, nextSequence: 1 });
  assert.equal(one.handleHello(next, OURS, journal).kind, "agreed");
});

test("session: S5, the highest incarnation is remembered, and begins again with another lineage", () => {
  const one = session();
  one.handleHello(hello({ incarnation: 9 }), OURS, journal);
  assert.equal(one.handleHello(hello({ incarnation: 8 }), OURS, journal).kind, "overtaken");
  assert.equal(one.handleHello(hello({ incarnation: 9 }), OURS, journal).kind, "agreed");
  one.dispute(journal);
  const again = Session.restore(PEER, one.encode(), one.outbox.map((entry) => [entry.key, entry.encode()]));
  assert.deepEqual([again.peerIncarnation, again.disputes], [9, 1]);
  one.handleHello(hello({ lineage: OTHER, incarnation: 1, ...strangers, lowestUnacknowledged: 1, nextSequence: 1 }), OURS, journal);
  assert.equal(one.peerIncarnation, 1);
});

test("session: a restart begins an epoch that neither side has used", () => {
  const one = session();
  one.handleHello(hello({ peerEpoch: 5, mark: 0 }), OURS, journal);
  assert.equal(one.epoch, 5);
  one.handleHello(hello({ lineage: OTHER, ...strangers, lowestUnacknowledged: 1, nextSequence: 1 }), OURS, journal);
  assert.deepEqual([one.epoch, one.peerLineage, one.peerEpoch, one.mark], [6, OTHER, 1, 0]);
});

test("session: restored, it is the same; an outbox with a gap, or without its end, is refused", () => {
  const one = session({ sent: 5, acknowledged: 2 });
  const rows = one.outbox.map((entry) => [entry.key, entry.encode()] as const);
  const again = Session.restore(PEER, one.encode(), rows);
  assert.deepEqual(again.encode(), one.encode());
  assert.deepEqual(again.outbox.map(({ key, sealed }) => [key, sealed]), one.outbox.map(({ key, sealed }) => [key, sealed]));
  assert.equal(again.outboxBytes, one.outboxBytes);
  assert.equal(again.outbox.every(({ redelivered }) => redelivered), true);
  for (const missing of [0, 1, 2]) {
    assert.throws(() => Session.restore(PEER, one.encode(), rows.toSpliced(missing, 1)), { code: "SNAPSHOT_INVALID" });
  }
  assert.throws(() => Session.restore(PEER, one.encode().slice(1), rows), { code: "SNAPSHOT_INVALID" });
});
