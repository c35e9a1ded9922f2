import assert from "node:assert/strict";
import { test } from "node:test";
import * as v from "valibot";
import { chainIdFromTargets } from "../../peer/deadlines/chain-id.ts";
import { flow } from "../flow.ts";
import { host, pure } from "../functions.ts";
import { any } from "../port-schema.ts";
import { greet, relay, shout } from "../testing/random-flow.ts";
import { checkProgramGates } from "./check-gates.ts";
import { checkPorts } from "./check-ports.ts";
import { Compiler, FlowScope, PASSES } from "./compile.ts";
import { TARGET_PORT } from "./lower-maps.ts";
import type { AnyFlow } from "../flow.ts";
import type { FlowBuilder } from "../flow-builder.ts";
import type { Port } from "../port.ts";
import type { Operation, Program } from "../program.ts";

const names = { input: { names: v.array(v.string()) }, deadlineMs: 7_000 } as const;

function compiled(flow: AnyFlow) {
  return new Compiler().compile(flow);
}

function asking(build: (b: FlowBuilder, names: Port<string[]>) => void): Program {
  return compiled(flow("asking", names, (b, { names }) => build(b, names))).program;
}

test("passes: they run in the order of the design", () => {
  assert.deepEqual(PASSES.map(({ name }) => name), ["lower-maps", "check-ports", "derive-deadlines", "stamp-chains", "insert-gates", "check-gates"]);
});

test("lower-maps: a local map runs the flow's own program", () => {
  const { operations, children } = asking((b, names) => void b.map(names, greet));
  const [map] = operations;
  assert.equal(map?.kind === "map" && map.program, compiled(greet).hash);
  assert.deepEqual(children, [compiled(greet).hash]);
  assert.deepEqual(map?.kind === "map" && map.ports, ["name"]);
});

test("lower-maps: a remote map runs a made-up child that makes one gated call", () => {
  const parent = compiled(flow("asking", names, (b, { names }) => {
    b.map(names, relay, { item: "name", with: { times: b.constant(2) }, to: b.select("workers"), retry: { attempts: 4 } });
  }));
  const map = parent.program.operations.at(-1);
  assert.deepEqual(map?.kind === "map" && [map.ports, map.inputs], [["name", "times", TARGET_PORT], [0, 1, 2]]);
  const [child] = parent.children.values();
  assert.deepEqual(child, {
    format: 1,
    name: "asking:map-relay",
    version: 1,
    inputs: [{ name: "name", slot: 0, schema: null }, { name: "times", slot: 1, schema: null }, { name: TARGET_PORT, slot: 2, schema: null }],
    outputs: [{ name: "text", slot: 3, schema: null }],
    deadlineNs: 7_000_000_000,
    slots: 5,
    operations: [
      { kind: "gate", name: "gate:call-relay", inputs: [2], outputs: [4], onError: null },
      {
        kind: "call", name: "call-relay", inputs: [2, 4, 0, 1], outputs: [3], onError: null, flow: "relay", ports: ["name", "times"],
        results: ["text"], chain: { id: chainIdFromTargets("relay,greet"), hop: 0 }, deadlineNs: 7_000_000_000, attempts: 4,
      },
    ],
    children: [],
    subscribes: [],
  });
});

test("lower-maps: what is said of hedging goes to the child's call; what is not said is not encoded", () => {
  const hedgeOf = (options: { readonly hedge?: "auto" | "never" }): unknown[] => {
    const parent = compiled(flow("asking", names, (b, { names }) => void b.map(names, greet, { to: b.select("workers"), ...options })));
    const call = [...parent.children.values()][0]?.operations.at(-1);
    return call !== undefined && "hedge" in call ? [call.hedge] : [];
  };
  assert.deepEqual([hedgeOf({}), hedgeOf({ hedge: "auto" }), hedgeOf({ hedge: "never" })], [[], [], ["never"]]);
});

test("lower-maps: a flow that runs itself as a child is refused; one that calls itself is not", () => {
  const mapsItself: AnyFlow = flow("self", names, (b, { names }) => void b.map(names, mapsItself as typeof greet));
  assert.throws(() => compiled(mapsItself), { code: "FLOW_INVALID" });
  const callsItself: AnyFlow = flow("self", { input: { name: v.string() }, output: { text: v.string() }, deadlineMs: 1 }, (b, { name }) => {
    return { text: b.call(callsItself as typeof greet, b.peer("ann"), { name }).text };
  });
  const call = compiled(callsItself).program.operations.at(-1);
  assert.equal(call?.kind === "call" && call.chain?.id, chainIdFromTargets("self"));
});

