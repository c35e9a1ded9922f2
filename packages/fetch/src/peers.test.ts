import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { channel } from "node:diagnostics_channel";
import { test } from "node:test";
import { ATTEMPT_CHANNEL, AdvisedToWaitError, BudgetExhaustedError, CoolingDownError, DeadlineExceededError, isPeerError, openPeers, PeerBlockedError, PeerError } from "./mod.ts";
import type { AttemptReport, PeersOptions, RunOptions } from "./mod.ts";
import { VirtualClock } from "./virtual-clock.ts";

const KEY = "https://api.example.com";
const refused = (): never => {
  throw Object.assign(new Error("connect"), { code: "ECONNREFUSED" });
};

function open(options: PeersOptions = {}) {
  const clock = new VirtualClock();
  return { clock, peers: openPeers({ clock, ...options }) };
}

/** The error with which it ends; fails if it does not. */
async function errorOf(promise: Promise<unknown>): Promise<Error & Partial<PeerError>> {
  return promise.then(() => assert.fail("it succeeded"), (error: Error) => error);
}

async function takeDown({ peers }: ReturnType<typeof open>, times = 5): Promise<void> {
  for (let failure = 0; failure < times; failure++) await errorOf(peers.run(KEY, refused));
}

test("run: hands over what the work returns, and throws what it throws", async () => {
  const { peers } = open();
  assert.equal(await peers.run(KEY, () => 1), 1);
  assert.equal(await peers.run(KEY, async (_signal, attempt) => attempt), 1);
  const mine = new Error("mine");
  assert.equal(await errorOf(peers.run(KEY, () => Promise.reject(mine))), mine);
});

test("run: a peer that fails is left alone, tried by one, and everybody's again when it works", async () => {
  const world = open();
  const { peers, clock } = world;
  const kinds: string[] = [];
  for (const kind of ["down", "up", "cooling-down"] as const) peers.addEventListener(kind, (event) => kinds.push(`${event.type} ${event.peer}`));
  await takeDown(world);
  const refusal = await errorOf(peers.run(KEY, () => 1));
  assert.ok(refusal instanceof CoolingDownError);
  assert.ok((refusal.retryAfterMs ?? 0) > 0 && (refusal.retryAfterMs ?? 0) <= 100);
  assert.equal(refusal.code, "PEER_COOLING_DOWN");
  assert.equal(refusal.peer, KEY);
  assert.equal(peers.explain(KEY).state, "cooling-down");

  await clock.advance(100);
  const probe = peers.run(KEY, () => clock.sleep(10));
  const beside = await errorOf(peers.run(KEY, () => 1));
  assert.ok(beside instanceof CoolingDownError, "one probe at a time");
  assert.ok((beside.retryAfterMs ?? 0) > 0);
  assert.equal(peers.explain(KEY).state, "half-open");
  await clock.advance(10);
  await probe;
  assert.equal(await peers.run(KEY, () => 2), 2);
  assert.deepEqual(kinds, [`down ${KEY}`, `up ${KEY}`]);
});

test("run: four failures in a row hold nobody back (K1)", async () => {
  const world = open();
  await takeDown(world, 4);
  assert.equal(await world.peers.run(KEY, () => 1), 1);
  await takeDown(world, 4);
  assert.equal(await world.peers.run(KEY, () => 1), 1);
});

test("run: what was sent before the peer was given up does not lengthen its cooldown (K2)", async () => {
  const { peers, clock } = open();
  const calls = Array.from({ length: 64 }, (_, at) => errorOf(peers.run(KEY, async () => {
    await clock.sleep(at + 1);
    refused();
  })));
  await clock.advance(64);
  await Promise.all(calls);
  assert.equal(peers.explain(KEY).cooldownStep, 1);
  assert.ok(peers.explain(KEY).retryAfterMs <= 100);
});

