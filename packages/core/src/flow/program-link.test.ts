import assert from "node:assert/strict";
import { test } from "node:test";
import * as v from "valibot";
import { flow } from "./flow.ts";
import { compileFlows } from "./library.ts";
import { linkProgram, missingDefinitions } from "./program-link.ts";
import { add, count, entries, greet, length, shout } from "./testing/random-flow.ts";
import type { Definitions } from "./definitions.ts";
import type { Program } from "./program.ts";

const everything = flow("everything", { input: { text: v.string() }, output: { sum: v.number() }, deadlineMs: 1_000 }, (b, { text }) => {
  const size = b.pure(length, text);
  const loud = b.host(shout, text);
  b.output("failed", b.failure(loud));
  b.map(b.constant(["a"]), greet, { into: b.cells("words", entries, count) });
  b.update("words", b.race(loud, text, text), count, size);
  b.wait("event", v.string());
  return { sum: b.pure(add, size, size) };
});

const definitions = compileFlows([everything]);
const program = definitions.programs.get(definitions.flows.get("everything") as never) as Program;

test("link: everything that executions look up is looked up", () => {
  const linked = linkProgram(program, definitions);
  const at = (name: string) => program.operations.findIndex((operation) => operation.name === name);
  const text = linked.inputByName.get("text");
  assert.equal(text, linked.inputs[0]);
  assert.equal(text?.schema, definitions.schemas.get("everything.in.text@1"));
  assert.equal(linked.outputs[0]?.slot, program.operations[at("add")]?.outputs[0]);
  assert.deepEqual(linked.isOutput.flatMap((is, slot) => (is ? [slot] : [])), [linked.outputs[0]?.slot]);
  assert.equal(linked.isOutput.length, program.slots);
  assert.deepEqual(linked.consumers[text?.slot ?? -1], [at("length"), at("shout"), at("race")]);
  assert.deepEqual(linked.sources, [at("constant"), at("wait-event")]);
  assert.equal(linked.indegree[at("add")], 1, "one slot, read twice");
  assert.equal(linked.indegree[at("race")], 1, "a race needs one");
  assert.equal(linked.indegree[at("update-words")], 2);
  assert.equal(linked.producers[program.operations[at("shout")]?.onError as number], at("shout"));
  assert.equal(linked.producers[text?.slot ?? 0], -1);
  assert.equal(linked.pure[at("add")], add.fn);
  assert.equal(linked.pure[at("update-words")], count.fn);
  assert.equal(linked.host[at("shout")], definitions.host.get("shout@1"));
  assert.equal(linked.schemas[at("wait-event")], definitions.schemas.get("everything.wait.wait-event@1"));
  assert.deepEqual(linked.folds[at("map-greet")], [{ cells: "words", entries: entries.fn, fold: count.fn }]);
  assert.deepEqual(linked.folds[at("add")], []);
});

test("link: all that is missing is listed at once", () => {
  const none: Definitions = { pure: new Map(), host: new Map(), schemas: new Map(), programs: new Map(), flows: new Map() };
  const missing = [
    "host shout@1", "pure add@1", "pure count@1", "pure entries@1", "pure length@1",
    "schema everything.in.text@1", "schema everything.out.sum@1", "schema everything.wait.wait-event@1",
  ];
  assert.deepEqual(missingDefinitions(program, none), missing);
  assert.deepEqual(missingDefinitions(program, definitions), []);
  assert.throws(() => linkProgram(program, none), (error: { code?: string; details?: object }) => {
    assert.equal(error.code, "DEFINITION_MISSING");
    assert.deepEqual(error.details, { program: "everything", version: 1, missing });
    return true;
  });
});
