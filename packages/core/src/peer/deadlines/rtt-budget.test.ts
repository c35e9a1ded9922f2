import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Random } from "../../base/random.ts";
import type { ChainId } from "../../base/ids.ts";
import { NS_MAX, NS_PER_MS, NS_PER_S } from "../../base/time.ts";
import { REFERENCE_RTT } from "./rtt-options.ts";
import { RttTracker } from "./rtt-tracker.ts";

const MS = NS_PER_MS;
const S = NS_PER_S;
const chain = { chainId: "00000000000000aa" as ChainId, hopIndex: 0 };
const DEFAULT = 100 * MS;
const HALF_LIFE = 600 * S;

/** A tracker to which ann answers in these times, once a millisecond. */
function fed(samplesNs: readonly number[], options = {}): RttTracker<string> {
  const tracker = new RttTracker<string>(options);
  samplesNs.forEach((ns, at) => tracker.observeRoundTrip("ann", chain, ns, 1 + at * MS));
  return tracker;
}

/** A steady site, all but equal times. */
const steady = (count: number, ns: number): number[] => Array.from({ length: count }, (_, n) => ns + (n % 5) * MS);

/** Round trips with a tail: exponential beyond a least time. Mean 50 ms. */
function* drawn(seed: string): Generator<number, never> {
  const random = Random.fromSeed(seed);
  for (;;) yield 20 * MS + Math.floor(-30 * MS * Math.log(1 - random.nextFraction()));
}

// ── tiers ──

test("blend: T1: weights sum to 1, grow with the samples, and no sample switches a tier", () => {
  const tracker = fed(steady(200, 40 * MS));
  let before = 0;
  let budgetBefore = tracker.estimateBudget("bob", undefined, DEFAULT);
  for (let n = 1; n <= 100; n++) {
    tracker.observeRoundTrip("bob", undefined, 60 * MS + (n % 3) * MS, S + n);
    const weights = tracker.budgetWeights("bob", undefined, DEFAULT);
    const sum = Object.values(weights).reduce((total, { weight }) => total + weight, 0);
    assert.ok(Math.abs(sum - 1) < 1e-9);
    assert.equal(weights.site.sampleCount, n);
    assert.ok(n < 3 || weights.site.weight >= before - 0.01, `${n}`);
    before = weights.site.weight;
    const budgetNs = tracker.estimateBudget("bob", undefined, DEFAULT);
    if (n > 1) assert.ok(Math.abs(budgetNs / budgetBefore - 1) < 0.35, `sample ${n} takes the budget from ${budgetBefore} to ${budgetNs}`);
    budgetBefore = budgetNs;
  }
  assert.ok(before > 0.9);
});

test("blend: a steady child of a scattered parent answers for itself sooner than a scattered child of a steady one", () => {
  const weigh = (child: readonly number[], parent: readonly number[]) => {
    const tracker = new RttTracker<string>();
    for (let n = 0; n < 300; n++) tracker.observeRoundTrip(`s${n % 10}`, undefined, parent[n % parent.length] as number, 1 + n);
    child.forEach((ns, n) => tracker.observeRoundTrip("bob", undefined, ns, 1000 + n));
    return tracker.budgetWeights("bob", undefined, DEFAULT).site.weight;
  };
  const scattered = [10 * MS, 900 * MS];
  const even = [100 * MS, 104 * MS];
  assert.ok(weigh([...even, ...even, ...even], scattered) > weigh([...scattered, ...scattered, ...scattered], even) + 0.05);
});

test("blend: tiers that disagree make the budget wide", () => {
  const agree = fed(steady(300, 50 * MS));
  const disagree = fed(steady(300, 500 * MS));
  for (const tracker of [agree, disagree]) for (let n = 0; n < 4; n++) tracker.observeRoundTrip("bob", undefined, 50 * MS, S + n);
  const deadline = (tracker: RttTracker<string>) => tracker.estimateBudget("bob", undefined, DEFAULT);
  assert.ok(deadline(disagree) > 1.5 * deadline(agree));
});