test("run: an unsettled probe gives its place back when its lease ends", async () => {
  const world = open({ probeLeaseMs: 1000 });
  const { peers, clock } = world;
  await takeDown(world);
  await clock.advance(100);
  void errorOf(peers.run(KEY, () => new Promise(() => {}), { deadline: "none" }));
  assert.ok(await errorOf(peers.run(KEY, () => 1)) instanceof CoolingDownError);
  await clock.advance(1000);
  assert.equal(await peers.run(KEY, () => 1), 1);
});

test("run: deadlines are learned", async () => {
  const { peers, clock } = open();
  assert.equal(peers.explain(KEY).deadlineMs, 10_000);
  for (let call = 0; call < 100; call++) {
    const done = peers.run(KEY, () => clock.sleep(400), { site: "GET /" });
    await clock.advance(400);
    await done;
  }
  const { deadlineMs, srttMs } = peers.explain(KEY);
  assert.ok(deadlineMs > 400 && deadlineMs < 1000, `${deadlineMs} ms`);
  assert.ok(Math.abs((srttMs ?? 0) - 400) < 1);
  let seen: AbortSignal | undefined;
  const late = errorOf(peers.run(KEY, (signal) => {
    seen = signal;
    return new Promise(() => {});
  }, { site: "GET /" }));
  await clock.advance(1000);
  const error = await late;
  assert.ok(error instanceof DeadlineExceededError);
  assert.equal(error.deadline, "learned");
  assert.equal(seen?.reason, error, "the work is told why");
  assert.equal(clock.timers, 0);
});

test("run: no learned deadline is below the floor or above the ceiling", async () => {
  const { peers, clock } = open({ deadlineFloorMs: 700, deadlineCeilingMs: 800, deadlineInitialMs: 900 });
  for (let call = 0; call < 100; call++) {
    const done = peers.run(KEY, () => clock.sleep(1));
    await clock.advance(1);
    await done;
  }
  assert.equal(peers.explain(KEY).deadlineMs, 700);
  for (let call = 0; call < 100; call++) {
    const done = peers.run(KEY, () => clock.sleep(2000), { deadline: "none" });
    await clock.advance(2000);
    await done;
  }
  assert.equal(peers.explain(KEY).deadlineMs, 800);
});

test("run: a late answer widens the deadline that was too short for it", async () => {
  const { peers, clock } = open();
  for (let call = 0; call < 100; call++) {
    const done = peers.run(KEY, () => clock.sleep(400));
    await clock.advance(400);
    await done;
  }
  const before = peers.explain(KEY).deadlineMs;
  const late = errorOf(peers.run(KEY, () => clock.sleep(3000)));
  await clock.advance(3000);
  assert.ok(await late instanceof DeadlineExceededError);
  assert.ok(peers.explain(KEY).deadlineMs > 1.2 * before);
});

test("run: attemptMs and totalMs bound an attempt and the whole", async () => {
  const { peers, clock } = open();
  const never = (): Promise<never> => new Promise(() => {});
  const attempt = errorOf(peers.run(KEY, never, { attemptMs: 50 }));
  await clock.advance(50);
  assert.equal((await attempt as DeadlineExceededError).deadline, "attempt");
  let attempts = 0;
  const total = errorOf(peers.run(KEY, () => {
    attempts++;
    return never();
  }, { attemptMs: 50, totalMs: 120, attempts: 10, backoffBaseMs: 1 }));
  await clock.advance(120);
  const error = await total;
  assert.ok(error instanceof DeadlineExceededError);
  assert.ok(attempts >= 2 && attempts <= 3);
  assert.equal(clock.timers, 0);
});

test("run: what is left of the whole time may be too little, and is nobody's fault", async () => {
  const { peers, clock } = open({ failureThreshold: 1 });
  let attempts = 0;
  const call = errorOf(peers.run(KEY, async () => {
    if (++attempts === 1) throw Object.assign(new Error("busy"), { code: "EMFILE" });
    return new Promise(() => {});
  }, { totalMs: 100, attempts: 2, judgeError: () => ({ kind: "local", retry: true }), backoffBaseMs: 1000, backoffMaxMs: 90 }));
  await clock.advance(100);
  await call;
  assert.equal(peers.explain(KEY).failuresInARow, 0);
});

