import assert from "node:assert/strict";
import { test } from "node:test";
import * as v from "valibot";
import { compileFlows } from "./library.ts";
import { flow } from "./flow.ts";
import { host, pure } from "./functions.ts";
import { any, schema } from "./port-schema.ts";
import { add, count, entries, greet, length, relay, shout } from "./testing/random-flow.ts";
import type { FlowBuilder } from "./flow-builder.ts";
import type { Port } from "./port.ts";

/** The operations of a flow of a text and a number, as the builder leaves them. */
function drafted(build: (b: FlowBuilder, inputs: { text: Port<string>; size: Port<number> }) => void) {
  return flow("test", { input: { text: v.string(), size: v.number() }, deadlineMs: "never" }, build).draft().program;
}

function refuses(reason: RegExp, build: () => unknown): void {
  assert.throws(build, (error: { code?: string; details?: { reason?: string } }) => {
    assert.equal(error.code, "FLOW_INVALID");
    assert.match(error.details?.reason ?? "", reason);
    return true;
  });
}

test("flow: the one of a dozen lines is data with its definitions pinned", () => {
  assert.deepEqual(greet.draft().program, {
    format: 1,
    name: "greet",
    version: 1,
    inputs: [{ name: "name", slot: 0, schema: "greet.in.name@1" }],
    outputs: [{ name: "text", slot: 1, schema: "greet.out.text@1" }],
    deadlineNs: 5_000_000_000,
    slots: 2,
    operations: [{ kind: "host", name: "shout", inputs: [0], outputs: [1], onError: null, fn: "shout@1", deadlineNs: 2_000_000_000 }],
    children: [],
    subscribes: [],
  });
});

test("flow: the folder index of the design is writable as it stands there", () => {
  const Paths = v.array(v.string());
  const Counts = v.record(v.string(), v.number());
  const readBatch = host("read-batch", { version: 1, class: "pure", input: Paths, output: Counts }, async (paths, { signal, key }) => {
    return signal.aborted ? {} : { [key]: paths.length };
  });
  const listBatches = host("list-batches", { input: v.string(), output: v.array(Paths) }, async (root) => [[root]]);
  const split = pure("entries", { version: 1 }, ({ counts }: { counts: Record<string, number> }) => Object.entries(counts));
  const fold = pure("fold", { version: 1 }, (cell: number | null, count: number) => (cell ?? 0) + count);
  const indexBatch = flow("index-batch", { input: { paths: Paths }, output: { counts: Counts }, deadlineMs: 30_000 },
    (b, { paths }) => ({ counts: b.host(readBatch, paths) }));
  const indexFolder = flow("index-folder", { input: { root: v.string() }, output: { terms: v.number() }, deadlineMs: "never" }, (b, { root }) => {
    const batches = b.host(listBatches, root);
    const worker = b.select("workers"); // by policy, health, load
    return { terms: b.map(batches, indexBatch, { to: worker, concurrency: 6, retry: { attempts: 5 }, into: b.cells("index", split, fold) }) };
  });
  const { programs, flows, host: hosts } = compileFlows([indexFolder]);
  assert.deepEqual([...programs.values()].map(({ name }) => name).sort(), ["index-batch", "index-folder", "index-folder:map-index-batch"]);
  assert.deepEqual([...flows.keys()], ["index-batch", "index-folder"]);
  assert.deepEqual([...hosts.keys()].sort(), ["list-batches@1", "read-batch@1"]);
});

test("flow: it is built once, when it is first needed", () => {
  let built = 0;
  const lazy = flow("lazy", { deadlineMs: 1 }, () => void built++);
  assert.equal(built, 0);
  assert.equal(lazy.draft(), lazy.draft());
  assert.equal(built, 1);
});

test("builder: operations are named after what they do, with a number where that repeats", () => {
  const { operations } = drafted((b, { text, size }) => {
    b.pure(length, text);
    b.pure(length, text);
    b.pure(length, text, { name: "third" });
    b.host(shout, text, { name: "loud" });
    const peer = b.peer("ann");
    b.call(greet, peer, { name: text });
    b.call(greet, b.select("workers"), { name: text });
    b.send(greet, peer, { name: text });
    b.map(b.constant(["a"]), greet);
    b.update("words", text, count, size);
    b.read("words", { key: text });
    b.wait("approval");
    b.sleep(5);
    b.clock();
    b.race(text, size);
    b.output("port", text);
  });
  assert.deepEqual(operations.map(({ name }) => name), [
    "length", "length-2", "third", "loud", "peer-ann", "call-greet", "select-workers", "call-greet-2", "send-greet", "constant",
    "map-greet", "update-words", "read-words", "wait-approval", "sleep", "clock", "race", "output-port",
  ]);
});

test("builder: an operation's first input is what its kind says, and the ports follow by name", () => {
  const { operations, inputs } = drafted((b, { text, size }) => {
    const peer = b.peer("ann");
    b.call(relay, peer, { times: size, name: text });
    b.map(b.constant(["a"]), relay, { item: "name", with: { times: size }, to: peer, retry: { attempts: 3 }, into: b.cells("words", entries, count) });
    b.sleep(size, { after: [text] });
    b.sleep(7, { after: [text] });
    b.sleep(7);
    b.sleep(0);
  });
  assert.deepEqual(inputs.map(({ name, slot }) => [name, slot]), [["size", 0], ["text", 1]]);
  const [peer, call, list, map, computed, known, afterText, alone, zero, none] = operations;
  assert.deepEqual([peer?.kind, list?.kind, known?.kind], ["constant", "constant", "constant"]);
  assert.deepEqual(call?.kind === "call" && [call.inputs, call.ports, call.results, call.outputs], [[2, 1, 0], ["name", "times"], ["text"], [3]]);
  assert.deepEqual(map?.kind === "map-flow" && [map.inputs, map.ports, map.remote, map.attempts, map.concurrency], [[4, 0, 2], ["name", "times"], true, 3, 8]);
  assert.deepEqual(map?.kind === "map-flow" && map.into, [{ cells: "words", entries: "entries@1", fold: "count@1" }]);
  assert.deepEqual(computed?.inputs, [0, 1]);
  assert.deepEqual(afterText?.inputs, [known?.outputs[0], 1]);
  assert.deepEqual(alone?.kind === "sleep" && [alone.inputs, alone.durationNs], [[], 7_000_000]);
  assert.deepEqual(none?.inputs, zero?.outputs);
});