test("blend: what is old fades towards its parent, half of it in a half-life; a new sample does not make it new", () => {
  const tracker = fed(steady(300, 400 * MS));
  for (let n = 0; n < 300; n++) tracker.observeRoundTrip("bob", undefined, 30 * MS + (n % 4) * MS, S + n * MS);
  const heardAt = S + 299 * MS;
  const weightAt = (now: number) => tracker.budgetWeights("bob", undefined, DEFAULT, { now }).site.weight;
  const fresh = weightAt(heardAt);
  assert.ok(fresh > 0.95);
  assert.ok(Math.abs(weightAt(heardAt + HALF_LIFE) / fresh - 0.5) < 0.02);
  assert.ok(Math.abs(weightAt(heardAt + 2 * HALF_LIFE) / fresh - 0.25) < 0.02);
  const idle = tracker.estimateBudget("bob", undefined, 20 * DEFAULT, { now: heardAt + 2 * HALF_LIFE });
  assert.ok(idle > 2 * tracker.estimateBudget("bob", undefined, 20 * DEFAULT, { now: heardAt }), `its parent is slower: ${idle}`);
  tracker.observeRoundTrip("bob", undefined, 30 * MS, heardAt + 2 * HALF_LIFE);
  assert.equal(tracker.budgetWeights("bob", undefined, DEFAULT).site.sampleCount, 5, "four of those it remembers, and one");
  const { weight } = tracker.budgetWeights("bob", undefined, DEFAULT).static;
  assert.ok(weight < 0.1);
});

test("blend: the budget of a settled site is kept until it learns more itself, and for a moment at most", () => {
  const tracker = fed(steady(200, 40 * MS));
  const ask = (now: number, defaultNs = DEFAULT) => tracker.estimateBudget("ann", chain, defaultNs, { now });
  const kept = ask(S);
  for (let n = 0; n < 300; n++) tracker.observeRoundTrip("bob", chain, 5 * S, S + n);
  assert.equal(ask(S + MS), kept);
  assert.notEqual(ask(S + HALF_LIFE / 100), kept, "what its parents learned counts soon");
  assert.notEqual(ask(S + HALF_LIFE / 100, 60 * S), ask(S + HALF_LIFE / 100), "another default, another budget");
  tracker.observeRoundTrip("ann", chain, 900 * MS, S + HALF_LIFE / 100);
  assert.ok(ask(S + HALF_LIFE / 100) > 900 * MS);
});

test("blend: everything fades to the default in the end, which is no evidence then", () => {
  const tracker = fed(steady(50, 40 * MS));
  assert.equal(tracker.budgetTier("ann", undefined, { now: 50 * MS }), "site");
  assert.equal(tracker.budgetTier("ann", undefined, { now: 20 * HALF_LIFE }), "static");
});

test("restart: what was learned counts for less, the longer it took, and is never as good as fresh", () => {
  const captured = fed(steady(500, 40 * MS));
  const restored = (asleepNs: number) => {
    const tracker = new RttTracker<string>();
    tracker.restorePriors(captured.capturePriors());
    tracker.restoreSite("ann", captured.captureSite("ann") ?? assert.fail());
    tracker.discount(asleepNs);
    return tracker;
  };
  const counts = [0, HALF_LIFE, 2 * HALF_LIFE, 9 * HALF_LIFE].map((asleep) => restored(asleep).edge("ann", chain)?.sampleCount);
  assert.deepEqual(counts, [16, 8, 4, 0]);
  const budget = (tracker: RttTracker<string>) => tracker.estimateBudget("ann", chain, DEFAULT);
  assert.ok(budget(restored(0)) > budget(captured), "it is wider at first");
  assert.equal(budget(restored(40 * HALF_LIFE)), DEFAULT);
});

// ── several hops ──

