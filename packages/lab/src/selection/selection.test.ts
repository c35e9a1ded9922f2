import assert from "node:assert/strict";
import { test } from "node:test";
import { type Figures, figuresOf } from "./figures.ts";
import { LEAST_LOADED } from "./policies/least-loaded.ts";
import { ROUND_ROBIN } from "./policies/plain.ts";
import { POLICIES } from "./policies/policies.ts";
import type { PolicyEntry } from "./policies/policy.ts";
import { report } from "./report/report.ts";
import { runPolicy } from "./run-policy.ts";
import { type Scenario, SCENARIOS } from "./scenarios.ts";

const S = 1e9;
/** Every scenario, with less of everything. */
const SHORT = SCENARIOS.map((scenario): Scenario => ({ ...scenario, lastsNs: 4 * S, from: Math.min(scenario.from, 2 * S), to: Math.min(scenario.to, 4 * S) }));
const [slow, fails, joins] = SHORT as [Scenario, Scenario, Scenario];

function figures(scenario: Scenario, name: string): Figures {
  return figuresOf(scenario, [1, 2, 3].map((run) => runPolicy(scenario, POLICIES.find((entry) => entry.name === name) as PolicyEntry, `test ${run}`)));
}

test("selection: the requests, their instants and their work are the same for every policy, a run is the same twice", () => {
  const runs = POLICIES.map((entry) => runPolicy(fails, entry, "test"));
  for (const { requests, latenciesNs, failed } of runs) {
    assert.equal(requests, runs[0]?.requests);
    assert.equal(latenciesNs.length + failed, requests, "every request ends once");
  }
  for (const scenario of SHORT) for (const entry of POLICIES) assert.deepEqual(runPolicy(scenario, entry, "again"), runPolicy(scenario, entry, "again"));
});

test("selection: round robin gives each its share, nobody is asked before it joins, only the hedged hedge", () => {
  assert.ok(Math.abs(figures(slow, "round robin").share - 1) < 0.01);
  const before = runPolicy({ ...joins, from: joins.lastsNs, to: joins.lastsNs }, ROUND_ROBIN, "test");
  assert.equal(before.watched, 0);
  for (const entry of POLICIES) {
    const { hedges, requests } = runPolicy(slow, entry, "test");
    assert.equal(hedges > 0, entry.hedges === true, entry.name);
    assert.ok(hedges <= 0.1 * requests + 10, entry.name);
  }
});

test("selection: ours finds who fails half within 30 requests, in every run, and sets nobody else aside", () => {
  const { asideMax, asideClients, clients, wronglyAside } = figures(fails, "ours");
  assert.ok(asideMax <= 30, String(asideMax));
  assert.deepEqual([clients, asideClients, wronglyAside], [3, 3, 0]);
});

test("selection: ours answers 99.9 % while one of eleven is slow, and least loaded of two does worse", () => {
  const scenario = SCENARIOS[0] as Scenario;
  const success = (entry: PolicyEntry) => figuresOf(scenario, [runPolicy(scenario, entry, "test")]).success;
  const ours = success(POLICIES.find(({ name }) => name === "ours") as PolicyEntry);
  assert.ok(ours >= 0.999, String(ours));
  assert.ok(success(LEAST_LOADED) < ours);
});

test("selection: the report has a page and a drawing for each scenario, and says where ours loses", () => {
  const results = SHORT.map((scenario) => POLICIES.map((entry) => figuresOf(scenario, [runPolicy(scenario, entry, "test")])));
  const files = report(results, { seed: "test", effort: 1 });
  assert.equal(files.size, 1 + 2 * SCENARIOS.length);
  for (const [name, text] of files) assert.doesNotMatch(text, /NaN|undefined|Infinity/, name);
  assert.match(files.get("README.md") as string, /## Where ours loses\n\n(Nowhere|- \()/);
  const worst = results.map((row) => row.map((one, at) => (POLICIES[at]?.isOurs === true ? { ...one, success: 0.5, p99: 9e9 } : one)));
  assert.match(report(worst, { seed: "test", effort: 1 }).get("README.md") as string, /\*ours\* has a success of 50\.0000 %/);
});
