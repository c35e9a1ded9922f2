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
  book.block("a", now + MS, "", now);
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
  book.bodyBroke(body, now);
  book.bodyEnded(body, now);
  assert.deepEqual([...book.records.keys()].map((key) => explainPeer(book, key, now)), before);
  const again = explainPeer(book, "late", now);
  assert.equal(again.failuresInARow, 0);
  assert.equal(admit(book, "late", now).record.trouble, undefined);
  assert.equal(book.learned(admit(book, "late", now, "GET /").site), undefined);
});

test("book: K4: who is blocked is never forgotten, and there is a bound to them", () => {
  const book = open({ peersMax: 16 });
  for (let peer = 0; peer < 16; peer++) book.block(`bad ${peer}`, Infinity, "", START);
  assert.throws(() => book.block("one more", Infinity, "", START), { code: "OPTION_INVALID" });
  book.block("bad 3", Infinity, "again", START);
  let now = START;
  for (let peer = 0; peer < 200; peer++) works(book, `p${peer}`, (now += 1e9));
  assert.ok(book.records.size <= 32);
  for (let peer = 0; peer < 16; peer++) assert.ok(book.admit(`bad ${peer}`, "", now) instanceof PeerError);
  assert.equal(book.unblock("bad 3", now), true);
  assert.equal(book.unblock("bad 3", now), false);
  book.block("one more", Infinity, "", now);
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
  book.block("c", Infinity, "", START);
  assert.match(why("c"), /: blocked$/);
  book.block("c", START + 2 * MS, "a bill", START);
  assert.match(why("c"), /: blocked for 2 ms: a bill$/);
  assert.equal((book.admit("c", "", START) as PeerError).retryAfterMs, 2);
  assert.equal(explainPeer(book, "c", START).retryAfterMs, 2);
  assert.equal(book.unblock("b", START), false);
  assert.equal([...admit(book, "a", START).record.inFlight()].length, 1);
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

test("book: K7: three peers that went down with nobody answering in between are tried with the first answer of anybody", () => {
  const book = open({ cooldownBaseMs: 60_000 });
  const cooldowns = (now: number): number[] => ["a", "b", "c"].map((key) => explainPeer(book, key, now).cooldownMs);
  for (const key of ["a", "b", "c"]) fails(book, key, START);
  assert.ok(cooldowns(START).every((ms) => ms > 0));
  works(book, "d", START + MS);
  assert.deepEqual(cooldowns(START + MS), [0, 0, 0]);
  assert.equal(explainPeer(book, "a", START + MS).state, "half-open", "tried by one, and down until it answers");
  fails(book, "a", START + MS, 1);
  works(book, "d", START + 2 * MS);
  assert.ok(explainPeer(book, "a", START + 2 * MS).cooldownMs > 0, "it failed again: that is its own doing");
});

test("book: K7: two are no sign, and neither are three of which one answered or between which anybody did", () => {
  const held = (act: (book: PeerBook) => void): boolean => {
    const book = open({ cooldownBaseMs: 60_000 });
    act(book);
    works(book, "d", START + MS);
    return explainPeer(book, "a", START + MS).cooldownMs > 0;
  };
  const answersBadly = (book: PeerBook, key: string): void => {
    for (let failure = 0; failure < 5; failure++) book.settle(admit(book, key, START), { kind: "server-error" }, undefined, START);
  };
  assert.ok(held((book) => ["a", "b"].forEach((key) => fails(book, key, START))));
  assert.ok(held((book) => {
    for (const key of ["a", "b"]) fails(book, key, START);
    works(book, "d", START);
    fails(book, "c", START);
  }));
  assert.ok(held((book) => {
    for (const key of ["a", "b"]) fails(book, key, START);
    answersBadly(book, "c");
  }));
});

test("book: a cooldown that is ended leaves advice and the step of the schedule", () => {
  const book = open({ cooldownBaseMs: 1000 });
  fails(book, "a", START);
  const { cooldownStep } = explainPeer(book, "a", START);
  const pass = admit(book, "b", START);
  book.settle(pass, { kind: "overload", retryAfterMs: 1000 }, undefined, START);
  for (const key of ["a", "b"]) book.endCooldown(book.record(key, START));
  assert.deepEqual([explainPeer(book, "a", START).cooldownMs, explainPeer(book, "a", START).cooldownStep], [0, cooldownStep]);
  assert.ok(explainPeer(book, "b", START).advisedMs >= 1000);
});

test("book: φ of what is under way is 0 at first, passes 1 where one answer in ten takes longer, and rises with the wait", () => {
  const book = open();
  let now = START;
  for (let call = 1; call <= 200; call++) {
    const pass = admit(book, "a", now, "GET /");
    now += call % 5 === 0 ? 400 * MS : 50 * MS;
    book.settle(pass, { kind: "works" }, now - pass.startedAt, now);
  }
  assert.equal(explainPeer(book, "a", now).phi, 0, "nothing is under way");
  const passes = [admit(book, "a", now, "GET /"), admit(book, "a", now + 100 * MS, "GET /")];
  const phiAfter = (ms: number): number => explainPeer(book, "a", now + ms * MS).phi;
  assert.equal(phiAfter(0), 0);
  assert.ok(Math.abs(phiAfter(100) - -Math.log10(0.2)) < 0.01, "one in five takes longer");
  const rising = [100, 300, 420, 1000, 5000, 10_000].map(phiAfter);
  assert.deepEqual(rising, rising.toSorted((a, b) => a - b));
  assert.ok(rising[3]! > 3 && rising[5]! > 9 * rising[3]! && rising[5]! < 11 * rising[3]!, "in proportion beyond the slowest");
  book.release(passes[0] as Pass);
  assert.ok(phiAfter(420) < rising[2]!, "the other has waited for less");
  book.release(passes[1] as Pass);
  assert.equal(phiAfter(420), 0);
});

test("book: attempts under way are counted whatever the order in which they end", () => {
  fc.assert(fc.property(fc.array(fc.nat(15), { maxLength: 60 }), (steps) => {
    const book = open();
    const passes: Pass[] = [];
    for (const step of steps) {
      const ended = passes.splice(step, 1)[0];
      if (ended === undefined) passes.push(admit(book, "a", START));
      else book.release(ended);
      assert.equal(explainPeer(book, "a", START).inFlight, passes.length);
      assert.deepEqual(new Set(book.record("a", START).inFlight()), new Set(passes));
    }
  }));
});