test("run: the caller's abort is rethrown as it is, ends a back-off at once, and is nobody's fault", async () => {
  const { peers, clock } = open();
  const reason = { mine: true };
  for (const when of [0, 5, 60]) {
    const control = new AbortController();
    let calls = 0;
    const call = errorOf(peers.run(KEY, async () => {
      calls++;
      await clock.sleep(10);
      refused();
    }, { signal: control.signal, attempts: 5, backoffBaseMs: 100_000, backoffMaxMs: 1e6 }));
    await clock.advance(when);
    const started = calls;
    control.abort(reason);
    assert.equal(await call, reason);
    await clock.advance(100_000);
    assert.equal(calls, started, "nothing is called again");
    assert.equal(clock.timers, 0);
  }
  const before = peers.explain(KEY).failuresInARow;
  const aborted = AbortSignal.abort(reason);
  assert.equal(await errorOf(peers.run(KEY, () => assert.fail("called"), { signal: aborted })), reason);
  assert.equal(peers.explain(KEY).failuresInARow, before);
});

test("run: ten thousand aborts at random moments leave no listener, timer or place behind", async () => {
  const { peers, clock } = open();
  let listeners = 0;
  for (let call = 0; call < 10_000; call++) {
    const control = new AbortController();
    const { signal } = control;
    const { addEventListener, removeEventListener } = signal;
    signal.addEventListener = (...args: Parameters<typeof addEventListener>) => (listeners++, addEventListener.apply(signal, args));
    signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => (listeners--, removeEventListener.apply(signal, args));
    void peers.run(KEY, () => (clock.random() < 0.3 ? 1 : new Promise(() => {})), { signal, attempts: 2 }).catch(() => {});
    if (clock.random() < 0.5) await Promise.resolve();
    control.abort();
  }
  await clock.advance(0);
  assert.equal(clock.timers, 0);
  assert.equal(listeners, 0);
  assert.equal(peers.explain(KEY).inFlight, 0);
  assert.equal(peers.explain(KEY).failuresInARow, 0);
});

test("run: whoever is told that a peer is down may abort what still asks it", async () => {
  const { peers, clock } = open({ failureThreshold: 1 });
  const control = new AbortController();
  const reason = new Error("mine");
  peers.addEventListener("down", () => control.abort(reason));
  let calls = 0;
  const limits: RunOptions = { signal: control.signal, attempts: 3, backoffBaseMs: 1 };
  assert.equal(await errorOf(peers.run(KEY, () => (calls++, refused()), limits)), reason);
  await clock.advance(10_000);
  assert.equal(calls, 1);
  assert.equal(peers.explain(KEY).inFlight, 0);
  assert.equal(clock.timers, 0);
});

test("run: every attempt of a call, and what is told of it, has its caller's asynchronous context", async () => {
  const { peers, clock } = open({ failureThreshold: 100 });
  const context = new AsyncLocalStorage<string>();
  const seen: (string | undefined)[] = [];
  const listen = (): void => void seen.push(context.getStore());
  channel(ATTEMPT_CHANNEL).subscribe(listen);
  const calls = ["a", "b"].map((name) => context.run(name, () => errorOf(peers.run(KEY, () => {
    listen();
    return new Promise(() => {});
  }, { attempts: 3, attemptMs: 10, hedgeAfterMs: 5, backoffBaseMs: 1 }))));
  await clock.advance(100);
  await Promise.all(calls);
  channel(ATTEMPT_CHANNEL).unsubscribe(listen);
  assert.deepEqual(seen.sort(), ["a", "b"].flatMap((name) => Array.from({ length: 6 }, () => name)));
});

