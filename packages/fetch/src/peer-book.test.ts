import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PeerError } from "./errors.ts";
import { PeerBook } from "./peer-book.ts";
import type { Pass } from "./peer-book.ts";
import { explainPeer } from "./peer-explained.ts";
import { peersOptions } from "./peers-options.ts";
import type { PeersOptions } from "./peers-options.ts";
import { VirtualClock } from "./virtual-clock.ts";

const MS = 1e6;
const START = 1e15;

function open(options: PeersOptions = {}): PeerBook {
  return new PeerBook(peersOptions({ clock: new VirtualClock(), ...options }));
}

function admit(book: PeerBook, key: string, now: number, site = ""): Pass {
  const pass = book.admit(key, site, now);
  assert.ok(!(pass instanceof PeerError), `${key} is admitted`);
  return pass;
}

function works(book: PeerBook, key: string, now: number, site = ""): void {
  book.settle(admit(book, key, now, site), { kind: "works" }, 20 * MS, now);
}

function fails(book: PeerBook, key: string, now: number, times = 5): void {
  for (let failure = 0; failure < times; failure++) book.settle(admit(book, key, now), { kind: "refused" }, undefined, now);
}

test("book: a peer that is well holds nothing but its numbers, and trouble is gone once it is over", () => {
  const book = open();
  works(book, "a", START, "GET /");
  const record = book.record("a", START);
  assert.deepEqual([record.trouble, record.block, record.others], [undefined, undefined, undefined]);
  fails(book, "a", START);
  assert.ok(record.trouble !== undefined);
  let now = START + 1000 * MS;
  for (let call = 0; call < 63; call++) works(book, "a", (now += MS));
  assert.equal(record.trouble, undefined);
  book.block("a", { untilNs: now + MS, reason: "" }, now);
  assert.ok(book.admit("a", "", now) instanceof PeerError);
  works(book, "a", now + MS);
  assert.equal(record.block?.until, 0);
});

test("book: K6: what is forgotten takes all of it along, and what comes later is learned of nobody", () => {
  const book = open({ peersMax: 16 });
  const late = admit(book, "late", START, "GET /");
  book.timedOut(late, START + MS);
  book.settle(late, { kind: "cancelled" }, undefined, START + MS);
  const body = admit(book, "body", START, "GET /");
  book.settle(body, { kind: "works" }, MS, START);
  let now = START + 1e10;
  for (let peer = 0; peer < 64; peer++) works(book, `p${peer}`, (now += 1e9), "GET /");
  assert.ok(!book.records.has("late") && !book.records.has("body"));
  const before = [...book.records.keys()].map((key) => explainPeer(book, key, now));
  book.answeredLate(late, now);
  book.timedOut(late, now);
  book.bodyBroke(body.record, body.epoch, now);
  book.bodyEnded(body.record, body.epoch, now);
  assert.deepEqual([...book.records.keys()].map((key) => explainPeer(book, key, now)), before);
  const again = explainPeer(book, "late", now);
  assert.equal(again.failuresInARow, 0);
  assert.equal(admit(book, "late", now).record.epoch, 0);
  assert.equal(book.learned(admit(book, "late", now, "GET /").site), undefined);
});

test("book: K4: who is blocked is never forgotten, and there is a bound to them", () => {
  const book = open({ peersMax: 16 });
  for (let peer = 0; peer < 16; peer++) book.block(`bad ${peer}`, { untilNs: "never", reason: "" }, START);
  assert.throws(() => book.block("one more", { untilNs: "never", reason: "" }, START), { code: "OPTION_INVALID" });
  book.block("bad 3", { untilNs: "never", reason: "again" }, START);
  let now = START;
  for (let peer = 0; peer < 200; peer++) works(book, `p${peer}`, (now += 1e9));
  assert.ok(book.records.size <= 32);
  for (let peer = 0; peer < 16; peer++) assert.ok(book.admit(`bad ${peer}`, "", now) instanceof PeerError);
  assert.equal(book.unblock("bad 3", now), true);
  assert.equal(book.unblock("bad 3", now), false);
  book.block("one more", { untilNs: "never", reason: "" }, now);
});

test("book: K4: of sites with something learned there are four for each peer, whoever has them", () => {
  const book = open({ peersMax: 16, sitesMax: 64 });
  const heard: string[] = [];
  let now = START;
  for (let site = 0; site < 200; site++) {
    const key = `p${site % 10}`;
    works(book, key, (now += 1e9), `s${site}`);
    if (!heard.includes(key)) heard.push(key);
    const learned = [...book.records.values()].flatMap(({ sites }) => sites).filter(({ row }) => row >= 0);
    assert.ok(learned.length <= 64, `${learned.length}`);
    assert.ok(book.learned(book.record(key, now).site(`s${site}`, 64)) !== undefined, "not the one that is learned of goes");
  }
  assert.equal(heard.length, 10);
});

/** Rows go from one peer to another: no peer ever shows what belongs to one that was forgotten, or to another. */
test("book: K6: whoever comes and goes, each peer shows its own round trips", () => {
  const step = fc.record({ peer: fc.nat(40), site: fc.nat(3), afterMs: fc.nat(1000) });
  fc.assert(fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
    const book = open({ peersMax: 8 });
    let now = START;
    for (const { peer, site, afterMs } of steps) {
      now += afterMs * MS;
      const roundTripMs = 10 * (peer + 1);
      book.settle(admit(book, `p${peer}`, now, `s${site}`), { kind: "works" }, roundTripMs * MS, now);
      const { sites } = explainPeer(book, `p${peer}`, now);
      for (const { srttMs, samples } of sites) if (samples > 0) assert.equal(srttMs, roundTripMs);
      assert.ok(sites.some(({ site: name, samples }) => name === `s${site}` && samples > 0));
    }
    assert.ok(book.records.size <= 8);
  }), { numRuns: 100 });
});

test("book: who denies a peer goes before who admits it, and the options' word holds", () => {
  const book = open({ allowOnly: ["a", "b"], block: ["b"] });
  const why = (key: string): string => (book.admit(key, "", START) as PeerError).message;
  assert.match(why("b"), /openPeers was told to block it$/);
  assert.match(why("c"), /openPeers was told to allow others only$/);
  book.block("c", { untilNs: "never", reason: "" }, START);
  assert.match(why("c"), /: blocked$/);
  book.block("c", { untilNs: START + 2 * MS, reason: "a bill" }, START);
  assert.match(why("c"), /: blocked for 2 ms: a bill$/);
  assert.equal((book.admit("c", "", START) as PeerError).retryAfterMs, 2);
  assert.equal(explainPeer(book, "c", START).retryAfterMs, 2);
  assert.equal(book.unblock("b", START), false);
  assert.equal(admit(book, "a", START).record.inFlight, 1);
});

test("book: K2: what was sent before a cooldown says nothing new, what was sent since does, also once all was well again", () => {
  const book = open({ failureThreshold: 1 });
  const before = admit(book, "a", START);
  fails(book, "a", START, 1);
  const { cooldownMs } = explainPeer(book, "a", START);
  book.settle(before, { kind: "overload" }, undefined, START);
  assert.equal(explainPeer(book, "a", START).cooldownMs, cooldownMs);
  let now = START + 1000 * MS;
  works(book, "a", now);
  const since = admit(book, "a", now);
  for (let call = 0; call < 63; call++) works(book, "a", (now += MS));
  assert.equal(since.record.trouble, undefined);
  book.settle(since, { kind: "overload" }, undefined, now);
  assert.equal(explainPeer(book, "a", now).state, "cooling-down");
});
