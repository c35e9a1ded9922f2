import assert from "node:assert/strict";
import { test } from "node:test";
import * as v from "valibot";
import { any } from "../flow/port-schema.ts";
import { flow, type AnyFlow } from "../flow/flow.ts";
import { host, pure } from "../flow/functions.ts";
import type { CommandId, ExecutionId } from "../base/ids.ts";
import { NS_PER_MS } from "../base/time.ts";
import type { Value } from "../base/value.ts";
import type { Failure } from "../flow/definitions.ts";
import type { Outcome } from "./engine-events.ts";
import { OPERATIONS_PER_TURN } from "../wire/limits.ts";
import { TestWorld, type TestNode } from "./testing/pair.ts";

const id = (text: string): ExecutionId => text as ExecutionId;
const number = any<number>();

/** One node alone, with these flows. */
function alone(...flows: AnyFlow[]): { world: TestWorld; ann: TestNode } {
  const world = new TestWorld(["ann"], flows);
  world.settle();
  return { world, ann: world.node("ann") };
}

function resultOf(node: TestNode, execution: string): Outcome | undefined {
  return node.outcomes.get(id(execution));
}

function failureOf(node: TestNode, execution: string): Failure {
  const outcome = resultOf(node, execution);
  assert.ok(outcome !== undefined && !outcome.ok, `${execution} failed: ${JSON.stringify(outcome)}`);
  return outcome.failure;
}

/** Starts a flow under its name, lets the node come to rest, and returns the outputs. */
function run(node: TestNode, flowName: string, input: Value, execution = flowName): Value {
  node.invoke(flowName, input, execution);
  node.world.settle();
  const outcome = resultOf(node, execution);
  assert.ok(outcome?.ok === true, JSON.stringify(outcome ?? node.answers.values().next().value));
  return outcome.value;
}

