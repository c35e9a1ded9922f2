import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { RuntimeError } from "../../base/errors.ts";
import type { ChainId } from "../../base/ids.ts";
import { NS_MAX, NS_PER_MS, NS_PER_S } from "../../base/time.ts";
import { attemptBudgetNs } from "./attempt-budget.ts";
import { RttEma } from "./rtt-ema.ts";
import { REFERENCE_RTT } from "./rtt-options.ts";
import { RttTracker } from "./rtt-tracker.ts";

const MS = NS_PER_MS;
const S = NS_PER_S;
const chain = { chainId: "00000000000000aa" as ChainId, hopIndex: 1 };
const isSnapshotInvalid = (error: RuntimeError) => error.code === "SNAPSHOT_INVALID";

function fed(samplesNs: readonly number[], options = {}): RttTracker<string> {
  const tracker = new RttTracker<string>(options);
  samplesNs.forEach((sample, at) => tracker.observeRoundTrip("ann", chain, sample, 1 + at));
  return tracker;
}

const budgets = [
  { name: "the static default is taken as told", samples: [], budgetNs: 7 },
  { name: "the floor holds quick sites up", samples: Array(9).fill(1), options: { minDeviationNs: 0, tails: false }, budgetNs: 5 * MS },
  { name: "the ceiling holds slow ones down", samples: Array(9).fill(90 * S), budgetNs: 60 * S },
  { name: "a steady site keeps a deviation", samples: Array(60).fill(100 * MS), options: { blendSamples: 0 }, budgetNs: 120 * MS },
  { name: "zero samples are refused", samples: [0, 0, 0, 0], budgetNs: 7 },
  { name: "the reference takes them", samples: [0, 0, 0, 0], options: REFERENCE_RTT, budgetNs: 0 },
];

for (const { name, samples, options = {}, budgetNs } of budgets) {
  test(`rtt budget: ${name}`, () => assert.equal(fed(samples, options).estimateBudget("ann", chain, 7), budgetNs));
}

test("rtt budget: T1: the tier that weighs most is told", () => {
  const tracker = fed([MS, MS, MS]);
  const other = { ...chain, hopIndex: 2 };
  const unknown = { chainId: "00000000000000bb" as ChainId, hopIndex: 0 };
  assert.equal(tracker.budgetTier("ann", chain), "edge");
  assert.equal(tracker.budgetTier("ann", other), "site");
  assert.equal(tracker.budgetTier("ann", undefined), "site");
  assert.equal(tracker.budgetTier("bob", chain), "chain");
  assert.equal(tracker.budgetTier("bob", unknown), "global");
  assert.equal(fed([MS]).budgetTier("ann", chain), "static");
});

test("attempt budget: doubles, saturates at the ceiling, and never stands still at nothing", () => {
  assert.deepEqual([0, 1, 3, 4, 4e9].map((doublings) => attemptBudgetNs(100, doublings, 1000)), [100, 200, 800, 1000, 1000]);
  assert.equal(attemptBudgetNs(0, 3, 1000), 8);
  assert.equal(attemptBudgetNs(5000, 0, 1000), 1000);
  assert.equal(attemptBudgetNs(NS_MAX, 64, NS_MAX), NS_MAX);
});

test("rtt tracker: a round trip proves life to a site that is watched, and makes nobody watched", () => {
  const tracker = fed([MS, MS, MS]);
  assert.equal(tracker.watch.has("ann"), false);
  tracker.watch.recordHeartbeat("ann", 1 + S);
  tracker.observeRoundTrip("ann", undefined, MS, 1 + 20 * S);
  assert.equal(tracker.watch.lastSeenAt("ann"), 1 + 20 * S);
});

test("rtt tracker: explain shows what a budget rests on", () => {
  const tracker = fed([MS, MS, MS]);
  assert.equal(tracker.explain("nobody", 1), undefined);
  const explanation = tracker.explain("ann", 7 * MS, { chain });
  assert.equal(explanation?.tier, "edge");
  assert.equal(explanation.budgetNs, tracker.estimateBudget("ann", chain, 7 * MS));
});

test("rtt bounds: T2: the sites least recently asked go, their chain's prior stays", () => {
  const evicted: string[] = [];
  const tracker = new RttTracker<string>({ maxEntries: 2, onEvict: (site) => evicted.push(site) });
  for (let at = 1; at <= 3; at++) tracker.observeRoundTrip("ann", chain, MS, at);
  tracker.observeRoundTrip("old", undefined, MS, 2);
  tracker.observeRoundTrip("new", undefined, MS, 4);
  assert.deepEqual(evicted, ["old"]);
  tracker.observeRoundTrip("newer", undefined, MS, 5);
  assert.deepEqual(evicted, ["old", "ann"]);
  assert.equal(tracker.budgetTier("ann", chain), "chain");
});