test("derive-deadlines: nothing outlasts the flow, and never means as long as the flow", () => {
  const { operations } = asking((b) => {
    const name = b.constant("Ann");
    b.host(shout, name); // 2 s of its own
    b.host(shout, name, { deadlineMs: "never" });
    b.host(shout, name, { deadlineMs: 60_000 });
    b.call(greet, b.peer("ann"), { name }); // 5 s of the flow called
    b.wait("event");
  });
  const deadlines = operations.flatMap((operation) => ("deadlineNs" in operation ? [operation.deadlineNs] : []));
  assert.deepEqual(deadlines, [2e9, 7e9, 7e9, 5e9, 7e9]);
});

test("stamp-chains: a chain names the longest path of nested calls, local maps being no hop", () => {
  const middle = flow("middle", { input: { names: v.array(v.string()) }, deadlineMs: 1 }, (b, { names }) => {
    const peer = b.peer("ann");
    b.call(greet, peer, { name: b.constant("Ann") });
    b.map(names, relay, { item: "name", with: { times: b.constant(1) } });
    b.send(greet, peer, { name: b.constant("Ann") });
  });
  const deep = flow("deep", { input: { names: v.array(v.string()) }, deadlineMs: 1 }, (b, { names }) => {
    b.map(names, relay, { item: "name", with: { times: b.constant(1) }, to: b.peer("ann") });
  });
  const chains = asking((b, names) => {
    const peer = b.peer("ann");
    b.call(middle, peer, { names });
    b.send(deep, peer, { names });
    b.call(greet, peer, { name: b.constant("Ann") });
  }).operations.flatMap((operation) => (operation.kind === "call" || operation.kind === "send" ? [operation.chain] : []));
  assert.deepEqual(chains, ["middle,greet", "deep,relay,greet", "greet"].map((targets) => ({ id: chainIdFromTargets(targets), hop: 0 })));
});

test("insert-gates: a caught failure is caught from the gate too, and each slot keeps one writer", () => {
  const { operations } = compiled(relay).program;
  const [, gate, call, race] = operations;
  assert.deepEqual([gate?.kind, call?.kind, race?.kind], ["gate", "call", "race"]);
  assert.equal(call?.inputs[1], gate?.outputs[0]);
  assert.deepEqual(race?.inputs, [gate?.onError, call?.onError]);
  assert.deepEqual(race?.outputs, [relay.draft().program.operations[1]?.onError]);
});

test("check-gates: every way around a gate is found", () => {
  const program = asking((b) => {
    const ann = b.peer("ann");
    b.call(greet, ann, { name: b.constant("Ann") });
    b.call(greet, b.peer("bob"), { name: b.constant("Bob") });
  });
  const at = (kind: Operation["kind"]) => program.operations.flatMap((operation, index) => (operation.kind === kind ? [index] : []));
  const [firstCall, secondCall] = at("call") as [number, number];
  const [firstGate, secondGate] = at("gate") as [number, number];
  const permits = [firstGate, secondGate].map((index) => program.operations[index]?.outputs[0] as number) as [number, number];
  const withInputs = (index: number, change: (inputs: readonly number[]) => number[]): Program => {
    return { ...program, operations: program.operations.map((operation, i) => (i === index ? { ...operation, inputs: change(operation.inputs) } : operation)) };
  };
  const refuses = (changed: Program, reason: RegExp) => {
    assert.throws(() => checkProgramGates(changed), (error: { details?: { reason?: string } }) => reason.test(error.details?.reason ?? ""));
  };
  checkProgramGates(program);
  refuses(withInputs(firstCall, ([selection, , port]) => [selection as number, port as number]), /bypasses the gate/);
  refuses(withInputs(firstCall, ([selection, , port]) => [selection, port, port] as number[]), /not one for its selection/);
  refuses(withInputs(firstCall, ([selection, , port]) => [selection, permits[1], port] as number[]), /not one for its selection/);
  refuses(withInputs(secondCall, () => [...(program.operations[firstCall] as Operation).inputs]), /used twice/);
  refuses(withInputs(secondCall, ([selection, permit]) => [selection, permit, permits[0]] as number[]), /reads the permit/);
  refuses({ ...program, outputs: [{ name: "permit", slot: permits[0], schema: null }] }, /is a permit/);
});

const add = pure("add", {}, (a: number, b: number) => a + b);
const five = host("five", {}, () => 5);

/** A valid program with one thing of everything, to be broken. */
const base = flow("base", { input: { left: any<number>() }, output: { sum: any<number>() }, deadlineMs: "never" }, (b, { left }) => {
  const sum = b.pure(add, left, b.host(five));
  b.call(greet, b.peer("ann"), { name: b.constant("Ann") });
  b.map(b.constant(["x"]), greet);
  b.update("cells", b.constant("key"), add as never, sum as never);
  b.sleep(1, { after: [sum] });
  return { sum };
});