test("run: a caller may change its options between two calls, not during one", async () => {
  const { peers, clock } = open();
  const options: { attemptMs: number; site?: string } = { attemptMs: 50 };
  const call = errorOf(peers.run(KEY, () => new Promise(() => {}), options));
  Object.assign(options, { attemptMs: 5000, site: "late" });
  await clock.advance(50);
  assert.equal((await call as DeadlineExceededError).deadlineMs, 50);
  await peers.run(KEY, () => 1, options);
  assert.deepEqual(peers.explain(KEY).sites.map(({ site }) => site), ["", "late"]);
  await assert.rejects(peers.run(KEY, () => 1, Object.assign(options, { attemptMs: 0 })), { code: "OPTION_INVALID" });
});

test("run: retries within one budget, with full jitter", async () => {
  const { peers, clock } = open({ retryReserve: 3, failureThreshold: 1000 });
  let calls = 0;
  const done = errorOf(peers.run(KEY, () => {
    calls++;
    refused();
  }, { attempts: 10, backoffBaseMs: 10 }));
  await clock.advance(1000);
  const error = await done;
  assert.ok(error instanceof BudgetExhaustedError);
  assert.equal((error.cause as { code?: string }).code, "ECONNREFUSED");
  assert.equal(calls, 4, "the first, and what the reserve has");
  let again = 0;
  for (let call = 0; call < 40; call++) await peers.run(KEY, () => 1);
  const earned = errorOf(peers.run(KEY, () => {
    again++;
    refused();
  }, { attempts: 3, backoffBaseMs: 1 }));
  await clock.advance(1000);
  await earned;
  assert.equal(again, 3, "forty successes earn four attempts");
});

test("run: one attempt unless more are asked for, and the last error as it is", async () => {
  const { peers, clock } = open();
  let calls = 0;
  await errorOf(peers.run(KEY, () => (calls++, refused())));
  assert.equal(calls, 1);
  const errors: Error[] = [];
  const call = errorOf(peers.run(KEY, () => {
    errors.push(new Error(String(errors.length)));
    throw errors.at(-1);
  }, { attempts: 3 }));
  await clock.advance(1000);
  assert.equal(await call, errors[2]);
});

test("run: advice holds for every caller, only upwards, and capped", async () => {
  const { peers, clock } = open({ cooldownMaxMs: 10_000 });
  const advice: RunOptions<number> = { judgeValue: () => ({ kind: "overload", retryAfterMs: 1000 }) };
  await peers.run(KEY, () => 1, advice);
  const refusal = await errorOf(peers.run(KEY, () => 1));
  assert.ok(refusal instanceof AdvisedToWaitError);
  assert.ok((refusal.retryAfterMs ?? 0) >= 1000 && (refusal.retryAfterMs ?? 0) <= 1500);
  const waiting = peers.run(KEY, () => "came", { whenHeld: "wait" });
  await clock.advance(999);
  assert.equal(peers.explain(KEY).inFlight, 0);
  await clock.advance(1000);
  assert.equal(await waiting, "came");
  await peers.run(KEY, () => 1, { judgeValue: () => ({ kind: "overload", retryAfterMs: 1e12 }) });
  assert.ok(peers.explain(KEY).retryAfterMs <= 15_000);
  assert.equal(peers.explain(KEY).isDown, false, "it answers");
  assert.ok(await errorOf(peers.run(KEY, () => 1, { whenHeld: "wait" })) instanceof AdvisedToWaitError, "that is longer than it may wait");
});

test("run: a thousand who wait for the end of one advice come one after the other", async () => {
  const { peers, clock } = open();
  peers.acquire(KEY).failure("overload", 4000);
  const heldMs = peers.explain(KEY).retryAfterMs;
  const arrivedMs: number[] = [];
  const calls = Array.from({ length: 1000 }, () => peers.run(KEY, () => arrivedMs.push(clock.nowMs() - heldMs), { whenHeld: "wait", backoffBaseMs: 1 }));
  await clock.advance(20_000);
  await Promise.all(calls);
  arrivedMs.sort((a, b) => a - b);
  assert.ok(arrivedMs[0]! >= 0 && arrivedMs.at(-1)! <= heldMs / 2);
  const most = Math.max(...arrivedMs.map((from, at) => arrivedMs.findLastIndex((to) => to < from + heldMs / 20) - at));
  assert.ok(most < 200, `${most} within a tenth of the time`);
});

