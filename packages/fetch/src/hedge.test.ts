import assert from "node:assert/strict";
import { channel } from "node:diagnostics_channel";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { AlarmQueue } from "./alarm-queue.ts";
import { runCall } from "./call.ts";
import { ATTEMPT_CHANNEL, DeadlineExceededError, openPeers } from "./mod.ts";
import type { AttemptReport, PeersOptions, RunOptions, Work } from "./mod.ts";
import { PeerBook } from "./peer-book.ts";
import { peersOptions } from "./peers-options.ts";
import { RUN_DEFAULTS } from "./run-options.ts";
import type { CheckedRunOptions } from "./run-options.ts";
import { VirtualClock } from "./virtual-clock.ts";

const KEY = "https://api.example.com";
const HEDGED = { attempts: 2, hedgeAfterMs: 50 } as const;
const refused = (): never => {
  throw Object.assign(new Error("connect"), { code: "ECONNREFUSED" });
};

/** Work whose nth attempt takes so many ms. Notes when each began, and of those that end by their signal why. */
function open(options: PeersOptions = {}) {
  const clock = new VirtualClock();
  const peers = openPeers({ clock, ...options });
  const began: number[] = [];
  const aborted: [attempt: number, reason: unknown][] = [];
  const taking = (...tookMs: readonly number[]): Work<number> => async (signal, attempt) => {
    began.push(clock.nowMs());
    signal.addEventListener("abort", () => aborted.push([attempt, signal.reason]));
    await clock.sleep(tookMs[attempt - 1] as number, signal);
    return attempt;
  };
  const tokens = (): number => peers.explain(KEY).retryTokens;
  return { clock, peers, began, aborted, taking, tokens };
}

/** What it comes to: its value or its error, and when, in ms. */
function ending(clock: VirtualClock, call: Promise<unknown>) {
  const end: { what?: unknown; atMs?: number } = {};
  const note = (what: unknown): void => void Object.assign(end, { what, atMs: clock.nowMs() });
  call.then(note, note);
  return end;
}

/** Teaches what answers take. */
async function answer({ peers, clock, taking }: ReturnType<typeof open>, times: number, options: RunOptions<number>, tookMs = 20): Promise<void> {
  for (let call = 0; call < times; call++) {
    const done = peers.run(KEY, taking(tookMs, tookMs), options);
    await clock.advance(tookMs);
    await done;
  }
}

test("hedge: a slow attempt gets a second beside it, and the first good answer counts", async () => {
  const { peers, clock, began, aborted, taking, tokens } = open();
  const before = tokens();
  const end = ending(clock, peers.run(KEY, taking(1000, 30), { ...HEDGED, deadline: "none" }));
  await clock.advance(49);
  assert.deepEqual(began, [0]);
  await clock.advance(951);
  assert.deepEqual(end, { what: 2, atMs: 80 });
  assert.deepEqual(began, [0, 50]);
  assert.deepEqual(aborted.map(([attempt, reason]) => [attempt, (reason as Error).name]), [[1, "AbortError"]]);
  assert.equal(clock.timers, 0);
  const { inFlight, failuresInARow, sites: [site] } = peers.explain(KEY);
  assert.deepEqual({ inFlight, failuresInARow, samples: site?.samples, srttMs: Math.round(site?.srttMs ?? 0) }, { inFlight: 0, failuresInARow: 0, samples: 1, srttMs: 30 });
  assert.ok(Math.abs(before - 1 + 0.1 - tokens()) < 0.01, "it took a token, and the answer earned its share");
});

test("hedge: the first attempt may still win; the second is nobody's fault then, either", async () => {
  const { peers, clock, aborted, taking } = open();
  const end = ending(clock, peers.run(KEY, taking(60, 1000), HEDGED));
  await clock.advance(1000);
  assert.deepEqual(end, { what: 1, atMs: 60 });
  assert.deepEqual(aborted.map(([attempt]) => attempt), [2]);
  const { inFlight, failuresInARow, sites: [site] } = peers.explain(KEY);
  assert.deepEqual({ inFlight, failuresInARow, samples: site?.samples }, { inFlight: 0, failuresInARow: 0, samples: 1 });
});

test("hedge: none goes out for what is answered in time, where nobody asked for one, or when its time comes after the deadline", async () => {
  const { peers, clock, began, taking } = open();
  await Promise.all([clock.advance(200), peers.run(KEY, taking(49, 1), HEDGED)]);
  await Promise.all([clock.advance(200), peers.run(KEY, taking(200, 1), { attempts: 2 })]);
  const late = peers.run(KEY, taking(200, 1), { ...HEDGED, attemptMs: 40, backoffBaseMs: 1 });
  await clock.advance(45);
  await late;
  assert.deepEqual(began.slice(0, 3), [0, 200, 400]);
  assert.ok((began[3] as number) >= 440 && (began[3] as number) <= 441 && began.length === 4, "that was a retry");
});

