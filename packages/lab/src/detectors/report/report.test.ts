import assert from "node:assert/strict";
import { test } from "node:test";
import { calibrate } from "../calibration.ts";
import { experiment } from "../experiment.ts";
import { TRACES } from "../traces/traces.ts";
import { verdicts } from "./pareto.ts";
import { rate, seconds } from "../../report/numbers.ts";
import { judge, report } from "./report.ts";

const OPTIONS = { seed: "test", peers: 1 };
const NO_MORE = { otherSeeds: [], moreOfOurs: [] };
const REPORT = { seed: "test", effort: 1, kept: [], footprints: [] };

const results = TRACES.map((trace) => judge(trace, experiment(trace, OPTIONS), NO_MORE));

test("report: the same seed gives the same bytes, another one others", () => {
  const files = report(results, REPORT);
  assert.equal(files.size, 1 + 2 * TRACES.length);
  for (const [name, text] of files) assert.doesNotMatch(text, /NaN|undefined|Infinity/, name);
  const short = TRACES.filter(({ name }) => ["b-loss-5", "g-periods", "e-stall"].includes(name));
  const again = report(short.map((trace) => judge(trace, experiment(trace, OPTIONS), NO_MORE)), REPORT);
  for (const { name } of short) {
    assert.equal(again.get(`${name}.md`), files.get(`${name}.md`));
    assert.equal(again.get(`${name}.svg`), files.get(`${name}.svg`));
  }
  assert.notDeepEqual(short.map((trace) => experiment(trace, { ...OPTIONS, seed: "other" })), short.map((trace) => experiment(trace, OPTIONS)));
});

test("report: the wall clock matters to no rule but the control", () => {
  const rows = (name: string) => results.find(({ trace }) => trace.name === name)?.rows.filter(({ rule }) => rule.isControl !== true).map(({ figures }) => figures);
  assert.deepEqual(rows("m-wall-clock"), rows("a-jitter"));
});

test("report: ours makes no mistake when the observer stalls or is suspended", () => {
  for (const { trace, rows } of results.filter(({ trace }) => trace.name.startsWith("e-"))) {
    for (const { rule, figures } of rows) if (rule.isOurs === true) assert.equal(figures.mistakesPerDay, 0, `${rule.name}: ${trace.title}`);
  }
});

test("report: of what was never seen the bound over all seeds is told, and of goals what was kept", () => {
  const [trace] = TRACES as [(typeof TRACES)[number]];
  const figures = experiment(trace, OPTIONS);
  const of = (mistakes: number) => figures.map((one) => ({ ...one, mistakes, mistakesPerDay: mistakes, peerDays: 100 }));
  const page = report([judge(trace, of(0), { otherSeeds: [of(0), of(0)], moreOfOurs: [] })], REPORT).get("README.md") ?? "";
  assert.match(page, /< 0\.010 /);
  assert.match(page, /\| 2 of 2 \|/);
  const kept = [{ goal: "1 h", asks: true, cold: { mistakes: 2, promised: 4 }, steady: { mistakes: 40, promised: 10 } }];
  const goals = report([], { ...REPORT, kept: [{ trace, kept }] }).get("README.md") ?? "";
  assert.match(goals, /\| 1 h \| asks \| 2 \/ 4\.0 = 0\.50 \| \*\*40 \/ 10 = 4\.0\*\* \|/);
});

test("goals: what is promised is the time over the goal, and jitter alone keeps it", () => {
  const [trace] = TRACES as [(typeof TRACES)[number]];
  const kept = calibrate(trace, { seed: "test", peers: 4 });
  assert.deepEqual(kept.map(({ goal }) => goal), ["10 min", "1 h", "1 day", "30 days", "10 min", "1 h", "1 day", "30 days"]);
  for (const { cold, steady, goal } of kept) {
    if (goal === "1 h") assert.equal(cold.promised, 4);
    assert.ok(steady.mistakes <= 3 * steady.promised + 3, `${goal}: ${steady.mistakes} / ${steady.promised}`);
  }
});

test("pareto: dominated is who is beaten in one and in neither better; equals stand side by side", () => {
  const point = (name: string, detectionP99: number, cost: number) => ({ name, detectionP99, cost });
  const found = verdicts([point("fast", 1, 9), point("exact", 9, 0), point("both", 2, 1), point("twin", 2, 1), point("worse", 3, 1), point("never", Infinity, 0)]);
  assert.deepEqual(Object.fromEntries(found), {
    fast: { kind: "front" }, exact: { kind: "front" }, both: { kind: "front" }, twin: { kind: "front" },
    worse: { kind: "dominated", by: "both" }, never: { kind: "dominated", by: "exact" },
  });
  const between = verdicts([{ ...point("suspect", 1, 0), isOurs: true }, { ...point("down", 3, 0), isOurs: true }, point("theirs", 2, 0)]);
  assert.deepEqual(between.get("down"), { kind: "dominated", by: "theirs" });
  const ours = verdicts([{ ...point("suspect", 1, 0), isOurs: true }, { ...point("down", 2, 0), isOurs: true }, point("theirs", 3, 0)]);
  assert.deepEqual(Object.fromEntries(ours), { suspect: { kind: "front" }, down: { kind: "front" }, theirs: { kind: "dominated", by: "suspect" } });
});

test("numbers: never, none, and as many digits as there is evidence", () => {
  assert.deepEqual([Infinity, NaN, 4.5, 120].map(seconds), ["never", "–", "4.50", "120"]);
  assert.deepEqual([0, 0.0123, 12.34, 1234.5].map(rate), ["0", "0.012", "12.3", "1235"]);
});
