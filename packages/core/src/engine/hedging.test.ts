import assert from "node:assert/strict";
import { test } from "node:test";
import type { Effect } from "./engine-events.ts";
import type { EngineOptions } from "./engine-options.ts";
import type { ExecutionId } from "../base/ids.ts";
import { compileFlows } from "../flow/library.ts";
import { flow, type AnyFlow } from "../flow/flow.ts";
import type { CallOptions } from "../flow/flow-builder.ts";
import { host, pure } from "../flow/functions.ts";
import { isRepeatable } from "../flow/repeatable.ts";
import { any } from "../flow/port-schema.ts";
import { TestWorld, type TestNode } from "./testing/pair.ts";

type HostStart = Extract<Effect, { kind: "start-host" }>;

const number = any<number>();
const ports = { input: { n: number }, output: { n: number }, deadlineMs: "never" } as const;
const plus = (n: number): number => n + 1;
const keyed = host("keyed", { version: 1, class: "keyed" }, plus);
const calculated = host("calculated", { version: 1, class: "pure" }, plus);
const unsafe = host("unsafe", { version: 1, class: "unsafe" }, plus);
const asked = host("asked", { version: 1, class: "probe", probe: () => ({ done: false }) }, plus);
const countUp = pure("count-up", { version: 1 }, (cell: number | null) => (cell ?? 0) + 1);

const worked = flow("worked", ports, (b, { n }) => ({ n: b.host(keyed, n) }));
const reckoned = flow("reckoned", ports, (b, { n }) => ({ n: b.host(calculated, n) }));
const risked = flow("risked", ports, (b, { n }) => ({ n: b.host(unsafe, n) }));
const probed = flow("probed", ports, (b, { n }) => ({ n: b.host(asked, n) }));
const counted = flow("counted", ports, (b, { n }) => {
  b.update("counts", b.constant("k"), countUp);
  return { n: b.host(keyed, n) };
});
const heard = flow("heard", ports, (b, { n }) => {
  b.wait("word");
  return { n: b.host(keyed, n) };
});
const told = flow("told", ports, (b, { n }) => {
  b.send(worked, b.peer("bob"), { n });
  return { n: b.host(keyed, n) };
});
const nested = flow("nested", ports, (b, { n }) => ({ n: b.call(worked, b.select("workers"), { n }).n }));
const nestedRisk = flow("nested-risk", ports, (b, { n }) => ({ n: b.call(risked, b.select("workers"), { n }).n }));
const nestedNever = flow("nested-never", ports, (b, { n }) => ({ n: b.call(worked, b.select("workers"), { n }, { hedge: "never" }).n }));
const mapped = flow("mapped", { input: { list: any<number[]>() }, output: { list: any<unknown>() }, deadlineMs: "never" }, (b, { list }) => ({ list: b.map(list, worked) }));
const mappedRisk = flow("mapped-risk", { input: { list: any<number[]>() }, output: { list: any<unknown>() }, deadlineMs: "never" }, (b, { list }) => ({ list: b.map(list, risked) }));

function asking(name: string, what: typeof worked, options: CallOptions = {}) {
  return flow(name, ports, (b, { n }) => ({ n: b.call(what, b.select("workers"), { n }, options).n }));
}
const flows: AnyFlow[] = [
  worked, reckoned, risked, probed, counted, heard, told, nested, nestedRisk, nestedNever, mapped, mappedRisk,
  asking("ask-worked", worked), asking("ask-thrice", worked, { retry: { attempts: 3 } }), asking("ask-reckoned", reckoned), asking("ask-risked", risked, { retry: { attempts: 3 } }),
  asking("ask-counted", counted, { retry: { attempts: 3 } }), asking("ask-one", worked, { hedge: "never", retry: { attempts: 3 } }),
  flow("ask-each", { input: { list: any<number[]>() }, output: { list: any<unknown>() }, deadlineMs: "never" }, (b, { list }) => ({ list: b.map(list, worked, { to: b.select("workers"), hedge: "never" }) })),
];