test("run: overload without advice holds callers back after as many as failures would, and marks nobody down", async () => {
  const { peers, clock } = open();
  const overload: RunOptions<number> = { judgeValue: () => ({ kind: "overload" }) };
  for (let call = 0; call < 5; call++) await peers.run(KEY, () => 1, overload);
  const { state, isDown } = peers.explain(KEY);
  assert.deepEqual({ state, isDown }, { state: "cooling-down", isDown: false });
  await clock.advance(100);
  await peers.run(KEY, () => 1);
  assert.equal(peers.explain(KEY).cooldownStep, 0);
});

test("run: a lag of our own is no fault of the peer", async () => {
  const { peers } = open();
  const clock = new VirtualClock();
  const lagging = openPeers({ clock: { nowMs: () => clock.nowMs() + lagMs, wallMs: () => clock.wallMs(), setTimer: (wake, ms) => clock.setTimer(wake, ms), clearTimer: (timer) => clock.clearTimer(timer), random: () => clock.random() } });
  let lagMs = 0;
  const call = lagging.run(KEY, () => clock.sleep(101), { attemptMs: 100 });
  await clock.advance(1);
  // The loop stands still: when the timer runs at last, the answer is already waiting behind it.
  lagMs = 400;
  await clock.advance(100);
  assert.equal(await call, undefined);
  assert.equal(peers.explain(KEY).failuresInARow, 0);
});

test("policy: blocked for good, for a while, by the options", async () => {
  const { peers, clock } = open({ block: ["https://bad.example"] });
  assert.ok(await errorOf(peers.run("https://bad.example", () => 1)) instanceof PeerBlockedError);
  peers.block(KEY, { forMs: 1000, reason: "too old" });
  const error = await errorOf(peers.run(KEY, () => 1));
  assert.equal(error.code, "PEER_BLOCKED");
  assert.equal(peers.explain(KEY).state, "blocked");
  await clock.advance(1000);
  assert.equal(await peers.run(KEY, () => 1), 1);
  peers.block(KEY);
  assert.equal(peers.unblock(KEY), true);
  assert.equal(peers.unblock(KEY), false);
  assert.equal(await peers.run(KEY, () => 1), 1);
  const only = openPeers({ clock, allowOnly: [KEY] });
  assert.ok(await errorOf(only.run("https://other.example", () => 1)) instanceof PeerBlockedError);
  assert.equal(await only.run(KEY, () => 1), 1);
});

test("run: a key without bound, and work that is none, are nobody's failure", async () => {
  const { peers } = open();
  await assert.rejects(peers.run("x".repeat(2049), () => 1), { code: "OPTION_INVALID", option: "peer" });
  await assert.rejects(peers.run(KEY, undefined as unknown as () => number), { code: "OPTION_INVALID", option: "run.work" });
  assert.deepEqual(peers.keys(), []);
});

test("run: who aborts a call when they hear of its admission has aborted it", async () => {
  for (const key of [KEY, "https://other.example"]) {
    const { peers, clock } = open();
    const caller = new AbortController();
    let began = 0;
    peers.addEventListener("unblocked", () => caller.abort("enough"));
    peers.block(KEY, { forMs: 50 });
    if (key === KEY) await clock.advance(60);
    const call = peers.run(key, () => (began++, refused()), { signal: caller.signal, attempts: 3, backoffBaseMs: 500 });
    const ended = assert.rejects(call, (reason) => reason === "enough");
    await clock.advance(2000);
    await ended;
    assert.deepEqual([began, peers.explain(key).inFlight], [key === KEY ? 0 : 1, 0]);
  }
});

test("fetch: the name of a header that is none is refused at once, and is no failure of every peer", () => {
  const { peers } = open();
  for (const deadlineHeader of ["x deadline", "", "x\ny", "é"]) assert.throws(() => peers.fetch({ deadlineHeader }), { code: "OPTION_INVALID", option: "fetch.deadlineHeader" });
  assert.ok(peers.fetch({ deadlineHeader: "X-Deadline-Ms" }));
});

