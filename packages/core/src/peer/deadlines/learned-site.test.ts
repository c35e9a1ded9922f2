import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NS_PER_MS, NS_PER_S } from "../../base/time.ts";
import { BudgetBlend, PRODUCT_LEARNING } from "./budget-blend.ts";
import { GlobalPrior } from "./global-prior.ts";
import { captureGlobal, captureLearned, discountLearned, restoreGlobal, restoreLearned } from "./learned-data.ts";
import { LearnedSite } from "./learned-site.ts";
import { PRODUCT_RTT } from "./rtt-options.ts";
import { RttTracker } from "./rtt-tracker.ts";
import { SITE_CELLS } from "./site-layout.ts";

const DEFAULT_NS = 10 * NS_PER_S;

function newSite(): LearnedSite {
  const cells = new Float64Array(SITE_CELLS);
  return new LearnedSite(PRODUCT_LEARNING).over(cells, new Uint16Array(cells.buffer), 0);
}

const step = fc.record({
  site: fc.nat(2), what: fc.constantFrom("observe", "observe", "observe", "observe", "timeout", "censored", "late", "answer", "discount", "restart"),
  ns: fc.oneof(fc.integer({ min: 1, max: 500 * NS_PER_MS }), fc.integer({ min: 1, max: 50 * NS_PER_S })), afterNs: fc.oneof(fc.nat(NS_PER_S), fc.nat(2000 * NS_PER_S)),
});

test("learned site: alone it learns what a tracker's does, and gives the same budgets", () => {
  fc.assert(fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
    const tracker = new RttTracker<string>();
    const blend = new BudgetBlend(PRODUCT_RTT);
    let prior = new GlobalPrior();
    const sites = [newSite(), newSite(), newSite()];
    let now = 1;
    for (const { site: at, what, ns, afterNs } of steps) {
      const site = sites[at] as LearnedSite;
      const name = `site ${at}`;
      now += afterNs;
      if (what === "observe") {
        tracker.observeRoundTrip(name, undefined, ns, now);
        site.observe(ns, now);
        prior.observe(ns, now, PRODUCT_LEARNING);
      } else if (what === "timeout") {
        tracker.observeTimeout(name, Math.max(0, now - ns), now);
        site.observeTimeout(Math.max(0, now - ns), now);
      } else if (what === "censored") {
        tracker.observeCensored(name, undefined, ns);
        site.observeCensored(ns);
      } else if (what === "late") {
        tracker.observeLateReply(name);
        site.observeLateReply();
      } else if (what === "answer") {
        tracker.observeAnswer(name);
        site.observeAnswer();
      } else if (tracker.captureSite(name) !== undefined) {
        if (what === "discount") {
          // The tracker does it to all sites at once.
          const data = tracker.captureSite(name);
          const apart = new RttTracker<string>();
          apart.restoreSite(name, data!);
          apart.discount(ns);
          tracker.restoreSite(name, apart.captureSite(name)!);
          const copy = newSite();
          restoreLearned(copy, captureLearned(site));
          discountLearned(copy, ns);
          sites[at] = copy;
        } else {
          tracker.restoreSite(name, tracker.captureSite(name)!);
          const copy = newSite();
          restoreLearned(copy, captureLearned(site));
          sites[at] = copy;
          tracker.restorePriors(tracker.capturePriors());
          prior = restoreGlobal(captureGlobal(prior));
        }
      }
      const known = tracker.captureSite(name);
      if (known === undefined) continue;
      const { edges: _edges, reports: _reports, ...data } = known;
      const learned = sites[at] as LearnedSite;
      assert.deepEqual(captureLearned(learned), data);
      // A tracker keeps a budget for a while where there are many samples: until the site itself learns more.
      if (what === "observe" || learned.sampleCount < 64) {
        assert.equal(blend.siteBudgetNs(prior, learned, DEFAULT_NS, now), tracker.estimateBudget(name, undefined, DEFAULT_NS, { now }));
      }
    }
    const { chains: _chains, ...priors } = tracker.capturePriors();
    assert.deepEqual(captureGlobal(prior), priors);
    assert.equal(blend.siteBudgetNs(prior, undefined, DEFAULT_NS, now), tracker.estimateBudget("nobody", undefined, DEFAULT_NS, { now }));
  }), { numRuns: 200 });
});

test("learned site: stored data is read with care", () => {
  const site = newSite();
  for (let at = 1; at < 20; at++) site.observe(at * NS_PER_MS, at);
  const good = captureLearned(site);
  for (const wrong of [{ aggregate: null }, { tail: [1] }, { tail: [99, 1] }, { timeouts: 33 }, { widening: -1 }, { lastUpdatedAt: 0.5 }]) {
    assert.throws(() => restoreLearned(newSite(), { ...good, ...wrong } as typeof good), { code: "SNAPSHOT_INVALID" }, JSON.stringify(wrong));
  }
  assert.throws(() => restoreGlobal({ global: good.aggregate, updatedAt: -1, tail: [] }), { code: "SNAPSHOT_INVALID" });
});