test("hops: what the peer reported of its own edge, behind our link to it, stands in for a call along the chain", () => {
  const tracker = new RttTracker<string>();
  for (let n = 0; n < 100; n++) tracker.observeRoundTrip("bob link", undefined, 10 * MS, 1 + n);
  const ask = () => tracker.estimateBudget("bob flow", chain, DEFAULT, { via: "bob link" });
  const before = ask();
  tracker.ingestReportedOutgoing("bob link", "cid", chain.chainId, { srttNs: 900 * MS, rttvarNs: 50 * MS, sampleCount: 40 });
  assert.ok(before < 200 * MS && ask() >= 910 * MS + 4 * 50 * MS);
  const weights = tracker.budgetWeights("bob flow", chain, DEFAULT, { via: "bob link" });
  assert.deepEqual([weights.reports.srttNs, weights.reports.sampleCount], [910 * MS, 16]);
  assert.ok(weights.reports.weight > 0.5);
  tracker.ingestReportedOutgoing("bob link", "dan", chain.chainId, { srttNs: 2 * MS, rttvarNs: 0, sampleCount: 99 });
  assert.ok(ask() >= 910 * MS, "the slowest of its edges counts");
  tracker.ingestReportedOutgoing("bob link", "cid", chain.chainId, { srttNs: 3 * MS, rttvarNs: 0, sampleCount: 99 });
  assert.ok(ask() < 300 * MS, "also when the slowest becomes quick");
});

test("hops: our own round trips include what lies behind, so reports give way to them", () => {
  const tracker = new RttTracker<string>();
  tracker.ingestReportedOutgoing("bob link", "cid", chain.chainId, { srttNs: 900 * MS, rttvarNs: 50 * MS, sampleCount: 40 });
  for (let n = 0; n < 16; n++) tracker.observeRoundTrip("bob flow", chain, 40 * MS, 1 + n);
  assert.equal(tracker.budgetWeights("bob flow", chain, DEFAULT, { via: "bob link" }).reports.weight, 0);
  assert.ok(tracker.estimateBudget("bob flow", chain, DEFAULT, { via: "bob link" }) < 100 * MS);
});

// ── timeouts, censored samples, late replies ──

test("timeouts: a single one may be a loss; each further one without an answer doubles the budget, up to the ceiling", () => {
  const tracker = fed(steady(100, 40 * MS));
  const budget = () => tracker.estimateBudget("ann", chain, DEFAULT);
  const first = budget();
  const seen: number[] = [];
  for (let n = 0; n < 14; n++) {
    tracker.observeTimeout("ann", S + n * S, S + n * S + 1);
    seen.push(budget());
  }
  assert.deepEqual(seen.slice(0, 4).map((ns) => Math.round(ns / first)), [1, 2, 4, 8]);
  assert.equal(seen.at(-1), 60 * S, "every call timing out looks like what it is");
  tracker.observeAnswer("ann");
  assert.equal(budget(), first, "an answer ends the back-off, sample or not");
});

test("timeouts: those that ran beside one another are one step", () => {
  const tracker = fed(steady(100, 40 * MS));
  for (let n = 0; n < 14; n++) tracker.observeTimeout("ann", S + n, 2 * S);
  assert.equal(tracker.captureSite("ann")?.timeouts, 1);
});

test("late: a spurious timeout widens the budget, for a while, and four times what one does at most", () => {
  const tracker = fed(steady(100, 40 * MS));
  const budget = () => tracker.estimateBudget("ann", undefined, DEFAULT);
  const first = budget();
  tracker.observeTimeout("ann", S, S + 1);
  tracker.observeTimeout("ann", S + 1, S + 2);
  tracker.observeLateReply("ann");
  assert.ok(Math.abs(budget() / first - 1.5) < 0.01);
  for (let n = 0; n < 9; n++) tracker.observeLateReply("ann");
  assert.ok(Math.abs(budget() / first - 3) < 0.01);
  for (let n = 0; n < 600; n++) tracker.observeRoundTrip("ann", chain, 42 * MS, 2 * S + n);
  assert.ok(budget() < 1.05 * first);
});