test("acquire: its option is checked as all others are", () => {
  const { peers } = open();
  assert.throws(() => peers.acquire(KEY, { sit: "stream" } as object), { code: "OPTION_INVALID", option: "acquire.sit" });
  assert.throws(() => peers.acquire(KEY, { site: 7 } as object), { code: "OPTION_INVALID", option: "acquire.site" });
});

test("acquire: the first word counts, and disposal gives the place back", async () => {
  const world = open();
  const { peers, clock } = world;
  for (let failure = 0; failure < 5; failure++) {
    const permit = peers.acquire(KEY);
    permit.failure("reset");
    permit.success();
  }
  assert.throws(() => peers.acquire(KEY), CoolingDownError);
  await clock.advance(100);
  {
    using probe = peers.acquire(KEY);
    assert.equal(probe.peer, KEY);
    assert.throws(() => peers.acquire(KEY), CoolingDownError);
  }
  assert.equal(peers.explain(KEY).inFlight, 0);
  using probe = peers.acquire(KEY, { site: "stream" });
  probe.success(20);
  assert.equal(peers.explain(KEY).isDown, false);
  assert.equal(peers.explain(KEY).sites.find(({ site }) => site === "stream")?.samples, 1);
});

test("options: checked once, unknown ones refused by name, never changed", async () => {
  const { peers } = open();
  const wrong: [PeersOptions, RegExp][] = [
    [{ failureTreshold: 3 } as PeersOptions, /openPeers\.failureTreshold/],
    [{ cooldownBaseMs: -1 }, /cooldownBaseMs/], [{ cooldownMaxMs: Number.NaN }, /cooldownMaxMs/], [{ peersMax: 1.5 }, /peersMax/],
    [{ retryShare: 2 }, /retryShare/], [{ state: "" }, /state/], [{ clock: {} as VirtualClock }, /clock/],
  ];
  for (const [options, message] of wrong) assert.throws(() => openPeers(options), message);
  assert.match((await errorOf(peers.run(KEY, () => 1, { retries: 3 } as RunOptions<number>))).message, /run\.retries/);
  assert.throws(() => peers.fetch({ retry: "always" as "never" }), /fetch\.retry/);
  const frozen = Object.freeze({ attempts: 2, attemptMs: undefined as never });
  assert.equal(await peers.run(KEY, () => 1, frozen), 1);
  assert.match((await errorOf(peers.run("", () => 1))).message, /peer/);
});

test("errors: told apart without their classes, and refusals cost no stack", async () => {
  const world = open();
  await takeDown(world);
  const error = await errorOf(world.peers.run(KEY, () => 1));
  assert.ok(isPeerError(error));
  assert.ok(!isPeerError(new Error("PEER_BLOCKED")));
  assert.equal(error.stack?.includes("\n    at "), false);
  assert.notEqual(Error.stackTraceLimit, 0);
});

test("closed peers refuse", async () => {
  const { peers } = open();
  await peers[Symbol.asyncDispose]();
  peers.close();
  assert.equal((await errorOf(peers.run(KEY, () => 1))).code, "PEERS_CLOSED");
});

test("diagnostics: each attempt, for those who subscribe", async () => {
  const { peers, clock } = open();
  const reports: AttemptReport[] = [];
  const listen = (message: unknown): void => void reports.push(message as AttemptReport);
  channel(ATTEMPT_CHANNEL).subscribe(listen);
  let calls = 0;
  const call = peers.run(KEY, async () => {
    await clock.sleep(5);
    if (++calls === 1) refused();
  }, { attempts: 2, site: "GET /" });
  await clock.advance(1000);
  await call;
  channel(ATTEMPT_CHANNEL).unsubscribe(listen);
  await peers.run(KEY, () => 1);
  assert.deepEqual(reports.map(({ peer, site, attempt, outcome, durationMs }) => [peer, site, attempt, outcome.kind, durationMs]), [
    [KEY, "GET /", 1, "refused", 5], [KEY, "GET /", 2, "works", 5],
  ]);
});