test("hedge: learned from what first attempts take, and not before ten were answered", async () => {
  const world = open();
  const { peers, clock, began, taking } = world;
  const learned = { attempts: 2, hedgeAfterMs: "learned" } as const;
  await answer(world, 9, learned);
  const slow = peers.run(KEY, taking(200, 1), { ...learned });
  await clock.advance(200);
  await slow;
  assert.equal(began.length, 10);
  // The slowest of ten took 200 ms; each answer below that lowers it.
  await answer(world, 400, learned);
  began.length = 0;
  const startMs = clock.nowMs();
  const hedged = peers.run(KEY, taking(200, 1), learned);
  await clock.advance(200);
  assert.equal(await hedged, 2);
  const delayMs = (began[1] as number) - startMs;
  assert.ok(delayMs >= 15 && delayMs <= 25, `${delayMs} ms`);
  // Those that a hedge beat exceeded it, too.
  for (let call = 0; call < 8; call++) {
    began.length = 0;
    const beaten = peers.run(KEY, taking(1000, 1), learned);
    await clock.advance(200);
    assert.equal(await beaten, 2);
  }
  assert.ok((began[1] as number) - (began[0] as number) > 3 * delayMs);
  // Sites learn apart.
  began.length = 0;
  const elsewhere = peers.run(KEY, taking(200, 1), { ...learned, site: "report", deadline: "none" });
  await clock.advance(100);
  assert.equal(clock.timers, 1, "its work's own");
  await clock.advance(100);
  assert.equal(await elsewhere, 1);
});

test("hedge: no more attempts than asked for, and one hedge at a time", async () => {
  const { peers, clock, began, taking } = open();
  const end = ending(clock, peers.run(KEY, taking(1000, 1000, 1000), { ...HEDGED, attempts: 5 }));
  await clock.advance(1000);
  assert.deepEqual({ began, end }, { began: [0, 50], end: { what: 1, atMs: 1000 } });
  began.length = 0;
  await clock.advance(10_000);
  const retried = ending(clock, peers.run(KEY, async (signal, attempt) => {
    if (attempt === 1) return refused();
    return taking(0, 1000, 1)(signal, attempt);
  }, { ...HEDGED, backoffBaseMs: 1, judgeError: () => ({ kind: "local", retry: true }) }));
  await clock.advance(2000);
  assert.equal(retried.what, 2);
  assert.equal(began.length, 1, "there was a second attempt, and it was the last");
  await assert.rejects(peers.run(KEY, taking(1), { hedgeAfterMs: 50 }), { code: "OPTION_INVALID" });
  assert.throws(() => peers.fetch({ attempts: 1, hedgeAfterMs: "learned" }), { code: "OPTION_INVALID" });
  assert.equal(began.length, 1);
});

test("hedge: the peer's one budget pays for it", async () => {
  const { peers, clock, began, taking } = open({ retryReserve: 1 });
  for (let call = 0; call < 3; call++) {
    const done = peers.run(KEY, taking(100, 100), HEDGED);
    await clock.advance(100);
    await done;
  }
  assert.equal(began.length, 4, "one token, one hedge");
  assert.equal(peers.explain(KEY).inFlight, 0);
});

test("hedge: none goes to a peer that has not worked since it failed, asked to be left alone, or is blocked", async () => {
  const troubles: ((world: ReturnType<typeof open>) => unknown)[] = [
    ({ peers }) => peers.run(KEY, refused).catch(() => {}),
    ({ peers }) => peers.run(KEY, () => 1, { judgeValue: () => ({ kind: "works", retryAfterMs: 1 }) }),
    ({ peers }) => peers.block(KEY),
    async ({ peers }) => {
      for (let failure = 0; failure < 5; failure++) await peers.run(KEY, refused).catch(() => {});
    },
  ];
  for (const makeTrouble of troubles) {
    const world = open();
    const { peers, clock, began, taking, tokens } = world;
    const call = peers.run(KEY, taking(100, 1), HEDGED);
    await clock.advance(20);
    await makeTrouble(world);
    const before = Math.floor(tokens());
    await clock.advance(80);
    assert.equal(await call, 1);
    assert.equal(began.length, 1);
    assert.equal(Math.floor(tokens()), before);
  }
  // A probe is a call of a peer that has not worked since.
  const { peers, clock, began, taking } = open();
  for (let failure = 0; failure < 5; failure++) await peers.run(KEY, refused).catch(() => {});
  await clock.advance(100);
  const probe = peers.run(KEY, taking(100, 1), HEDGED);
  await clock.advance(100);
  assert.equal(await probe, 1);
  assert.equal(began.length, 1);
});