for (const loss of [0, 0.1, 0.3, 0.5]) {
  test(`censored: ${100 * loss} % loss biases the mean by less than 2 %`, () => {
    const draws = drawn(`loss ${loss}`);
    const random = Random.fromSeed(`lost ${loss}`);
    const tracker = new RttTracker<string>();
    let sum = 0;
    const count = 20_000;
    for (let n = 0; n < count; n++) {
      const now = 1 + n * S;
      const deadlineNs = tracker.estimateBudget("ann", chain, DEFAULT, { now });
      const tripNs = draws.next().value;
      if (random.nextFraction() < loss) {
        tracker.observeTimeout("ann", now, now + deadlineNs);
        tracker.observeCensored("ann", chain, deadlineNs);
      } else {
        if (tripNs > deadlineNs) tracker.observeLateReply("ann");
        tracker.observeRoundTrip("ann", chain, tripNs, now + tripNs);
      }
      sum += tracker.edge("ann", chain)?.srttNs ?? 50 * MS;
    }
    assert.ok(Math.abs(sum / count / (50 * MS) - 1) < 0.02, `${sum / count / MS} ms`);
  });
}

test("censored: who gives up early does not learn that answers are quick", () => {
  const run = (tells: boolean): number => {
    const draws = drawn("early");
    const random = Random.fromSeed("patience");
    const tracker = new RttTracker<string>();
    let sum = 0;
    for (let n = 0; n < 20_000; n++) {
      const tripNs = draws.next().value;
      const patienceNs = random.nextFraction() < 0.7 ? 30 * MS : 10 * S;
      if (tripNs <= patienceNs) tracker.observeRoundTrip("ann", chain, tripNs, 1 + n);
      else if (tells) tracker.observeCensored("ann", chain, patienceNs);
      sum += tracker.edge("ann", chain)?.srttNs ?? 50 * MS;
    }
    return sum / 20_000 / (50 * MS) - 1;
  };
  assert.ok(run(false) < -0.15, "survivors are quick");
  assert.ok(Math.abs(run(true)) < 0.05, String(run(true)));
});

test("budget: within floor and ceiling, whole, and neither a timeout nor an attempt given up beyond it makes it shorter", () => {
  const ns = fc.oneof(fc.nat({ max: 70_000 }).map((ms) => ms * MS), fc.nat(), fc.constant(NS_MAX));
  const step = fc.record({ kind: fc.constantFrom("trip", "trip", "trip", "timeout", "censored", "late", "answer", "sleep"), ns, gap: fc.nat({ max: 2000 }) });
  fc.assert(
    fc.property(fc.array(step), fc.boolean(), (steps, hasChain) => {
      const tracker = new RttTracker<string>();
      const at = hasChain ? chain : undefined;
      let now = 1;
      for (const { kind, ns: value, gap } of steps) {
        now += gap * S;
        const before = tracker.estimateBudget("ann", at, DEFAULT, { now });
        if (kind === "trip") tracker.observeRoundTrip("ann", at, value, now);
        else if (kind === "timeout") tracker.observeTimeout("ann", now, now);
        else if (kind === "censored") tracker.observeCensored("ann", at, Math.max(before, Math.min(value, 100 * S)));
        else if (kind === "late") tracker.observeLateReply("ann");
        else if (kind === "answer") tracker.observeAnswer("ann");
        else tracker.discount(gap * S);
        const after = tracker.estimateBudget("ann", at, DEFAULT, { now });
        assert.ok(Number.isInteger(after) && after >= 5 * MS && after <= 60 * S);
        if (kind === "timeout") assert.ok(after >= before, `${before} → ${after}`);
        // One more sample may shift some weight from the parents to the site itself.
        if (kind === "censored") assert.ok(after >= 0.95 * before, `${before} → ${after}`);
      }
    }),
  );
});

test("reference: none of this changes it", () => {
  const tracker = fed(steady(20, 40 * MS), REFERENCE_RTT);
  const budget = () => tracker.estimateBudget("ann", chain, DEFAULT, { now: 9 * HALF_LIFE, via: "bob" });
  const before = budget();
  tracker.observeTimeout("ann", 1, 2);
  tracker.observeTimeout("ann", 3, 4);
  tracker.observeCensored("ann", chain, 9 * S);
  tracker.observeLateReply("ann");
  assert.equal(budget(), before);
  assert.deepEqual(tracker.captureSite("ann")?.tail, []);
  assert.equal(tracker.budgetWeights("ann", chain, DEFAULT).edge.weight, 1);
});
