import assert from "node:assert/strict";
import { test } from "node:test";
import * as v from "valibot";
import { flow } from "./flow.ts";
import { host, pure } from "./functions.ts";
import { compileFlows } from "./library.ts";
import { schema } from "./port-schema.ts";
import { greet, relay } from "./testing/random-flow.ts";

function greeting(version: number, text: string) {
  return flow("greeting", { version, output: { text: v.string() }, deadlineMs: 1 }, (b) => ({ text: b.constant(text) }));
}

test("library: flows that are called or mapped over come along", () => {
  const outer = flow("outer", { deadlineMs: 1 }, (b) => void b.call(relay, b.peer("ann"), { name: b.constant("Ann"), times: b.constant(1) }));
  const { flows, programs, pure, host, schemas } = compileFlows([outer]);
  assert.deepEqual([...flows.keys()], ["greet", "outer", "relay"]);
  assert.equal(programs.size, 3);
  assert.deepEqual([[...pure.keys()], [...host.keys()]], [["message@1"], ["shout@1"]]);
  assert.deepEqual([...schemas.keys()].sort(), ["greet.in.name@1", "greet.out.text@1", "relay.in.name@1", "relay.in.times@1", "relay.out.text@1"]);
});

test("library: versions stand side by side, and the name means the newest", () => {
  const [v2, v10] = [greeting(2, "two"), greeting(10, "ten")];
  for (const flows of [[v2, v10], [v10, v2]]) {
    const definitions = compileFlows(flows);
    assert.equal(definitions.programs.size, 2);
    assert.equal(definitions.programs.get(definitions.flows.get("greeting") as never)?.version, 10);
  }
});

test("library: the order of the flows changes nothing", () => {
  assert.deepEqual(compileFlows([greet, relay]), compileFlows([relay, greet]));
});

test("library: two definitions under one pin are refused, across flows too", () => {
  assert.throws(() => compileFlows([greeting(1, "a"), greeting(1, "b")]), /two different definitions of the flow greeting@1/);
  const [one, two] = [() => 1, () => 2];
  const using = (name: string, fn: () => number) => flow(name, { deadlineMs: 1 }, (b) => void b.host(host("work", {}, fn)));
  assert.throws(() => compileFlows([using("a", one), using("b", two)]), /host function work@1/);
  assert.equal(compileFlows([using("a", one), using("b", one)]).host.size, 1);
  const taking = (name: string) => flow(name, { input: { text: schema("text", {}, v.string()) }, deadlineMs: 1 }, () => {});
  assert.throws(() => compileFlows([taking("a"), taking("b")]), /schema text@1/);
});

test("library: definitions that only work in flight needs can be kept", () => {
  const keep = [pure("old", { version: 1 }, () => 1), host("gone", { version: 4 }, () => 1), schema("past", {}, v.string())];
  const definitions = compileFlows([], { keep });
  assert.deepEqual([[...definitions.pure.keys()], [...definitions.host.keys()], [...definitions.schemas.keys()]], [["old@1"], ["gone@4"], ["past@1"]]);
});