/** Nothing of an execution is left behind. */
function assertEmpty(node: TestNode): void {
  const { state } = node;
  assert.deepEqual(
    { executions: state.executions.size, commands: state.commands.size, frontier: state.frontier.size, parked: state.parkedGates.size },
    { executions: 0, commands: 0, frontier: 0, parked: 0 },
  );
  assert.deepEqual([...node.rows.keys()].filter((key) => /^(execution|command|slot|outbox|program)\//.test(key)), []);
}

const plus = pure("plus", { version: 1 }, (a: number, b: number) => a + b);
const codeOf = pure("code-of", { version: 1 }, (failure: Failure) => failure.code);
const throws = pure("throws", { version: 1 }, (n: number): number => { throw Object.assign(new Error(`no ${n}`), { code: "NOPE" }); });
const noValue = pure("no-value", { version: 1 }, (n: number): number => Symbol(String(n)) as never);
const square = host("square", { version: 1 }, (n: number) => {
  if (n < 0) throw new Error("negative");
  return n * n;
});

test("pure, constant and clock: values flow, an exception and a thing that is no value are failures", () => {
  const good = flow("good", { input: { n: number }, output: { n: number, at: number }, deadlineMs: 1000 }, (b, { n }) => ({ n: b.pure(plus, n, b.constant(2)), at: b.clock() }));
  const bad = flow("bad", { input: { n: number }, output: { n: number }, deadlineMs: 1000 }, (b, { n }) => ({ n: b.pure(throws, n) }));
  const none = flow("none", { input: { n: number }, output: { n: number }, deadlineMs: 1000 }, (b, { n }) => ({ n: b.pure(noValue, n) }));
  const { world, ann } = alone(good, bad, none);
  world.now += 5 * NS_PER_MS;
  assert.deepEqual(run(ann, "good", { n: 1 }), { n: 3, at: 5 });
  for (const name of ["bad", "none"]) ann.invoke(name, { n: 1 }, name);
  world.settle();
  assert.deepEqual({ code: failureOf(ann, "bad").code, at: failureOf(ann, "bad").at }, { code: "NOPE", at: ["bad/throws"] });
  assert.equal(failureOf(ann, "none").code, "VALUE_INVALID");
  assertEmpty(ann);
});

test("host: a failure can be caught, and only what needed the result is skipped", () => {
  const caught = flow("caught", { input: { n: number }, output: { got: any<unknown>() }, deadlineMs: 1000 }, (b, { n }) => {
    const squared = b.host(square, n);
    const further = b.pure(plus, squared, n);
    return { got: b.race(further, b.pure(codeOf, b.failure(squared))) };
  });
  const { ann } = alone(caught);
  assert.deepEqual(run(ann, "caught", { n: -1 }, "a"), { got: "HOST_THREW" });
  assert.deepEqual(run(ann, "caught", { n: 3 }, "b"), { got: 12 });
  assertEmpty(ann);
});

for (const { hostClass, starts, probes, code } of [
  { hostClass: "pure", starts: 3, probes: [false, false, false], code: null },
  { hostClass: "keyed", starts: 3, probes: [false, false, false], code: null },
  { hostClass: "probe", starts: 3, probes: [false, true, true], code: null },
  { hostClass: "unsafe", starts: 1, probes: [false], code: "OUTCOME_UNKNOWN" },
] as const) {
  test(`host: class ${hostClass} over two kills`, () => {
    const options = { version: 1, class: hostClass, ...(hostClass === "probe" ? { probe: () => ({ done: false as const }) } : {}) };
    const once = host("once", options, (n: number) => n + 1);
    const worked = flow("worked", { input: { n: number }, output: { n: number }, deadlineMs: "never" }, (b, { n }) => ({ n: b.host(once, n) }));
    const { world, ann } = alone(worked);
    ann.holdHost = true;
    ann.invoke("worked", { n: 1 }, "w");
    world.settle();
    for (let kill = 0; kill < 2; kill++) {
      ann.restart();
      world.settle();
    }
    assert.equal(ann.hostStarts.length, starts);
    assert.deepEqual(ann.hostStarts.map(({ probe }) => probe), probes);
    assert.equal(new Set(ann.hostStarts.map(({ key }) => key)).size, 1, "the key is the same on every attempt");
    assert.deepEqual(ann.hostStarts.map(({ attempt }) => attempt), Array.from({ length: starts }, (_, at) => at + 1));
    if (code !== null) assert.equal(failureOf(ann, "w").code, code);
    else {
      ann.finishHost(ann.hostStarts.at(-1) as never);
      ann.finishHost(ann.hostStarts[0] as never); // a late completion changes nothing
      world.settle();
      assert.deepEqual(resultOf(ann, "w"), { ok: true, value: { n: 2 } });
    }
    assertEmpty(ann);
  });
}

test("host: a late or unencodable result changes nothing; a deadline aborts the work", () => {
  const slow = flow("slow", { input: { n: number }, output: { n: number }, deadlineMs: "never" }, (b, { n }) => ({ n: b.host(square, n, { deadlineMs: 100 }) }));
  const { world, ann } = alone(slow);
  ann.holdHost = true;
  ann.invoke("slow", { n: 2 }, "s");
  world.run(99);
  assert.equal(resultOf(ann, "s"), undefined);
  world.run(1);
  assert.equal(failureOf(ann, "s").code, "DEADLINE");
  assert.equal(ann.aborted.length, 1);
  const start = ann.hostStarts[0] as (typeof ann.hostStarts)[0];
  assert.equal(start.remainingNs, 100 * NS_PER_MS);
  ann.take({ kind: "host-completed", command: start.command, value: 4 });
  ann.invoke("slow", { n: 2 }, "t");
  world.settle();
  ann.take({ kind: "host-completed", command: ann.hostStarts[1]?.command as CommandId, value: (() => 1) as never });
  world.settle();
  assert.equal(failureOf(ann, "t").code, "VALUE_INVALID");
  assertEmpty(ann);
});

test("host: results must fit the output schema", () => {
  const typed = host("typed", { version: 1, output: v.string() }, () => 5 as never);
  const wrong = flow("wrong", { output: { text: any<string>() }, deadlineMs: 1000 }, (b) => ({ text: b.host(typed) }));
  const { world, ann } = alone(wrong);
  ann.invoke("wrong", {}, "w");
  world.settle();
  assert.equal(failureOf(ann, "w").code, "SCHEMA");
});

test("update and read: cells by key, by range in pages, and after a restart", () => {
  const set = flow("set", { input: { key: any<string>(), n: number }, output: { n: number }, deadlineMs: 1000 },
    (b, { key, n }) => ({ n: b.update("cells", key, pure("last", { version: 1 }, (_: number | null, given: number) => given), n) }));
  const get = flow("get", { input: { key: any<string>() }, output: { n: any<number | null>() }, deadlineMs: 1000 }, (b, { key }) => ({ n: b.read<number>("cells", { key }) }));
  const page = flow("page", { input: { range: any<{ after?: string; limit?: number }>() }, output: { page: any<unknown>() }, deadlineMs: 1000 }, (b, { range }) => ({ page: b.read("cells", { range }) }));
  const { world, ann } = alone(set, get, page);
  for (const [at, key] of ["b", "a", "é", "c", "a"].entries()) run(ann, "set", { key, n: at }, `set ${at}`);
  ann.restart();
  world.settle();
  assert.deepEqual(run(ann, "get", { key: "a" }, "1"), { n: 4 });
  assert.deepEqual(run(ann, "get", { key: "zz" }, "2"), { n: null });
  assert.deepEqual(run(ann, "page", { range: { limit: 2 } }, "3"), { page: [["a", 4], ["b", 0]] });
  assert.deepEqual(run(ann, "page", { range: { after: "b", limit: 2 } }, "4"), { page: [["c", 3], ["é", 2]] });
  for (const [at, range] of [{ limit: 0 }, { limit: 10_001 }, { after: 5 }].entries()) {
    ann.invoke("page", { range } as never, `bad ${at}`);
    world.settle();
    assert.equal(failureOf(ann, `bad ${at}`).code, "VALUE_INVALID");
  }
});

test("wait: the event may come before it is reached, or after; once", () => {
  const waits = flow("waits", { input: { ms: number }, output: { said: any<string>() }, deadlineMs: "never" },
    (b, { ms }) => ({ said: b.wait("approval", v.string(), { after: [b.sleep(ms)] }) }));
  const { world, ann } = alone(waits);
  const signal = (execution: string, event: string, value: Value, tag: number): void => ann.take({ kind: "signalled", execution: id(execution), event, value, tag });
  ann.invoke("waits", { ms: 50 }, "early");
  ann.invoke("waits", { ms: 0 }, "late");
  world.settle();
  world.run(1);
  signal("early", "approval", "yes", 101);
  ann.restart(); // an event that nobody waits for yet is durable too, once it is answered
  signal("early", "approval", "yes", 102);
  signal("late", "approval", 7, 103);
  signal("late", "approval", "no", 104);
  signal("late", "approval", "again", 105);
  signal("early", "other", 1, 106);
  signal("nobody", "approval", 1, 107);
  world.settle();
  ann.restart();
  world.run(60);
  assert.deepEqual(resultOf(ann, "early"), { ok: true, value: { said: "yes" } });
  assert.deepEqual(resultOf(ann, "late"), { ok: true, value: { said: "no" } });
  const codes = [103, 104, 105, 106, 107].map((tag) => ann.answers.get(tag)).map((answer) => (answer?.ok === false ? answer.code : answer?.ok));
  assert.deepEqual(codes, ["SCHEMA", true, "NOT_FOUND", "NOT_FOUND", "NOT_FOUND"]);
  assertEmpty(ann);
});

test("wait: its deadline passes, and 'never' is not 0", () => {
  const waits = flow("waits", { output: { said: any<unknown>() }, deadlineMs: "never" }, (b) => {
    const said = b.wait("approval", null, { deadlineMs: 20 });
    return { said: b.race(said, b.pure(codeOf, b.failure(said))) };
  });
  const forever = flow("forever", { output: { said: any<unknown>() }, deadlineMs: "never" }, (b) => ({ said: b.wait("approval") }));
  const { world, ann } = alone(waits, forever);
  ann.invoke("waits", {}, "w");
  ann.invoke("forever", {}, "f");
  world.run(1_000_000);
  assert.deepEqual(resultOf(ann, "w"), { ok: true, value: { said: "DEADLINE" } });
  assert.equal(resultOf(ann, "f"), undefined);
});

test("sleep: due timers fire in (due, id) order, also overdue ones after a restart", () => {
  const order: string[] = [];
  const note = pure("note", { version: 1 }, (name: string, nothing: null) => (order.push(name), nothing ?? name));
  const nap = flow("nap", { input: { name: any<string>(), ms: number }, output: { name: any<string>() }, deadlineMs: "never" },
    (b, { name, ms }) => ({ name: b.pure(note, name, b.sleep(ms)) }));
  const { world, ann } = alone(nap);
  const names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
  for (const [at, name] of names.entries()) ann.invoke("nap", { name, ms: at === 0 ? 50 : 20 }, name);
  ann.invoke("nap", { name: "bad", ms: -1 }, "bad");
  world.settle();
  assert.equal(failureOf(ann, "bad").code, "VALUE_INVALID");
  ann.kill();
  world.now += 5000 * NS_PER_MS;
  ann.start();
  world.settle();
  assert.deepEqual(order, [...names.slice(1), "a"]);
  assert.ok((ann.state.counters.get("timers-late") ?? 0) >= names.length);
  assertEmpty(ann);
});

test("race: the losers are cancelled, with what only they needed", () => {
  const raced = flow("raced", { input: { n: number }, output: { got: any<unknown>(), other: any<unknown>() }, deadlineMs: "never" }, (b, { n }) => {
    const slow = b.host(square, n);
    const nap = b.sleep(1000);
    const both = b.pure(pure("pair", { version: 1 }, (s: number, nothing: null) => nothing ?? s), slow, nap);
    const kept = b.wait("kept");
    return { got: b.race(both, b.wait("now"), kept), other: b.failure(b.host(square, b.constant(-1), { name: "other" })) };
  });
  const { world, ann } = alone(raced);
  ann.holdHost = true;
  ann.invoke("raced", { n: 2 }, "r");
  world.settle();
  ann.take({ kind: "signalled", execution: id("r"), event: "now", value: "first", tag: 1000 });
  world.settle();
  assert.equal(ann.aborted.length, 1, "the host work of the loser is aborted, the other goes on");
  assert.equal(ann.state.commands.size, 1);
  ann.restart();
  ann.finishHost(ann.hostStarts.find(({ key }) => key.endsWith(".other")) as never);
  world.settle();
  const outcome = resultOf(ann, "r");
  assert.equal(outcome?.ok && (outcome.value as { got: string }).got, "first");
  assertEmpty(ann);
});

test("race: a loser that is queued when its race is won is not stored as ready", () => {
  // The race is the last operation of a turn for one of these numbers, and its loser the first of the next.
  for (let fillers = OPERATIONS_PER_TURN - 6; fillers <= OPERATIONS_PER_TURN; fillers++) {
    const many = flow("many", { input: { n: number }, output: { n: number }, deadlineMs: "never" }, (b, { n }) => {
      b.sleep(10, { name: "lives-on" });
      const winner = b.pure(plus, n, n);
      const before = b.pure(plus, n, n);
      for (let filler = 0; filler < fillers; filler++) b.pure(plus, n, n);
      return { n: b.race(winner, b.pure(plus, before, before)) };
    });
    const { world, ann } = alone(many);
    ann.invoke("many", { n: 1 }, "m");
    ann.step();
    ann.restart();
    world.run(20);
    assert.deepEqual(ann.state.finished.get(id("m"))?.outcome, { ok: true, value: { n: 2 } });
    assertEmpty(ann);
  }
});

test("output: delivered again after a crash that came before it was confirmed", () => {
  const tells = flow("tells", { input: { n: number }, output: { told: any<null>() }, deadlineMs: "never" }, (b, { n }) => ({ told: b.output("news", n) }));
  const { world, ann } = alone(tells);
  ann.holdOutputs = true;
  ann.invoke("tells", { n: 7 }, "t");
  world.settle();
  ann.holdOutputs = false;
  ann.restart();
  world.settle();
  assert.deepEqual(ann.outputs, [{ port: "news", value: 7 }, { port: "news", value: 7 }]);
  assert.deepEqual(resultOf(ann, "t"), { ok: true, value: { told: null } });
  ann.restart();
  world.settle();
  assert.equal(ann.outputs.length, 2, "once confirmed, never again");
  assertEmpty(ann);
});

// ── maps ──

const squared = flow("squared", { input: { n: number }, output: { n: number }, deadlineMs: "never" }, (b, { n }) => ({ n: b.host(square, n) }));
const echo = flow("echo", { input: { n: number }, output: { n: number }, deadlineMs: "never" }, (_b, { n }) => ({ n }));
const listed = flow("listed", { input: { list: any<number[]>() }, output: { out: any<unknown>() }, deadlineMs: "never" }, (b, { list }) => ({ out: b.map(list, squared, { concurrency: 3 }) }));
const collected = flow("collected", { input: { list: any<number[]>() }, output: { out: any<unknown>() }, deadlineMs: "never" },
  (b, { list }) => ({ out: b.map(list, squared, { concurrency: 2, onItemFailure: "collect" }) }));
const echoes = flow("echoes", { input: { list: any<number[]>() }, output: { out: any<number[]>(), later: any<null>() }, deadlineMs: "never" },
  (b, { list }) => ({ out: b.map(list, echo), later: b.sleep(10) }) as never);

test("map: results in the order of the items, whatever order they come in; never more at work than allowed", () => {
  const { world, ann } = alone(listed);
  ann.holdHost = true;
  ann.invoke("listed", { list: [1, 2, 3, 4, 5] }, "m");
  world.settle();
  assert.equal(ann.hostStarts.length, 3);
  for (let done = 0; done < 5; done++) {
    const live = ann.hostStarts.filter(({ command }) => ann.state.commands.has(command));
    assert.ok(live.length <= 3);
    ann.finishHost(live.at(-1) as never); // the newest first
    world.settle();
  }
  assert.deepEqual(resultOf(ann, "m"), { ok: true, value: { out: [{ n: 1 }, { n: 4 }, { n: 9 }, { n: 16 }, { n: 25 }] } });
  assertEmpty(ann);
});

test("map: an empty list is done at once; what is no list fails", () => {
  const { world, ann } = alone(listed);
  assert.deepEqual(run(ann, "listed", { list: [] }), { out: [] });
  ann.invoke("listed", { list: 5 }, "x");
  world.settle();
  assert.equal(failureOf(ann, "x").code, "VALUE_INVALID");
  assertEmpty(ann);
});

test("map: the first failure ends it and its other children; collect lists failures in their place", () => {
  const { world, ann } = alone(listed, collected);
  ann.holdHost = true;
  ann.invoke("listed", { list: [1, -2, 3, 4] }, "f");
  world.settle();
  ann.finishHost(ann.hostStarts[1] as never);
  world.settle();
  assert.equal(failureOf(ann, "f").code, "HOST_THREW");
  assert.deepEqual(failureOf(ann, "f").at, ["squared/square", "listed/map-squared"]);
  assert.equal(ann.aborted.length, 2);
  assertEmpty(ann);
  ann.holdHost = false;
  const { out } = run(ann, "collected", { list: [1, -2, 3] }) as unknown as { out: { ok?: Value; failed?: Failure }[] };
  assert.deepEqual([out[0], out[1]?.failed?.code, out[2]], [{ ok: { n: 1 } }, "HOST_THREW", { ok: { n: 9 } }]);
  assertEmpty(ann);
});

test("map: children that end as they start, twenty thousand of them", () => {
  const { world, ann } = alone(echoes);
  const list = Array.from({ length: 20_000 }, (_, n) => n);
  ann.invoke("echoes", { list }, "e");
  world.run(20);
  const outcome = resultOf(ann, "e");
  assert.ok(outcome?.ok);
  assert.deepEqual((outcome.value as { out: Value[] }).out.at(-1), { n: 19_999 });
  assertEmpty(ann);
});

test("map: into two folds, also of one table; a fold that fails changes nothing", () => {
  const entries = pure("entries", { version: 1 }, ({ n }: { n: number }) => [["sum", n], ["sum", 0]] as [string, number][]);
  const odd = pure("odd", { version: 1 }, ({ n }: { n: number }) => { if (n === 9) throw new Error("nine"); return [["sum", 1000]] as [string, number][]; });
  const add = pure("add", { version: 1 }, (cell: number | null, delta: number) => (cell ?? 0) + delta);
  const folded = flow("folded", { input: { list: any<number[]>() }, output: { count: number }, deadlineMs: "never" },
    (b, { list }) => ({ count: b.map(list, squared, { onItemFailure: "collect", into: [b.cells("one", entries, add), b.cells("two", entries, add), b.cells("one", odd, add)] }) }));
  const { ann } = alone(folded);
  assert.deepEqual(run(ann, "folded", { list: [1, 2, 3] }), { count: 2 });
  assert.equal(ann.state.cells.table("one").get("sum"), 2005, "both folds of the table counted, the failed one not at all");
  assert.equal(ann.state.cells.table("two").get("sum"), 5);
  assertEmpty(ann);
});

test("map: a program whose parent ran before is stored again with its next run", () => {
  const { world, ann } = alone(listed);
  for (const name of ["first", "second"]) {
    ann.holdHost = true;
    ann.invoke("listed", { list: [1, 2] }, name);
    world.settle();
    ann.restart();
    world.settle();
    for (const start of ann.hostStarts.splice(0)) ann.finishHost(start);
    ann.holdHost = false;
    world.settle();
    assert.equal(ann.state.finished.get(id(name))?.outcome.ok, true);
  }
  assertEmpty(ann);
});

// ── executions ──

test("start: the same id starts nothing twice, also after a restart and after its end", () => {
  const { world, ann } = alone(squared, echo);
  ann.holdHost = true;
  const ask = (flowName: string, n: number): unknown => {
    const tag = ann.invoke(flowName, { n }, "one");
    world.settle();
    const answer = ann.answers.get(tag);
    return answer?.ok === false ? answer.code : answer?.execution;
  };
  const asked = (): unknown[] => [ask("squared", 3), ask("squared", 3), ask("squared", 4), ask("echo", 3)];
  assert.deepEqual(asked(), ["one", "one", "CONFLICT", "CONFLICT"]);
  assert.equal(ann.hostStarts.length, 1);
  ann.restart();
  world.settle();
  assert.deepEqual(asked(), ["one", "one", "CONFLICT", "CONFLICT"]);
  ann.finishHost(ann.hostStarts[1] as never);
  world.settle();
  assert.deepEqual(asked(), ["one", "one", "CONFLICT", "CONFLICT"]);
  ann.restart();
  world.settle();
  assert.deepEqual(asked(), ["one", "one", "CONFLICT", "CONFLICT"]);
  assert.equal(ann.hostStarts.length, 2, "one start before the restart and one after");
  assert.equal(ann.state.counters.get("executions-started"), 1);
});

test("start: what does not fit the schema, an unknown flow and a bad id are refused with a reason", () => {
  const typed = flow("typed", { input: { name: v.pipe(v.string(), v.minLength(2)) }, output: { name: v.string() }, deadlineMs: 1000 }, (_b, { name }) => ({ name }));
  const { world, ann } = alone(typed);
  const codes = [["typed", { name: "x" }, "a"], ["typed", {}, "a"], ["typed", { name: "xx", more: 1 }, "a"], ["typed", "xx", "a"], ["nope", {}, "a"], ["typed", { name: "xx" }, "#1"], ["typed", { name: "xx" }, "x".repeat(4097)]]
    .map(([flowName, input, name]) => ann.invoke(flowName as string, input as Value, name as string));
  world.settle();
  assert.deepEqual(codes.map((tag) => (ann.answers.get(tag) as { code?: string }).code), ["SCHEMA", "SCHEMA", "SCHEMA", "SCHEMA", "NOT_FOUND", "SCHEMA", "SCHEMA"]);
  assert.equal(ann.state.finished.size, 0);
});

test("cancel: commands and children go, and the failure says so", () => {
  const { world, ann } = alone(listed);
  ann.holdHost = true;
  ann.invoke("listed", { list: [1, 2, 3, 4] }, "c");
  world.settle();
  ann.take({ kind: "cancel-requested", execution: id("c"), tag: 900 });
  ann.take({ kind: "cancel-requested", execution: id("c"), tag: 901 });
  world.settle();
  assert.equal(failureOf(ann, "c").code, "CANCELLED");
  assert.equal(ann.aborted.length, 3);
  assert.equal(ann.answers.get(900)?.ok, true);
  assert.equal((ann.answers.get(901) as { code: string }).code, "NOT_FOUND");
  assertEmpty(ann);
});

test("retry: a failed execution starts again under its id; one that succeeded does not", () => {
  const { world, ann } = alone(squared);
  ann.holdHost = true;
  ann.invoke("squared", { n: 3 }, "r");
  world.settle();
  ann.take({ kind: "host-failed", command: ann.hostStarts[0]?.command as CommandId, code: "BUSY", message: "later", details: null });
  world.settle();
  assert.equal(failureOf(ann, "r").code, "BUSY");
  ann.take({ kind: "retry-requested", execution: id("r"), tag: 900 });
  world.settle();
  ann.restart();
  world.settle();
  ann.finishHost(ann.hostStarts.at(-1) as never);
  world.settle();
  assert.deepEqual(resultOf(ann, "r"), { ok: true, value: { n: 9 } });
  ann.take({ kind: "retry-requested", execution: id("r"), tag: 901 });
  world.settle();
  assert.deepEqual([900, 901].map((tag) => ann.answers.get(tag)?.ok), [true, false]);
  assertEmpty(ann);
});

test("deadlines: the flow's bounds everything, a start may shorten it, never lengthen it", () => {
  const long = flow("long", { output: { done: any<null>() }, deadlineMs: 100 }, (b) => ({ done: b.sleep(1_000_000) }));
  const { world, ann } = alone(long);
  for (const [name, deadlineNs] of [["own", null], ["short", 10 * NS_PER_MS], ["longer", 10_000 * NS_PER_MS]] as const) {
    ann.take({ kind: "invoked", id: id(name), flow: "long", input: {}, deadlineNs, tag: 1 });
  }
  world.run(10);
  assert.equal(failureOf(ann, "short").code, "DEADLINE");
  assert.equal(resultOf(ann, "own"), undefined);
  ann.restart();
  world.run(90);
  for (const name of ["own", "longer"]) assert.equal(failureOf(ann, name).code, "DEADLINE");
  assertEmpty(ann);
});

test("retention: results go by number and by age, oldest first", () => {
  const world = new TestWorld(["ann"], [echo], {}, { resultsMax: 3, retentionNs: 1000 * NS_PER_MS });
  const ann = world.node("ann");
  world.settle();
  for (let n = 0; n < 5; n++) run(ann, "echo", { n }, `e${n}`);
  assert.deepEqual([...ann.state.finished.values()].map((one) => one.id), ["e2", "e3", "e4"]);
  ann.restart();
  world.run(2000);
  run(ann, "echo", { n: 9 }, "e9");
  assert.deepEqual([...ann.state.finished.values()].map((one) => one.id), ["e9"]);
  assert.deepEqual([...ann.rows.keys()].filter((key) => key.startsWith("result/")), ["result/e9"]);
});

test("events: what the node and the application announce starts the flows subscribed to it, durably", () => {
  const count = pure("count", { version: 1 }, (cell: number | null) => (cell ?? 0) + 1);
  const name = pure("name", { version: 1 }, (event: { event: string }) => event.event);
  const watch = flow("watch", { input: { event: any<{ event: string }>() }, deadlineMs: "never", on: ["restored", "started", "order"] }, (b, { event }) => {
    b.update("seen", b.pure(name, event), count);
  });
  const { world, ann } = alone(watch);
  ann.take({ kind: "application-event", event: "order", value: { n: 1 }, tag: 1 });
  world.settle();
  ann.restart();
  world.settle();
  const seen = ann.state.cells.table("seen");
  assert.deepEqual(Object.fromEntries(seen.entries()), { started: 1, order: 1, restored: 1 });
  assertEmpty(ann);
});

test("a full turn: ten thousand operations take several turns, in order, and nothing is lost over kills", () => {
  const { world, ann } = alone(echo, squared);
  const starts = 3000;
  for (let n = 0; n < starts; n++) ann.take({ kind: "invoked", id: id(`x${n}`), flow: "squared", input: { n }, deadlineNs: null, tag: n + 1 });
  ann.step();
  ann.restart();
  world.settle();
  for (let n = 0; n < starts; n++) assert.equal(ann.state.finished.get(id(`x${n}`))?.outcome.ok, true, `x${n}`);
  assertEmpty(ann);
});
