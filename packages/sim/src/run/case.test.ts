import assert from "node:assert/strict";
import { test } from "node:test";
import { drawSpaceTime } from "../story/space-time.ts";
import { Story } from "../story/story.ts";
import { catchMutant, MUTANTS } from "../mutants/mutants.ts";
import { type Case, caseOfSeed, parseCase, runCase } from "./case.ts";
import { Shrinker } from "./shrink.ts";

const SHRINK_MS_MAX = 60_000;

let found: { readonly failing: Case; readonly smallest: Case } | undefined;

/** A runtime that forgets in half a second what it has accepted: a replayed request takes effect twice. */
function doubled(): { readonly failing: Case; readonly smallest: Case } {
  if (found !== undefined) return found;
  const mutant = MUTANTS.find(({ name }) => name === "dedup-by-time");
  const caught = mutant === undefined ? undefined : catchMutant(mutant);
  assert.ok(mutant !== undefined && caught !== undefined);
  const failing = caseOfSeed(caught.seed, mutant.name).case;
  return (found = { failing, smallest: new Shrinker(failing, { budgetMs: SHRINK_MS_MAX }).shrink() });
}

test("case: what a seed chose, chosen again, leaves the same trace; also from its file", () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const { case: kept, run } = caseOfSeed(seed);
    const again = runCase(parseCase(JSON.stringify(kept)));
    assert.equal(again.run.hash, run.hash);
    assert.deepEqual(again.case, kept);
  }
});

test("case: another version, or no case at all, is refused", () => {
  assert.throws(() => parseCase("{}"), /no case/);
  assert.throws(() => parseCase(JSON.stringify({ ...caseOfSeed(1).case, version: 0 })), /no case/);
  assert.throws(() => caseOfSeed(1, "nobody"), /no mutant/);
});

test("shrink: a request that is taken twice needs itself, one fault, and whoever is on its way", () => {
  const { failing, smallest } = doubled();
  assert.equal(smallest.violation?.rule, failing.violation?.rule);
  assert.ok(smallest.plan.requests.length <= 2, "and perhaps one that keeps the world going until the replay");
  assert.ok(smallest.plan.conditions.length + smallest.plan.troubles.length <= 2, JSON.stringify(smallest.plan));
  assert.ok(smallest.plan.nodes <= 3);
  assert.deepEqual(runCase(smallest).case, smallest, "and it is a case like any other");
});

test("shrink: without time it gives back what it was given", () => {
  const { failing } = doubled();
  assert.deepEqual(new Shrinker(failing, { budgetMs: 0 }).shrink(), failing);
});

test("space-time: a lane for each node, an arrow for each frame that came in", () => {
  const story = new Story();
  const { smallest } = doubled();
  const { run } = runCase(smallest, { story });
  const svg = drawSpaceTime(story, { nodes: smallest.plan.nodes, title: "<a & b>", violation: run.violation?.message ?? "" });
  const frames = story.journeys.filter(({ text }) => !text.startsWith("heartbeat"));
  assert.equal(svg.match(/marker-end/g)?.length, frames.reduce((sum, { arrivedNs }) => sum + arrivedNs.length, 0));
  const requests = frames.flatMap(({ text, arrivedNs }) => arrivedNs.flatMap(() => /^request \d+/.exec(text) ?? []));
  assert.ok(new Set(requests).size < requests.length, "a request came in twice");
  assert.equal(svg.match(/font-weight="bold"/g)?.length, smallest.plan.nodes);
  assert.ok(svg.includes("&lt;a &amp; b&gt;") && svg.includes("counted"));
});
