import assert from "node:assert/strict";
import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
import { test } from "node:test";
import fc from "fast-check";
import { AlarmQueue } from "./alarm-queue.ts";
import type { Alarm } from "./alarm-queue.ts";
import { NS_PER_MS, nowNs, toNs } from "./clock.ts";
import { VirtualClock } from "./virtual-clock.ts";

/** Notes when it rings. */
class Bell implements Alarm {
  dueAt = 0;
  place = -1;
  scope: Alarm["scope"];
  readonly rung: number[] = [];
  /** What it does then. */
  act: (now: number) => void = () => {};

  ring(now: number): void {
    assert.equal(this.place, -1, "it is no longer armed");
    this.rung.push(now);
    this.act(now);
  }
}

function open() {
  const clock = new VirtualClock();
  const queue = new AlarmQueue(clock, AsyncResource);
  const arm = (delayNs: number, bell = new Bell()): Bell => {
    bell.dueAt = nowNs(clock) + delayNs;
    queue.arm(bell);
    return bell;
  };
  return { clock, queue, arm };
}

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("arm" as const), delayNs: fc.oneof(fc.nat(20 * NS_PER_MS), fc.constantFrom(0, 1, 999, NS_PER_MS, toNs(0.1) * 3)) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("disarm" as const), at: fc.nat(50) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("pass" as const), ms: fc.integer({ min: 0, max: 12 }) }) },
);

test("alarms: none rings early, twice or late, and no timer runs for nothing (Q1, Q2)", async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
    const { clock, queue, arm } = open();
    const armed = new Set<Bell>();
    for (const one of steps) {
      if (one.do === "arm") {
        const bell = arm(one.delayNs);
        armed.add(bell);
        bell.act = (now) => {
          armed.delete(bell);
          const lateNs = nowNs(clock) - bell.dueAt;
          assert.ok(now >= bell.dueAt && lateNs >= -1 && lateNs <= 1000, `rung ${lateNs} ns late`);
          for (const other of armed) assert.ok(other.dueAt >= bell.dueAt, "in their order");
        };
      } else if (one.do === "disarm") {
        const bell = [...armed][one.at % Math.max(1, armed.size)];
        if (bell === undefined) continue;
        queue.disarm(bell);
        queue.disarm(bell);
        armed.delete(bell);
      } else {
        await clock.advance(one.ms);
        await clock.advance(0);
        for (const bell of armed) assert.ok(bell.dueAt > nowNs(clock) - 1000, "what is due has rung");
        assert.equal(clock.timers, armed.size > 0 ? 1 : 0);
      }
    }
    await clock.advance(30);
    assert.equal(armed.size, 0);
    assert.equal(clock.timers, 0);
  }), { numRuns: 300 });
});

test("alarms: whatever takes the place of one in the middle finds its own", async () => {
  const { clock, queue, arm } = open();
  const rung: number[] = [];
  const bells = [1, 100, 2, 101, 102, 200, 3].map((ms) => {
    const bell = arm(toNs(ms));
    bell.act = () => rung.push(ms);
    return bell;
  });
  queue.disarm(bells[3] as Bell);
  await clock.advance(50);
  assert.deepEqual(rung, [1, 2, 3]);
  await clock.advance(200);
  assert.deepEqual(rung, [1, 2, 3, 100, 102, 200]);
});

test("alarms: what is disarmed before the program waits costs no timer", async () => {
  const clock = new VirtualClock();
  let timers = 0;
  const { nowMs, setTimer } = clock;
  const queue = new AlarmQueue(Object.assign(clock, { nowMs, setTimer: (wake: () => void, delayMs: number) => (timers++, setTimer.call(clock, wake, delayMs)) }));
  const bell = new Bell();
  for (let call = 0; call < 1000; call++) {
    bell.dueAt = nowNs(clock) + NS_PER_MS;
    queue.arm(bell);
    await Promise.resolve();
    queue.disarm(bell);
  }
  await clock.advance(10);
  assert.equal(timers, 0);
  assert.deepEqual(bell.rung, []);
  // One after the other, each with a turn of the loop in between: they share a timer.
  for (let call = 0; call < 100; call++) {
    bell.dueAt = nowNs(clock) + NS_PER_MS;
    queue.arm(bell);
    await new Promise(setImmediate);
    queue.disarm(bell);
  }
  assert.equal(timers, 1);
  await clock.advance(0);
  assert.equal(clock.timers, 0);
});