test("bounds: peers and sites", async () => {
  const { peers, clock } = open({ peersMax: 32, sitesMax: 4 });
  for (let failure = 0; failure < 5; failure++) await errorOf(peers.run("dead", refused));
  for (let peer = 0; peer < 200; peer++) {
    await clock.advance(1);
    await peers.run(`p${peer}`, () => 1);
  }
  assert.ok(peers.keys().length <= 32);
  assert.ok(peers.keys().includes("dead"), "those in trouble go last");
  for (let site = 0; site < 100; site++) await peers.run("dead2", () => 1, { site: `s${site}` });
  assert.equal(peers.explain("dead2").sites.length, 5);
});

test("an outage of ten minutes: few calls go out, and it is over soon after it ends", async () => {
  const { peers, clock } = open();
  let isUp = true;
  let sent = 0;
  const work = async (): Promise<void> => {
    sent++;
    await clock.sleep(20);
    if (!isUp) refused();
  };
  const ask = (): void => void peers.run(KEY, work).catch(() => {});
  const passFor = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 50) {
      ask();
      await clock.advance(50);
    }
  };
  await passFor(5000);
  isUp = false;
  sent = 0;
  await passFor(600_000);
  assert.ok(sent < 40, `${sent} of 12 000 calls went out`);
  isUp = true;
  await passFor(60_000);
  sent = 0;
  await passFor(1000);
  assert.equal(sent, 20, "all calls go out again");
});

test("idle peers have no timer", async () => {
  const { peers, clock } = open();
  for (let peer = 0; peer < 100; peer++) await peers.run(`p${peer}`, () => 1);
  assert.equal(clock.timers, 0);
});

test("run: a judge that throws ends the call with that, and counts nothing", async () => {
  const { peers } = open();
  const mine = new Error("mine");
  const judge = (): never => {
    throw mine;
  };
  for (const deadline of ["learned", "none"] as const) {
    assert.equal(await errorOf(peers.run(KEY, () => 1, { judgeValue: judge, deadline, attempts: 3 })), mine);
    assert.equal(await errorOf(peers.run(KEY, refused, { judgeError: judge, deadline, attempts: 3 })), mine);
  }
  const { inFlight, failuresInARow } = peers.explain(KEY);
  assert.deepEqual({ inFlight, failuresInARow }, { inFlight: 0, failuresInARow: 0 });
});

test("run: without a deadline the outcome counts all the same", async () => {
  const { peers, clock } = open();
  const call = peers.run(KEY, () => clock.sleep(30), { deadline: "none" });
  await clock.advance(30);
  await call;
  assert.ok(Math.abs((peers.explain(KEY).srttMs ?? 0) - 30) < 0.01);
  for (let failure = 0; failure < 5; failure++) await errorOf(peers.run(KEY, refused, { deadline: "none" }));
  assert.equal(peers.explain(KEY).isDown, true);
});

test("run: whoever waits out a cooldown waits for no probe", async () => {
  const world = open();
  const { peers, clock } = world;
  await takeDown(world);
  const probe = peers.run(KEY, () => clock.sleep(10), { whenHeld: "wait" });
  await clock.advance(200);
  await probe;
  await takeDown(world);
  await clock.advance(100);
  void peers.run(KEY, () => clock.sleep(10));
  assert.ok(await errorOf(peers.run(KEY, () => 1, { whenHeld: "wait" })) instanceof CoolingDownError);
});

test("bounds: a peer whose record went is in cooldown all the same", async () => {
  const { peers } = open({ peersMax: 2, cooldownBaseMs: 60_000 });
  for (const key of ["a", "b", "c"]) for (let failure = 0; failure < 5; failure++) await errorOf(peers.run(key, refused));
  assert.equal(peers.keys().length, 2);
  assert.ok(await errorOf(peers.run("c", () => 1)) instanceof CoolingDownError);
});