test("rtt bounds: chains and reports of a site are bounded, the least recent go", () => {
  const tracker = new RttTracker<string>({ maxPerSite: 2, maxChains: 1 });
  const estimate = { srttNs: 1, rttvarNs: 1, sampleCount: 1 };
  for (const id of ["a", "b", "a", "c"]) {
    tracker.ingestReportedOutgoing("ann", "hop", id as ChainId, estimate);
    tracker.observeRoundTrip("ann", { chainId: id as ChainId, hopIndex: 0 }, MS, 1);
  }
  const data = tracker.captureSite("ann");
  assert.deepEqual(data?.reports.map(({ chainId }) => chainId), ["a", "c"]);
  assert.deepEqual(data?.edges.map(({ chainId }) => chainId), ["a", "c"]);
  assert.deepEqual(tracker.capturePriors().chains.map(({ chainId }) => chainId), ["c"]);
});

test("rtt reports: what a peer claims is made whole, not believed", () => {
  const tracker = new RttTracker<string>();
  tracker.ingestReportedOutgoing("ann", "bob", chain.chainId, { srttNs: -1, rttvarNs: Infinity, sampleCount: NaN });
  const { srttNs, rttvarNs, sampleCount } = tracker.report("ann", "bob", chain.chainId) ?? assert.fail();
  assert.deepEqual([srttNs, rttvarNs, sampleCount], [0, NS_MAX, 0]);
});

test("rtt: any history gives whole quantities, and is captured and restored alike", () => {
  const quantity = fc.oneof(fc.nat(), fc.double({ min: 0, max: NS_MAX, noNaN: true }).map(Math.floor));
  const site = fc.constantFrom("a", "b", "c");
  const step = fc.record({ kind: fc.constantFrom("trip", "report"), site, ns: quantity, now: quantity, hop: fc.nat(3) });
  fc.assert(
    fc.property(fc.array(step), fc.boolean(), (steps, reference) => {
      const make = () => new RttTracker<string>(reference ? REFERENCE_RTT : {});
      const tracker = make();
      for (const { kind, site, ns, now, hop } of steps) {
        if (kind === "trip") tracker.observeRoundTrip(site, hop === 0 ? undefined : { ...chain, hopIndex: hop }, ns, now);
        else tracker.ingestReportedOutgoing(site, "d", chain.chainId, { srttNs: ns, rttvarNs: now, sampleCount: hop });
        const budgetNs = tracker.estimateBudget(site, chain, ns);
        assert.ok(Number.isInteger(budgetNs) && budgetNs >= 0 && budgetNs <= NS_MAX);
      }
      const copy = make();
      copy.restorePriors(JSON.parse(JSON.stringify(tracker.capturePriors())));
      for (const name of tracker.trackedSites()) {
        copy.restoreSite(name, JSON.parse(JSON.stringify(tracker.captureSite(name) ?? assert.fail())));
        assert.deepEqual(copy.captureSite(name), tracker.captureSite(name));
      }
      assert.deepEqual(copy.capturePriors(), tracker.capturePriors());
    }),
  );
});

test("rtt: damaged sites and priors are refused and change nothing", () => {
  const tracker = fed([MS]);
  const good = tracker.captureSite("ann") ?? assert.fail();
  const [edge] = good.edges;
  const damages = [
    { aggregate: { ...good.aggregate, srttNs: NaN } },
    { aggregate: null },
    { edges: [{ ...edge, hopIndex: 256 }] },
    { edges: [{ ...edge, rttvarNs: 0.5 }] },
    { edges: {} },
    { reports: [{ nextHop: 1, chainId: "a", srttNs: 1, rttvarNs: 1, sampleCount: 1 }] },
    { tail: [64, 1] },
    { timeouts: -1 },
    { widening: 0.5 },
    { lastUpdatedAt: undefined },
  ];
  for (const damage of damages) {
    assert.throws(() => tracker.restoreSite("ann", { ...good, ...damage } as typeof good), isSnapshotInvalid);
  }
  assert.throws(() => tracker.restorePriors({ ...tracker.capturePriors(), chains: [null as never] }), isSnapshotInvalid);
  assert.deepEqual(tracker.captureSite("ann"), good);
  assert.equal(tracker.capturePriors().chains.length, 1);
});

test("rtt estimate: E1: stays whole and saturates, whatever the samples and shifts", () => {
  const sample = fc.double({ min: 0, max: NS_MAX, noNaN: true }).map(Math.floor);
  fc.assert(
    fc.property(fc.array(fc.tuple(sample, fc.nat(63), fc.nat(63))), (samples) => {
      const ema = new RttEma();
      for (const [ns, alpha, beta] of samples) {
        ema.observeWithShifts(ns, alpha, beta);
        for (const value of [...Object.values(ema.state()), ema.budgetNs()]) {
          assert.ok(Number.isInteger(value) && value >= 0 && value <= NS_MAX);
        }
      }
      assert.deepEqual(RttEma.restore(ema.state()).state(), ema.state());
    }),
  );
});