test("alarms: one that rings may arm itself, arm others and take them back", async () => {
  const { clock, queue, arm } = open();
  const taken = arm(2 * NS_PER_MS);
  const again = arm(NS_PER_MS);
  const beside = arm(NS_PER_MS);
  again.act = () => {
    queue.disarm(taken);
    if (again.rung.length < 3) arm(NS_PER_MS, again);
  };
  await clock.advance(10);
  assert.deepEqual([again.rung.length, beside.rung.length, taken.rung.length], [3, 1, 0]);
  assert.equal(clock.timers, 0);
});

test("alarms: one that throws keeps no other from ringing", async () => {
  const { clock, arm } = open();
  const bells = [1, 1, 2].map((ms) => arm(toNs(ms)));
  const mine = new Error("mine");
  (bells[0] as Bell).act = () => {
    throw mine;
  };
  await assert.rejects(clock.advance(5), mine);
  await clock.advance(5);
  assert.deepEqual(bells.map((bell) => bell.rung.length), [1, 1, 1]);
});

test("alarms: each rings in the asynchronous context of whoever armed it (Q3)", async () => {
  const { clock, arm } = open();
  const context = new AsyncLocalStorage<string>();
  const rung: (string | undefined)[] = [];
  for (const name of ["a", "b", "c"]) context.run(name, () => (arm(NS_PER_MS).act = () => rung.push(context.getStore())));
  arm(NS_PER_MS).act = () => rung.push(context.getStore());
  await context.run("nobody's", () => clock.advance(1));
  assert.deepEqual(rung.sort(), ["a", "b", "c", undefined]);
});

test("alarms: after a lag of our own all that was due in it waits once (Q4)", async () => {
  const clock = new VirtualClock();
  let lagMs = 0;
  const lagging = { nowMs: () => clock.nowMs() + lagMs, wallMs: () => clock.wallMs(), setTimer: (wake: () => void, ms: number) => clock.setTimer(wake, ms), clearTimer: (timer: unknown) => clock.clearTimer(timer), random: () => 0 };
  const queue = new AlarmQueue(lagging);
  const bells = [10, 15, 300].map((delayMs) => {
    const bell = new Bell();
    bell.dueAt = nowNs(lagging) + toNs(delayMs);
    queue.arm(bell);
    return bell;
  });
  const rung = (): number[] => bells.map((bell) => bell.rung.length);
  await clock.advance(1);
  lagMs = 200;
  await clock.advance(9);
  assert.deepEqual(rung(), [0, 0, 0], "what has arrived in the meantime is heard first");
  await clock.advance(1);
  assert.deepEqual(rung(), [1, 1, 0]);
  // A loop that lags again and again: each alarm waits once.
  lagMs += 300;
  await clock.advance(89);
  assert.deepEqual(rung(), [1, 1, 0]);
  lagMs += 300;
  await clock.advance(1);
  assert.deepEqual(rung(), [1, 1, 1]);
  assert.equal(clock.timers, 0);
});

test("alarms: one that is due in a year sets no timer that runs at once", async () => {
  const { clock, arm } = open();
  const bell = arm(toNs(365 * 24 * 3600 * 1000));
  let longestMs = 0;
  const { setTimer } = clock;
  clock.setTimer = (wake, delayMs) => ((longestMs = Math.max(longestMs, delayMs)), setTimer.call(clock, wake, delayMs));
  await clock.advance(364 * 24 * 3600 * 1000);
  assert.deepEqual(bell.rung, []);
  assert.ok(longestMs > 0 && longestMs < 2 ** 31, `${longestMs} ms`);
  await clock.advance(24 * 3600 * 1000);
  assert.equal(bell.rung.length, 1);
});
