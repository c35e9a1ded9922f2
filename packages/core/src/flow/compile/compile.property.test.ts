import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compileFlows } from "../library.ts";
import { decodeValue, encodeValue } from "../../base/value-codec.ts";
import { linkProgram } from "../program-link.ts";
import { programHash } from "../program-hash.ts";
import { programToMermaid, programToText } from "../show.ts";
import { randomFlow } from "../testing/random-flow.ts";
import { validateProgram } from "../validate-program.ts";
import { checkProgramGates } from "./check-gates.ts";
import { Compiler, FlowScope, PASSES } from "./compile.ts";
import type { Value } from "../../base/value.ts";
import type { Program } from "../program.ts";
import type { CompileUnit } from "./pass.ts";

const runs = { numRuns: 150 };

/** Leaves nothing but what is stored. */
function stored(program: Program): Value {
  return decodeValue(encodeValue(program as unknown as Value));
}

test("compile: what the builder accepts compiles, and gives the same program in every process", () => {
  fc.assert(fc.property(randomFlow, (flow) => {
    const first = compileFlows([flow]);
    assert.deepEqual(new Compiler().compile(flow).hash, first.flows.get("random"));
    for (const [hash, program] of first.programs) {
      assert.equal(programHash(program), hash);
      assert.equal(program.children.every((child) => first.programs.has(child)), true);
    }
  }), runs);
});

test("compile: every pass is idempotent", () => {
  fc.assert(fc.property(randomFlow, (flow) => {
    const scope = new FlowScope(new Compiler(), flow.draft().uses);
    let unit: CompileUnit = { program: flow.draft().program, children: new Map() };
    for (const pass of PASSES) {
      unit = pass.run(unit, scope);
      assert.deepEqual(pass.run(unit, scope), unit, pass.name);
    }
    for (const pass of PASSES) assert.deepEqual(pass.run(unit, scope), unit, `${pass.name} on the finished program`);
  }), runs);
});

test("compile: G1, every call and send of every program is gated, and none is lost", () => {
  fc.assert(fc.property(randomFlow, (flow) => {
    const { programs } = compileFlows([flow]);
    for (const program of programs.values()) {
      checkProgramGates(program);
      const kinds = program.operations.map(({ kind }) => kind);
      assert.equal(
        kinds.filter((kind) => kind === "gate").length,
        kinds.filter((kind) => kind === "call" || kind === "send").length,
      );
    }
    const remoteMaps = flow.draft().program.operations.filter((operation) => operation.kind === "map-flow" && operation.remote);
    const children = [...programs.values()].filter(({ name }) => name.startsWith("random:"));
    assert.equal(children.length, remoteMaps.length);
  }), runs);
});

test("compile: no operation outlasts its flow", () => {
  fc.assert(fc.property(randomFlow, (flow) => {
    for (const program of compileFlows([flow]).programs.values()) {
      for (const operation of program.operations) {
        if (!("deadlineNs" in operation) || program.deadlineNs === "never") continue;
        assert.notEqual(operation.deadlineNs, "never");
        assert.ok((operation.deadlineNs as number) <= program.deadlineNs);
      }
    }
  }), runs);
});

test("program: what was stored is taken back as it was, linked, and shown", () => {
  fc.assert(fc.property(randomFlow, (flow) => {
    const definitions = compileFlows([flow]);
    for (const [hash, program] of definitions.programs) {
      const taken = validateProgram(stored(program));
      assert.equal(programHash(taken), hash);
      const linked = linkProgram(taken, definitions);
      assert.equal(linked.hash, hash);
      for (const [index, operation] of program.operations.entries()) {
        const readers = new Set(operation.inputs);
        for (const slot of readers) assert.ok(linked.consumers[slot]?.includes(index));
        assert.equal(linked.indegree[index], operation.kind === "race" ? 1 : readers.size);
        for (const slot of operation.outputs) assert.equal(linked.producers[slot], index);
      }
      const consumed = linked.consumers.reduce((sum, readers) => sum + readers.length, 0);
      assert.equal(consumed, program.operations.reduce((sum, { inputs }) => sum + new Set(inputs).size, 0));
      assert.equal(programToText(program).split("\n").length, program.operations.length + 4);
      assert.ok(programToMermaid(program).startsWith("flowchart TD\n"));
    }
  }), runs);
});

test("program: any change of the data is another hash, or no program", () => {
  fc.assert(fc.property(randomFlow, fc.nat(), (flow, at) => {
    const { hash, program } = new Compiler().compile(flow);
    const bytes = encodeValue(program as unknown as Value);
    const changed = bytes.slice();
    const index = at % bytes.length;
    changed[index] = (changed[index] as number) ^ (1 << (at % 8));
    try {
      assert.notEqual(programHash(validateProgram(decodeValue(changed))), hash);
    } catch (error) {
      const { code } = error as { code?: string };
      assert.ok(code === "SNAPSHOT_INVALID" || code === "VALUE_MALFORMED", String(error));
    }
  }), { numRuns: 1000 });
});
