import assert from "node:assert/strict";
import { test } from "node:test";
import { compileFlows } from "./flow/library.ts";
import { any } from "./flow/port-schema.ts";
import { flow } from "./flow/flow.ts";
import { host, pure } from "./flow/functions.ts";
import { peerIdFromEd25519 } from "./base/peer-id.ts";
import type { ExecutionId, Lineage } from "./base/ids.ts";
import { NS_PER_MS } from "./base/time.ts";
import { encodeMessageFrame } from "./wire/message-codec.ts";
import { Driver } from "./driver.ts";
import { Engine } from "./engine/engine.ts";
import type { Effect, EngineEvent } from "./engine/engine-events.ts";
import { engineOptions } from "./engine/engine-options.ts";

const countUp = pure("count-up", { version: 1 }, (cell: number | null) => (cell ?? 0) + 1);
const work = host("work", { version: 1 }, (n: number) => n);
const counted = flow("counted", { input: { key: any<string>() }, output: { n: any<number>() }, deadlineMs: 1000 }, (b, { key }) => ({ n: b.update("cells", key, countUp) }));
const worked = flow("worked", { input: { n: any<number>() }, output: { n: any<number>() }, deadlineMs: "never" }, (b, { n }) => ({ n: b.host(work, n) }));

const peer = peerIdFromEd25519(new Uint8Array(32).fill(1));
const other = peerIdFromEd25519(new Uint8Array(32).fill(2));

function newDriver(durable = true): Driver {
  const engine = new Engine({
    identity: { peer, lineage: "0".repeat(32) as Lineage, incarnation: 1 }, definitions: compileFlows([counted, worked] as never), options: engineOptions(),
    policy: { block: [], allow: null }, seed: "driver", groups: new Map(),
  });
  engine.begin(1, 0);
  return new Driver(engine, { position: 0, durable });
}

const invoke = (key: string, tag: number): EngineEvent => ({ kind: "invoked", id: key as ExecutionId, flow: "counted", input: { key }, deadlineNs: null, tag });

function released(driver: Driver): Effect[] {
  const effects: Effect[] = [];
  for (let effect = driver.pollEffect(); effect !== undefined; effect = driver.pollEffect()) effects.push(effect);
  return effects;
}

test("driver: nothing leaves before its commit, and what gathers behind a commit shares the next", () => {
  const driver = newDriver();
  driver.handle(invoke("a", 1));
  driver.poll(1, 0);
  assert.deepEqual(released(driver), []);
  const first = driver.pollCommit();
  assert.equal(first?.position, 1);
  driver.handle(invoke("b", 2));
  driver.poll(2, 0);
  driver.handle(invoke("c", 3));
  driver.poll(3, 0);
  assert.equal(driver.pollCommit(), undefined, "D1: one at a time");
  assert.deepEqual(released(driver), []);
  driver.handleCommitted(1);
  assert.deepEqual(released(driver).flatMap((effect) => (effect.kind === "answer" ? [effect.tag] : [])), [1]);
  const second = driver.pollCommit();
  assert.equal(second?.position, 2);
  assert.ok(second.puts.some(([key]) => key === "result/b") && second.puts.some(([key]) => key === "result/c"));
  driver.handleCommitted(2);
  assert.deepEqual(released(driver).flatMap((effect) => (effect.kind === "answer" ? [effect.tag] : [])), [2, 3]);
  assert.equal(driver.isIdle, true);
});

test("driver: an answer that changes nothing waits for the state that it saw", () => {
  const driver = newDriver();
  driver.handle(invoke("a", 1));
  driver.poll(1, 0);
  driver.pollCommit();
  driver.handle(invoke("a", 2)); // a duplicate: no change, and yet it must not be confirmed before the first
  driver.poll(2, 0);
  assert.equal(driver.engine.hasChanges, false);
  assert.deepEqual(released(driver), []);
  driver.handleCommitted(1);
  assert.deepEqual(released(driver).flatMap((effect) => (effect.kind === "answer" ? [effect.tag] : [])), [1, 2]);
  driver.handle(invoke("a", 3));
  driver.poll(3, 0);
  assert.equal(driver.pollCommit(), undefined);
  assert.equal(released(driver).length, 1, "all is durable: at once");
});