test("builder: a failure is caught in one slot of the operation, however often it is asked for", () => {
  const { operations } = drafted((b, { text }) => {
    const loud = b.host(shout, text);
    b.output("first", b.failure(loud));
    b.output("second", b.failure(loud));
  });
  assert.equal(operations[0]?.onError, 3);
  assert.deepEqual(operations.slice(1).map(({ inputs }) => inputs), [[3], [3]]);
});

test("builder: schemas are pinned under derived names, or their own; an unchecked port has none", () => {
  const point = schema("point", { version: 3 }, v.object({ x: v.number() }));
  const pinned = flow("pinned", { version: 2, input: { here: point, raw: any<number>() }, output: { there: point, text: v.string() }, deadlineMs: 1 },
    (b, { here }) => ({ there: here, text: b.wait("event", v.string()) }));
  const { program, uses } = pinned.draft();
  assert.deepEqual(program.inputs.map(({ schema }) => schema), ["point@3", null]);
  assert.deepEqual(program.outputs.map(({ schema }) => schema), ["pinned.out.text@2", "point@3"]);
  assert.deepEqual([...uses.schemas.keys()].sort(), ["pinned.out.text@2", "pinned.wait.wait-event@2", "point@3"]);
  assert.equal(uses.schemas.get("point@3"), point.schema);
});

test("builder: a constant is a copy", () => {
  const list = ["a"];
  const { operations } = drafted((b) => void b.constant(list));
  list.push("b");
  assert.deepEqual(operations[0]?.kind === "constant" && operations[0].value, ["a"]);
  assert.throws(() => drafted((b) => void b.constant(new Date() as never)), { code: "VALUE_INVALID" });
});

test("builder: what cannot be meant is refused, with the reason", () => {
  let foreign: Port<string> | undefined;
  let late: FlowBuilder | undefined;
  drafted((b, { text }) => {
    foreign = text;
    late = b;
  });
  refuses(/another flow/, () => drafted((b) => void b.pure(length, foreign as Port<string>)));
  refuses(/after its function returned/, () => late?.clock());
  refuses(/no port/, () => drafted((b) => void b.call(greet, b.peer("ann"), { name: "Ann" } as never)));
  refuses(/greet takes name, not name, more/, () => drafted((b, { text }) => void b.send(greet, b.peer("ann"), { name: text, more: text } as never)));
  refuses(/two operations/, () => drafted((b, { text }) => void [b.pure(length, text), b.pure(length, text, { name: "length" })]));
  refuses(/only an operation can fail/, () => drafted((b, { text }) => void b.failure(text)));
  refuses(/cannot fail/, () => drafted((b) => void b.failure(b.peer("ann"))));
  refuses(/needs `to`/, () => drafted((b) => void b.map(b.constant(["a"]), greet, { retry: { attempts: 2 } })));
  refuses(/needs `to`/, () => drafted((b) => void b.map(b.constant(["a"]), greet, { hedge: "never" })));
  refuses(/say which/, () => drafted((b, { size }) => void b.map(b.constant(["a"]) as never, relay, { with: { times: size } } as never)));
  refuses(/concurrency is 0/, () => drafted((b) => void b.map(b.constant(["a"]), greet, { concurrency: 0 })));
  refuses(/deadlineMs is -1/, () => drafted((b, { text }) => void b.host(shout, text, { deadlineMs: -1 })));
  refuses(/deadlineMs is Infinity/, () => flow("late", { deadlineMs: Infinity }, () => {}));
  refuses(/"a b" is not a path/, () => flow("a b", { deadlineMs: 1 }, () => {}));
  refuses(/the name is taken/, () => flow("link", { deadlineMs: 1 }, () => {}));
  refuses(/one input port/, () => flow("on", { deadlineMs: 1, on: ["peer-down"] }, () => {}));
  refuses(/output port text is not bound/, () => flow("out", { output: { text: v.string() }, deadlineMs: 1 }, (() => ({})) as never).draft());
  refuses(/no output port text/, () => flow("out", { deadlineMs: 1 }, (b) => ({ text: b.clock() })).draft());
  refuses(/a key or a range/, () => drafted((b) => void b.read("words", {} as never)));
});

test("builder: two functions under one pin are refused", () => {
  const other = pure("add", {}, (a: number, b: number) => a - b);
  refuses(/two different definitions of the pure function add@1/, () => {
    drafted((b, { size }) => void [b.pure(add, size, size), b.pure(other, size, size)]);
  });
});

test("host: class probe and a probe go together", () => {
  refuses(/needs a probe/, () => host("ask", { class: "probe" }, () => 1));
  refuses(/no use for a probe/, () => host("ask", { probe: () => ({ done: false }) }, () => 1));
  const asked = host("ask", { class: "probe", deadlineMs: 3, probe: (key) => ({ done: true, value: key.length }) }, () => 1);
  assert.deepEqual([asked.class, asked.deadlineNs, asked.input], ["probe", 3_000_000, null]);
});
