import assert from "node:assert/strict";
import { test } from "node:test";
import * as v from "valibot";
import { flow } from "./flow.ts";
import { programToMermaid, programToText, showPasses } from "./show.ts";
import { greet } from "./testing/random-flow.ts";

const greetAll = flow("greet-all", { input: { names: v.array(v.string()) }, deadlineMs: 500, on: ["guests"] }, (b, { names }) => {
  b.output("failed", b.failure(b.map(names, greet, { to: b.select("workers") })));
});

test("show: a program is a line an operation", () => {
  assert.equal(programToText(greetAll.draft().program), [
    "flow greet-all@1, deadline 500 ms, 5 slots",
    "on   guests",
    "in   names: greet-all.in.names@1",
    "  0  select    select-workers  → select-workers                                      group workers",
    "  1  map-flow  map-greet       names, select-workers → map-greet, map-greet.failure  flow greet, remote, 1 attempts, 8 at a time, fail",
    "  2  output    output-failed   map-greet.failure → output-failed                     port failed",
    "out  nothing",
    "",
  ].join("\n"));
});

test("show: a call that is never hedged says so", () => {
  const shown = flow("careful", { input: { name: v.string() }, deadlineMs: 500 }, (b, { name }) => void b.call(greet, b.select("workers"), { name }, { hedge: "never" }));
  assert.match(programToText(shown.draft().program), /flow greet, 1 attempts, never hedged/);
});

test("show: Mermaid draws failures dotted", () => {
  const lines = programToMermaid(greetAll.draft().program).split("\n");
  assert.ok(lines.includes('  op1["map-flow<br/>map-greet"]'));
  assert.ok(lines.includes('  in0 -->|"names"| op1'));
  assert.ok(lines.includes('  op1 -.->|"map-greet.failure"| op2'));
});

test("show: every pass is there before and after, over the flow and over what it makes up", () => {
  const shown = showPasses(greetAll);
  const passes = ["lower-maps", "check-ports", "derive-deadlines", "stamp-chains", "insert-gates", "check-gates"];
  assert.deepEqual(shown.map(({ program, pass }) => [program, pass]), [
    ...passes.map((pass) => ["greet-all", pass]),
    ...passes.map((pass) => ["greet-all:map-greet", pass]),
  ]);
  const gates = shown.at(-2);
  assert.doesNotMatch(gates?.before ?? "", /gate:/);
  assert.match(gates?.after ?? "", /gate:call-greet/);
});