test("hedge: one of both may fail, and the other goes on", async () => {
  for (const [failing, other] of [[1, 2], [2, 1]] as const) {
    const { peers, clock, began } = open();
    const end = ending(clock, peers.run(KEY, async (signal, attempt) => {
      began.push(clock.nowMs());
      await clock.sleep(attempt === failing ? 70 / attempt : 200, signal);
      return attempt === failing ? refused() : attempt;
    }, HEDGED));
    await clock.advance(1000);
    assert.equal(end.what, other);
    assert.deepEqual(began, [0, 50]);
    assert.equal(peers.explain(KEY).inFlight, 0);
    assert.equal(clock.timers, 0);
  }
});

test("hedge: when both have failed, the next attempt follows as ever", async () => {
  const { peers, clock } = open();
  const attempts: number[] = [];
  const end = ending(clock, peers.run(KEY, async (_signal, attempt) => {
    attempts.push(attempt);
    await clock.sleep(attempt === 1 ? 100 : 20);
    return attempt < 3 ? refused() : attempt;
  }, { attempts: 4, hedgeAfterMs: 50, backoffBaseMs: 1 }));
  await clock.advance(1000);
  assert.deepEqual({ attempts, what: end.what }, { attempts: [1, 2, 3], what: 3 });
});

test("hedge: an answer that is worth another attempt waits for the other, and is replaced by it", async () => {
  const { peers, clock } = open();
  const options: RunOptions<number> = { ...HEDGED, judgeValue: (attempt) => ({ kind: attempt === 1 ? "overload" : "works" }) };
  const replaced = ending(clock, peers.run(KEY, async (_signal, attempt) => {
    await clock.sleep(attempt === 1 ? 60 : 100);
    return attempt;
  }, options));
  await clock.advance(1000);
  assert.deepEqual(replaced, { what: 2, atMs: 150 });
});

test("hedge: the whole time and the caller's signal end both at once", async () => {
  const reason = new Error("mine");
  for (const ended of ["total", "signal"] as const) {
    const { peers, clock, began, aborted, taking } = open();
    const control = new AbortController();
    const limits: RunOptions = ended === "total" ? { totalMs: 100 } : { signal: control.signal };
    const end = ending(clock, peers.run(KEY, taking(1000, 1000), { ...HEDGED, ...limits }));
    await clock.advance(99);
    if (ended === "signal") control.abort(reason);
    await clock.advance(1);
    assert.equal(began.length, 2);
    assert.equal(aborted.length, 2);
    if (ended === "total") assert.ok(end.what instanceof DeadlineExceededError && end.what.deadline === "total");
    else {
      assert.equal(end.what, reason);
      assert.deepEqual(aborted, [[1, reason], [2, reason]]);
      assert.equal(peers.explain(KEY).failuresInARow, 0);
    }
    await clock.advance(1000);
    assert.equal(began.length, 2);
    assert.equal(peers.explain(KEY).inFlight, 0);
    assert.equal(clock.timers, 0);
  }
});

test("hedge: an attempt that never ends holds no answer of the other", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const { peers, clock } = open();
  const hanging: unknown[] = [];
  const call = async (): Promise<WeakRef<object>> => new WeakRef(await peers.run(KEY, (_signal, attempt) => {
    if (attempt === 2) return { big: true };
    return new Promise<object>((resolve) => hanging.push(resolve));
  }, HEDGED));
  const answer = call();
  await clock.advance(50);
  const held = await answer;
  await clock.advance(1);
  collect();
  assert.equal(held.deref(), undefined);
  assert.equal(hanging.length, 1);
});

test("hedge: those who watch are told which attempt it was, and what became of the other", async () => {
  const reports: AttemptReport[] = [];
  const listen = (message: unknown): void => void reports.push(message as AttemptReport);
  channel(ATTEMPT_CHANNEL).subscribe(listen);
  const { peers, clock, taking } = open();
  const call = peers.run(KEY, taking(1000, 30), HEDGED);
  await clock.advance(80);
  await call;
  channel(ATTEMPT_CHANNEL).unsubscribe(listen);
  assert.deepEqual(reports.map(({ attempt, hedge, outcome: { kind } }) => ({ attempt, hedge, kind })), [
    { attempt: 2, hedge: true, kind: "works" }, { attempt: 1, hedge: undefined, kind: "cancelled" },
  ]);
});