const broken: readonly { name: string; reason: RegExp; change: (program: Program) => Program }[] = [
  { name: "P1: two operations of a name", reason: /two of the operation name/, change: (p) => patched(p, 0, { name: "add" }) },
  { name: "P1: unsorted ports", reason: /not sorted/, change: (p) => ({ ...p, outputs: [{ ...output(p), name: "z" }, output(p)] }) },
  { name: "P2: a slot written twice", reason: /written twice/, change: (p) => patched(p, 1, { outputs: [0] }) },
  { name: "P2: a failure written over an output", reason: /written twice/, change: (p) => patched(p, 1, { onError: 0 }) },
  { name: "P2: a slot written by nothing", reason: /1 slots are written by nothing/, change: (p) => ({ ...p, slots: p.slots + 1 }) },
  { name: "P2: a slot beyond the last", reason: /beyond/, change: (p) => patched(p, 1, { outputs: [p.slots] }) },
  { name: "P3: an unbound input", reason: /not bound/, change: (p) => patched(p, 1, { inputs: [0, p.slots] }) },
  { name: "P3: a cycle", reason: /cycle/, change: (p) => patched(p, 0, { inputs: [p.operations[1]?.outputs[0] as number] }) },
  { name: "P3: an operation that needs itself", reason: /cycle/, change: (p) => patched(p, 1, { inputs: [0, p.operations[1]?.outputs[0] as number] }) },
  { name: "P3: a wrong order", reason: /before what it needs/, change: (p) => ({ ...p, operations: [p.operations[1] as Operation, p.operations[0] as Operation, ...p.operations.slice(2)] }) },
  { name: "P4: an unbound output", reason: /sum is not bound/, change: (p) => ({ ...p, outputs: [{ ...output(p), slot: p.slots }] }) },
  { name: "P5: too many inputs", reason: /a host with 2 inputs/, change: (p) => patched(p, 0, { inputs: [0, 0] }) },
  { name: "P5: a race of nothing", reason: /a race with 0 inputs/, change: (p) => patched(p, 0, { kind: "race" } as never) },
  { name: "P6: children that no map runs", reason: /not the programs/, change: (p) => ({ ...p, children: [] }) },
  { name: "an unknown pure function", reason: /unknown pure function add@2/, change: (p) => patched(p, 1, { fn: "add@2" }) },
  { name: "an unknown host function", reason: /unknown host function/, change: (p) => patched(p, 0, { fn: "six@1" }) },
  { name: "an unknown schema", reason: /unknown schema/, change: (p) => ({ ...p, inputs: p.inputs.map((port) => ({ ...port, schema: "none@1" })) }) },
  { name: "an unknown flow", reason: /unknown flow/, change: (p) => patched(p, indexOf(p, "call"), { flow: "none" }) },
  { name: "a flow's wrong port", reason: /inputs of greet are name, not title/, change: (p) => patched(p, indexOf(p, "call"), { ports: ["title"] }) },
  { name: "a flow's wrong output", reason: /outputs of greet are text, not texts/, change: (p) => patched(p, indexOf(p, "call"), { results: ["texts"] }) },
  { name: "a child's wrong port", reason: /inputs of greet are name, not title/, change: (p) => patched(p, indexOf(p, "map"), { ports: ["title"] }) },
  { name: "an unknown child", reason: /unknown program/, change: (p) => ({ ...patched(p, indexOf(p, "map"), { program: "00" }), children: ["00" as never] }) },
  { name: "too few arguments", reason: /add@1 takes 2 arguments, not 1/, change: (p) => patched(p, 1, { inputs: [0] }) },
  { name: "a selection that is none", reason: /is no selection/, change: (p) => constant(p, "peer-ann", { peers: [] }) },
  { name: "a list that is none", reason: /is no list/, change: (p) => constant(p, "constant-2", "x") },
  { name: "a key that is none", reason: /is no key/, change: (p) => constant(p, "constant-3", 5) },
  { name: "a duration that is none", reason: /is no duration/, change: (p) => constant(p, "constant-4", -1) },
];

for (const { name, reason, change } of broken) {
  test(`check-ports: ${name} is refused`, () => {
    const scope = new FlowScope(new Compiler(), base.draft().uses);
    const unit = (PASSES[0] as (typeof PASSES)[number]).run({ program: base.draft().program, children: new Map() }, scope);
    assert.equal(checkPorts.run(unit, scope), unit);
    assert.throws(() => checkPorts.run({ ...unit, program: change(unit.program as Program) }, scope), (error: { code?: string; details?: { reason?: string } }) => {
      assert.equal(error.code, "FLOW_INVALID");
      assert.match(error.details?.reason ?? "", reason);
      return true;
    });
  });
}

function patched(program: Program, index: number, change: object): Program {
  return { ...program, operations: program.operations.map((operation, i) => (i === index ? ({ ...operation, ...change } as Operation) : operation)) };
}

function constant(program: Program, name: string, value: unknown): Program {
  return patched(program, program.operations.findIndex((operation) => operation.name === name), { value });
}

function indexOf(program: Program, kind: Operation["kind"]): number {
  return program.operations.findIndex((operation) => operation.kind === kind);
}

function output(program: Program): Program["outputs"][number] {
  return program.outputs[0] as Program["outputs"][number];
}
