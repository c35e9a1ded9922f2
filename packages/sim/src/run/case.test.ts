import assert from "node:assert/strict";
import { test } from "node:test";
import { drawSpaceTime } from "../story/space-time.ts";
import { Story } from "../story/story.ts";
import { catchMutant, MUTANTS } from "../mutants/mutants.ts";
import { type Case, caseOfSeed, parseCase, runCase } from "./case.ts";
import { Shrinker } from "./shrink.ts";

const SHRINK_MS_MAX = 60_000;

/** A runtime that forgets in half a second what it has accepted: a replayed request takes effect twice. */
function doubled(): Case {
  const mutant = MUTANTS.find(({ name }) => name === "dedup-by-time");
  const caught = mutant === undefined ? undefined : catchMutant(mutant);
  assert.ok(mutant !== undefined && caught !== undefined);
  return caseOfSeed(caught.seed, mutant.name).case;
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

test("shrink: a request that is taken twice needs one request, one fault and two nodes on its way", () => {
  const failing = doubled();
  const smallest = new Shrinker(failing, { budgetMs: SHRINK_MS_MAX }).shrink();
  assert.equal(smallest.violation?.rule, failing.violation?.rule);
  assert.equal(smallest.plan.requests.length, 1);
  assert.ok(smallest.plan.conditions.length + smallest.plan.troubles.length <= 2, JSON.stringify(smallest.plan));
  assert.ok(smallest.plan.nodes <= 3);
  assert.deepEqual(runCase(smallest).case, smallest, "and it is a case like any other");
});

test("shrink: without time it gives back what it was given", () => {
  const failing = doubled();
  assert.deepEqual(new Shrinker(failing, { budgetMs: 0 }).shrink(), failing);
});

test("space-time: a lane for each node, an arrow for each frame that came in", () => {
  const story = new Story();
  const smallest = new Shrinker(doubled(), { budgetMs: SHRINK_MS_MAX }).shrink();
  const { run } = runCase(smallest, { story });
  const svg = drawSpaceTime(story, { nodes: smallest.plan.nodes, title: "<a & b>", violation: run.violation?.message ?? "" });
  const frames = story.journeys.filter(({ text }) => !text.startsWith("heartbeat"));
  assert.equal(svg.match(/marker-end/g)?.length, frames.reduce((sum, { arrivedNs }) => sum + arrivedNs.length, 0));
  assert.ok(frames.some(({ arrivedNs }) => arrivedNs.length > 1), "the request came in twice");
  assert.equal(svg.match(/font-weight="bold"/g)?.length, smallest.plan.nodes);
  assert.ok(svg.includes("&lt;a &amp; b&gt;") && svg.includes("counted"));
});