const attempt = fc.record({ tookMs: fc.integer({ min: 0, max: 200 }), end: fc.constantFrom("value", "busy", "error", "hang"), heedsSignal: fc.boolean() });
const scenario = fc.record({
  attempts: fc.array(attempt, { minLength: 2, maxLength: 5 }),
  hedgeAfterMs: fc.integer({ min: 1, max: 150 }), attemptMs: fc.option(fc.integer({ min: 1, max: 300 })), totalMs: fc.option(fc.integer({ min: 1, max: 500 })),
  abortAfterMs: fc.option(fc.integer({ min: 0, max: 400 })), failuresBefore: fc.constantFrom(0, 0, 0, 1), tokensMax: fc.constantFrom(0, 1, 10),
});

/** What may go wrong with two attempts at a time, in every order. */
test("hedge: one answer for the caller, every other is discarded, and nothing is left behind (C1, C2, C3, K3)", async () => {
  await fc.assert(fc.asyncProperty(scenario, fc.integer(), async ({ attempts, abortAfterMs, failuresBefore, tokensMax, hedgeAfterMs, attemptMs, totalMs }, seed) => {
    const clock = new VirtualClock({ seed });
    const book = new PeerBook(peersOptions({ clock, failureThreshold: 100, retryReserve: tokensMax }));
    const reports: AttemptReport[] = [];
    const host = { book, clock, alarms: new AlarmQueue(clock), report: (report: AttemptReport) => void reports.push(report), platform: {} };
    const plain = RUN_DEFAULTS as CheckedRunOptions<{ attempt: number }>;
    for (let failure = 0; failure < failuresBefore; failure++) await runCall(host, KEY, refused, plain).catch(() => {});
    reports.length = 0;
    const record = book.record(KEY, 0);
    let tokens = 0;
    const { takeRetry } = book;
    book.takeRetry = (...given) => {
      const isTaken = takeRetry.apply(book, given);
      tokens += Number(isTaken);
      return isTaken;
    };
    let censored = 0;
    const { censored: observeCensored } = book;
    book.censored = (...given) => {
      censored++;
      observeCensored.apply(book, given);
    };
    const control = new AbortController();
    const made: object[] = [];
    const discarded: object[] = [];
    const delivered: object[] = [];
    let begun = 0;
    let underWay = 0;
    let isOver = false;
    const work = async (signal: AbortSignal, number: number): Promise<{ attempt: number }> => {
      assert.ok(!isOver && number === ++begun && number <= attempts.length, "an attempt too many");
      assert.ok(++underWay <= 2 && [...record.inFlight()].length === underWay, `${underWay} at a time`);
      signal.addEventListener("abort", () => underWay--);
      const { tookMs, end, heedsSignal } = attempts[number - 1] as (typeof attempts)[number];
      await clock.sleep(tookMs, heedsSignal ? signal : undefined);
      if (end === "hang") await new Promise(() => {});
      if (!signal.aborted) underWay--;
      if (end === "error") refused();
      const value = { attempt: end === "value" ? number : -number };
      made.push(value);
      return value;
    };
    const call = runCall(host, KEY, (ender, number) => work(ender.signal, number), {
      ...plain, attempts: attempts.length, hedgeAfterMs, signal: control.signal, backoffBaseMs: 20,
      ...(attemptMs === null ? { deadline: "none" } : { attemptMs }), ...(totalMs === null ? {} : { totalMs }),
      judgeValue: ({ attempt: number }) => ({ kind: number > 0 ? "works" : "server-error" }),
      discard: (value) => void discarded.push(value),
      deliver: (value) => void delivered.push(value),
    });
    const end = ending(clock, call);
    await clock.advance(abortAfterMs ?? 0);
    if (abortAfterMs !== null) control.abort();
    await clock.advance(10_000);
    if (end.atMs === undefined) control.abort();
    await clock.advance(1000);
    isOver = true;
    assert.notEqual(end.atMs, undefined, "the call ends");
    assert.equal(record.newest, undefined);
    assert.equal(clock.timers, 0);
    assert.deepEqual(delivered, made.includes(end.what as object) ? [end.what] : []);
    const freed = new Set(discarded);
    assert.equal(freed.size, discarded.length, "discarded once");
    assert.deepEqual(made.filter((value) => !freed.has(value)), delivered);
    assert.equal(reports.length, begun);
    assert.equal(censored, reports.filter(({ outcome: { kind } }) => kind === "cancelled" || kind === "timed-out").length);
    // A retry whose wait was aborted took one for nothing.
    const further = Math.max(0, begun - 1);
    assert.ok(tokens === further || (tokens === further + 1 && (abortAfterMs !== null || totalMs !== null)), `${tokens} tokens for ${further} further attempts`);
  }), { numRuns: 500 });
});