/** Ann knows how quick her three workers are at what `ask` asks; then none of them finishes, and she asks once more. */
function slowWorkers(ask: string, options: Partial<EngineOptions> = {}, allowed = true) {
  const world = new TestWorld(["ann", "bob", "cid", "dan"], flows, { workers: ["bob", "cid", "dan"] }, options);
  const [ann, ...workers] = [...world.nodes.values()] as [TestNode, ...TestNode[]];
  world.run(3000);
  for (const worker of workers) worker.holdHost = true;
  for (let n = 0; n < 20; n++) {
    ann.invoke(ask, { n }, `warm ${n}`);
    world.run(5);
    for (const worker of workers) for (const start of worker.hostStarts.splice(0)) worker.finishHost(start);
    world.run(1);
  }
  ann.state.mayAddAttempt = (_peer, kind) => allowed || kind !== "hedge";
  ann.invoke(ask, { n: 1 }, "a");
  world.settle();
  const started = (): { worker: TestNode; start: HostStart }[] => workers.flatMap((worker) => worker.hostStarts.map((start) => ({ worker, start })));
  const outcome = (): unknown => ann.state.finished.get("a" as ExecutionId)?.outcome;
  assert.equal(started().length, 1);
  return { world, ann, workers, started, outcome };
}

for (const ask of ["ask-worked", "ask-reckoned"]) {
  test(`hedging: ${ask}: one second peer is asked, once; the loser is cancelled`, () => {
    const { world, ann, workers, started, outcome } = slowWorkers(ask);
    world.run(30_000);
    assert.equal(started().length, 2, "and not the third, however long it takes");
    assert.equal(ann.state.counters.get("hedges"), 1);
    const [first, second] = started();
    assert.notEqual(first?.worker, second?.worker);
    assert.equal(first?.start.key, second?.start.key);
    second?.worker.finishHost(second.start);
    world.run(100);
    assert.deepEqual(outcome(), { ok: true, value: { n: 2 } });
    assert.equal(workers.reduce((sum, { aborted }) => sum + aborted.length, 0), 1, "the loser's work is cancelled");
    assert.equal(workers.reduce((sum, { state }) => sum + state.executions.size, 0), 0);
    for (const worker of workers) {
      const peer = ann.state.peer(worker.id);
      assert.deepEqual([peer.inFlight, ann.state.loads.load(peer, ask.slice(4)).latency.inFlight], [0, 0]);
    }
  });
}

test("hedging: a call with attempts left asks no third peer while two are slow", () => {
  const { world, started } = slowWorkers("ask-thrice");
  world.run(30_000);
  assert.equal(started().length, 2);
});

test("hedging: a peer that is failing is no help", () => {
  const { world, ann, workers, started } = slowWorkers("ask-worked");
  for (const worker of workers) if (worker.hostStarts.length === 0) ann.state.peer(worker.id).siteVerdict = "down";
  world.run(30_000);
  assert.equal(started().length, 1);
});

test("hedging: not before the learned budget has run out", () => {
  const { world, started } = slowWorkers("ask-worked");
  world.run(15);
  assert.equal(started().length, 1);
});

const never: readonly { readonly why: string; readonly ask: string; readonly options?: Partial<EngineOptions>; readonly allowed?: boolean }[] = [
  { why: "the flow's host work is unsafe", ask: "ask-risked" },
  { why: "the flow changes cells", ask: "ask-counted" },
  { why: "the call says so", ask: "ask-one" },
  { why: "it is switched off", ask: "ask-worked", options: { hedging: false } },
  { why: "the budget of attempts says no", ask: "ask-worked", allowed: false },
];
for (const { why, ask, options, allowed } of never) {
  test(`hedging: never when ${why}`, () => {
    const { world, ann, started, outcome } = slowWorkers(ask, options, allowed);
    world.run(30_000);
    assert.equal(started().length, 1);
    assert.equal(ann.state.counters.get("hedges"), undefined);
    started()[0]?.worker.finishHost(started()[0]?.start as HostStart);
    world.run(100);
    assert.deepEqual(outcome(), { ok: true, value: { n: 2 } });
  });
}

test("hedging: a call that was hedged goes on over a restart of the caller", () => {
  const { world, ann, started, outcome } = slowWorkers("ask-worked");
  world.run(5000);
  ann.restart();
  world.run(30_000);
  assert.equal(started().length, 2, "and no third peer");
  started()[0]?.worker.finishHost(started()[0]?.start as HostStart);
  world.run(100);
  assert.deepEqual(outcome(), { ok: true, value: { n: 2 } });
});

test("repeatable: what leaves nothing behind that two runs would leave twice, all the way down", () => {
  const definitions = compileFlows(flows);
  const found = ["worked", "reckoned", "nested", "mapped", "risked", "probed", "counted", "heard", "told", "nested-risk", "nested-never", "mapped-risk", "nobody"]
    .map((name) => [name, isRepeatable(name, definitions)]);
  assert.deepEqual(found.filter(([, repeatable]) => repeatable).map(([name]) => name), ["worked", "reckoned", "nested", "mapped"]);
});