test("driver: a commit that was not the one in flight is a bug", () => {
  const driver = newDriver();
  driver.poll(1, 0);
  driver.pollCommit();
  assert.throws(() => driver.handleCommitted(2), /D1/);
});

test("driver: without a store everything leaves at once, and nothing gathers", () => {
  const driver = newDriver(false);
  for (let n = 1; n <= 1000; n++) {
    driver.handle(invoke(`k${n}`, n));
    driver.poll(n, 0);
    assert.ok(released(driver).some((effect) => effect.kind === "answer"));
    assert.equal(driver.pollCommit(), undefined);
  }
  assert.equal(driver.engine.hasChanges, false);
});

test("driver: D2 and D3 for random interleavings of events, turns and commits", () => {
  let state = 7;
  const below = (bound: number): number => (state = (state * 48271) % 2147483647) % bound;
  for (let run = 0; run < 60; run++) {
    const driver = newDriver();
    const { engine } = driver;
    /** The turn of each effect, in the order in which they were made; and the last turn that changed anything. */
    const made: { effect: Effect; needs: number }[] = [];
    let turn = 0;
    let changedIn = 0;
    let covered = 0;
    let durable = 0;
    const poll = engine.poll.bind(engine);
    engine.poll = (now, wallMs) => {
      const before = engine.state.journal;
      assert.ok(before !== undefined);
      const touched = engine.hasChanges;
      const result = poll(now, wallMs);
      turn++;
      if (engine.hasChanges || touched) changedIn = turn;
      for (const effect of result.effects) made.push({ effect, needs: changedIn });
      return result;
    };
    const takeRecord = engine.takeRecord.bind(engine);
    engine.takeRecord = () => {
      covered = turn;
      return takeRecord();
    };
    let at = 0;
    let inFlight: number | undefined;
    let now = 1;
    let link = 0;
    let outstanding = 0;
    const drain = (): void => {
      for (const effect of released(driver)) {
        assert.equal(effect, made[at]?.effect, "D3: in the order in which they were made");
        assert.ok((made[at]?.needs as number) <= durable, `D2: run ${run}, effect ${at} of turn ${made[at]?.needs} with turn ${durable} durable`);
        at++;
        if (effect.kind === "start-host") driver.handle({ kind: "host-completed", command: effect.command, value: 1 });
      }
    };
    for (let step = 0; step < 200; step++) {
      switch (below(8)) {
        case 0: driver.handle(invoke(`k${below(20)}`, step)); break;
        case 1: driver.handle({ kind: "invoked", id: `w${step}` as ExecutionId, flow: "worked", input: { n: 1 }, deadlineNs: null, tag: step }); break;
        case 2: driver.handle({ kind: "link-opened", link: ++link, peer: other, dialled: false }); break;
        case 3: driver.handle({ kind: "frame-received", link, body: encodeMessageFrame({ kind: "heartbeat", beat: step + 1, acknowledged: 0, window: 5, sentAtUs: 0, intervalUs: 0 }).slice(4) }); break;
        case 4: if (inFlight !== undefined) { durable = outstanding; driver.handleCommitted(inFlight); inFlight = undefined; drain(); } break;
        case 5: {
          const commit = driver.pollCommit();
          if (commit !== undefined) [inFlight, outstanding] = [commit.position, covered];
          break;
        }
        default: driver.poll((now += below(3) * NS_PER_MS), 0);
      }
      drain();
    }
    for (let commit = inFlight; ; ) {
      if (commit === undefined) {
        const next = driver.pollCommit();
        if (next === undefined) break;
        [commit, outstanding] = [next.position, covered];
      }
      durable = outstanding;
      driver.handleCommitted(commit);
      drain();
      commit = undefined;
    }
    assert.equal(at, made.length, "all of them in the end");
  }
});
