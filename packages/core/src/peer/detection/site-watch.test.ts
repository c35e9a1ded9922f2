import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RuntimeError } from "../../base/errors.ts";
import { Random } from "../../base/random.ts";
import { NS_MAX, NS_PER_MS, NS_PER_S } from "../../base/time.ts";
import { REFERENCE_WATCH, SiteWatch, type SiteWatchOptions } from "./site-watch.ts";

const MS = NS_PER_MS;
const S = NS_PER_S;
const DEFAULT_SUSPECT_NS = 5.5 * S;

/** A watch to which "ann" beat once a second, the last time at the instant. */
function beaten(beats: number, options: Partial<SiteWatchOptions<string>> = {}): { watch: SiteWatch<string>; now: number } {
  const watch = new SiteWatch<string>(options);
  for (let beat = 1; beat <= beats; beat++) watch.recordHeartbeat("ann", beat * S, { sentAt: beat * S, intervalNs: S });
  return { watch, now: beats * S };
}

/** How long after the instant the verdict comes. */
function afterNs(watch: SiteWatch<string>, now: number): number {
  return (watch.nextCrossing("ann")?.at ?? NS_MAX) - now;
}

test("site watch: a site seen once, then never again, is suspect, and down", () => {
  const { watch, now } = beaten(1);
  assert.equal(afterNs(watch, now), DEFAULT_SUSPECT_NS);
  assert.deepEqual(watch.scan(now + DEFAULT_SUSPECT_NS - 1), []);
  assert.equal(watch.scan(now + DEFAULT_SUSPECT_NS)[0]?.to, "suspect");
  assert.equal(watch.scan(now + 31 * S)[0]?.to, "down");
});

test("site watch: the more regular a site was, the sooner its silence tells", () => {
  const delays = [1, 10, 100, 1000, 10_000].map((beats) => {
    const { watch, now } = beaten(beats);
    return afterNs(watch, now);
  });
  assert.deepEqual(delays.toSorted((a, b) => b - a), delays);
  assert.ok((delays.at(-1) as number) < 2.3 * S, `${delays}`);
});

test("site watch: the goals bound the silence: none above withinNs, none below two intervals", () => {
  const goal = { withinNs: 1, mistakeEveryNs: 1e17 };
  const { watch, now } = beaten(3, { detector: { model: "learned", suspect: goal, down: { ...goal, withinNs: 3 * S } } });
  assert.equal(afterNs(watch, now), 2 * S);
  watch.judge("ann", now + 2 * S);
  assert.equal(afterNs(watch, now), 3 * S);
});

test("site watch: W1: one timer finds what a scan would, and each verdict is announced once", () => {
  const watch = new SiteWatch<string>();
  for (const [site, at] of [["ann", 1], ["bob", 1 + 2 * S]] as const) watch.recordHeartbeat(site, at);
  const heard: string[] = [];
  for (let next; (next = watch.earliestCrossing()) !== undefined; ) {
    assert.deepEqual(watch.scan(next.at - 1000), [], "nothing is due before");
    for (const { site, to } of watch.scan(next.at)) heard.push(`${site} ${to}`);
    assert.deepEqual(watch.scan(next.at), []);
  }
  assert.deepEqual(heard, ["ann suspect", "bob suspect", "ann down", "bob down"]);
  watch.recordLife("ann", 100 * S);
  assert.deepEqual(watch.scan(100 * S), [{ site: "ann", to: "live" }]);
});

test("site watch: W2: life moves last-seen and is no sample", () => {
  const { watch, now } = beaten(3);
  const { samples } = watch.explain("ann", now) ?? assert.fail();
  watch.recordLife("ann", now + 40 * S);
  assert.equal(watch.lastSeenAt("ann"), now + 40 * S);
  assert.equal(watch.explain("ann", now + 40 * S)?.samples, samples);
});

test("site watch: a beat counts from when it was sent: a queue of late ones keeps nobody up", () => {
  const { watch, now } = beaten(100);
  const suspectAt = watch.nextCrossing("ann")?.at ?? 0;
  // Sent in the three seconds after, they come one every three seconds.
  for (let beat = 1; beat <= 3; beat++) watch.recordHeartbeat("ann", now + 3 * beat * S, { sentAt: now + beat * S, intervalNs: S });
  assert.ok(watch.lastSeenAt("ann") <= now + 3 * S + 100 * MS);
  assert.equal(watch.judge("ann", suspectAt + 10 * S)?.to, "suspect");
});

test("site watch: a sender whose clock stood still is late for three beats and no longer", () => {
  const { watch, now } = beaten(100);
  for (let beat = 1; beat <= 3; beat++) watch.recordHeartbeat("ann", now + (60 + beat) * S, { sentAt: now + beat * S, intervalNs: S });
  assert.equal(watch.lastSeenAt("ann"), now + 63 * S);
});

test("site watch: an answer proves life at the question, and a site that answers is not suspect", () => {
  const { watch, now } = beaten(100);
  const askAt = watch.nextAsk("ann") ?? assert.fail();
  assert.ok(askAt > now + S && askAt < now + 2 * S);
  watch.recordAsked("ann", askAt);
  assert.ok((watch.nextAsk("ann") ?? 0) > askAt + 200 * MS, "asked four times an interval");
  const before = watch.nextCrossing("ann")?.at ?? 0;
  watch.recordAnswer("ann", askAt + 90 * MS, askAt);
  assert.equal(watch.lastSeenAt("ann"), askAt);
  assert.ok((watch.nextCrossing("ann")?.at ?? 0) > before);
  assert.ok((watch.nextAsk("ann") ?? 0) > askAt + S);
});

test("site watch: the normal model knows lost beats from late ones", () => {
  const patience = (loses: (beat: number) => boolean) => {
    const watch = new SiteWatch<string>({ detector: { model: "normal" } });
    let now = 0;
    for (let beat = 1; beat <= 1000; beat++) if (!loses(beat)) watch.recordHeartbeat("ann", (now = beat * S));
    return afterNs(watch, now);
  };
  const [calm, lossy] = [patience(() => false), patience((beat) => beat % 5 === 0)];
  assert.ok(calm < 3 * S && lossy > calm + 2 * S, `${calm / S} and ${lossy / S} s`);
});

test("site watch: the site's own interval counts, within 10 ms and a minute", () => {
  const watch = new SiteWatch<string>();
  const after = (intervalNs: number) => {
    watch.recordHeartbeat("ann", 100 * S, { sentAt: 1, intervalNs });
    return afterNs(watch, 100 * S);
  };
  const slow = after(5 * S);
  assert.ok(slow > 5 * S && slow <= 10 * S);
  const slowest = after(1e18);
  assert.ok(slowest > 60 * S && slowest <= 120 * S);
  assert.ok(after(0) > 60 * S, "a beat that does not say changes nothing");
  assert.ok(after(1) <= DEFAULT_SUSPECT_NS);
});

test("site watch: a silence that ended in down is learned as one that ended there", () => {
  const patience = (outageNs: number) => {
    const { watch, now } = beaten(2000);
    watch.recordHeartbeat("ann", now + outageNs);
    return afterNs(watch, now + outageNs);
  };
  assert.ok(patience(10 * S) > patience(S), "learned");
  assert.equal(patience(300 * S), patience(3000 * S), "not whole");
});

test("site watch: a site that is suspected over and over must show more life each time", () => {
  const { watch, now } = beaten(100);
  const proofs: number[] = [];
  for (let round = 0, at = now; round < 6; round++) {
    at += 6 * S;
    assert.equal(watch.judge("ann", at)?.to, "suspect");
    let needed = 0;
    while (watch.siteState("ann") !== "live") {
      watch.recordLife("ann", (at += 10 * MS));
      watch.judge("ann", at);
      needed++;
    }
    proofs.push(needed);
  }
  assert.deepEqual(proofs, [1, 1, 2, 3, 4, 4]);
});

test("site watch: when all fall silent together verdicts wait, for a minute at most, and nothing is learned", () => {
  const names = ["ann", "bob", "cid", "dan", "eve"];
  const watch = new SiteWatch<string>();
  let now = 0;
  const beat = (sites: readonly string[]) => {
    now += S;
    sites.forEach((site, at) => watch.recordHeartbeat(site, now + at * MS));
  };
  for (let round = 0; round < 500; round++) beat(names);
  const patience = afterNs(watch, now);
  assert.deepEqual(watch.scan(now + 20 * S), []);
  assert.equal(watch.isIsolated, true);
  now += 30 * S;
  beat(names);
  assert.equal(watch.isIsolated, false);
  assert.ok(Math.abs(afterNs(watch, now) - patience) < 20 * MS);
  // One that stays away when the others are back is found, an interval and a half later.
  for (let round = 0; round < 10; round++) beat(names);
  now += 20 * S;
  assert.deepEqual(watch.scan(now), []);
  beat(names.slice(1));
  beat(names.slice(1));
  beat(names.slice(1));
  assert.deepEqual(watch.scan(now).map(({ site }) => site), ["ann"]);
  // And if nobody comes back they are convicted all the same.
  for (let at = now; at < now + 70 * S; at += S / 2) watch.scan(at);
  assert.deepEqual(names.map((site) => watch.siteState(site)), ["down", "down", "down", "down", "down"]);
});

test("site watch: one dead site among living ones is not held back", () => {
  const watch = new SiteWatch<string>();
  let now = 0;
  for (let round = 0; round < 300; round++, now += S) for (const site of ["ann", "bob", "cid"]) watch.recordHeartbeat(site, now + 1);
  const suspectAt = watch.nextCrossing("ann")?.at ?? 0;
  for (; now < suspectAt; now += S / 2) for (const site of ["bob", "cid"]) watch.recordLife(site, now);
  assert.deepEqual(watch.scan(suspectAt).map(({ site, to }) => `${site} ${to}`), ["ann suspect"]);
});

test("site watch: W3: the sites least recently seen go", () => {
  const evicted: string[] = [];
  const watch = new SiteWatch<string>({ maxEntries: 2, onEvict: (site) => evicted.push(site) });
  for (const [at, site] of ["ann", "bob", "ann", "cid"].entries()) watch.recordHeartbeat(site, 1 + at);
  assert.deepEqual(evicted, ["bob"]);
  assert.equal(watch.earliestCrossing()?.site, "ann");
  watch.forget("ann");
  assert.equal(watch.earliestCrossing()?.site, "cid");
});

test("site watch: W5: sites that come and go leave nothing behind in the queue, though nobody scans", () => {
  const watch = new SiteWatch<string>({ maxEntries: 100 });
  for (let at = 0; at < 5000; at++) {
    watch.recordHeartbeat(`site ${at}`, 1 + at * MS);
    watch.judge(`site ${at}`, 1 + at * MS);
    assert.ok(watch.queueSize <= 2 * watch.size + 64 + 1);
  }
  assert.equal(watch.earliestCrossing()?.site, `site ${5000 - watch.size}`);
});

test("site watch: a site that takes a dropped one's place knows nothing of it", () => {
  const watch = new SiteWatch<string>({ maxEntries: 1 });
  for (let beat = 1; beat < 50; beat++) watch.recordHeartbeat("ann", beat * S, { sentAt: beat * S, intervalNs: 2 * S });
  watch.recordHeartbeat("bob", 50 * S);
  const fresh = new SiteWatch<string>();
  fresh.recordHeartbeat("bob", 50 * S);
  assert.deepEqual(watch.capture("bob"), fresh.capture("bob"));
  assert.equal(watch.phi("bob", 55 * S), fresh.phi("bob", 55 * S));
});

test("site watch: any history is captured and restored alike, and a scan finds what judging everybody would", () => {
  const quantity = fc.oneof(fc.nat(), fc.nat(100).map((seconds) => seconds * S), fc.double({ min: 0, max: NS_MAX, noNaN: true }).map(Math.floor));
  const site = fc.constantFrom("a", "b", "c");
  const step = fc.record({ kind: fc.constantFrom("beat", "stamped", "life", "answer", "scan"), site, now: quantity, stamp: quantity });
  fc.assert(fc.property(fc.array(step), fc.constantFrom("exponential" as const, "learned" as const, "normal" as const), (steps, model) => {
    // Without the brake, of which nothing is stored.
    const make = () => new SiteWatch<string>(model === "exponential" ? REFERENCE_WATCH : { detector: { model }, brake: REFERENCE_WATCH.brake });
    const [watch, judged] = [make(), make()];
    for (const { kind, site, now, stamp } of steps) {
      for (const one of [watch, judged]) {
        if (kind === "beat") one.recordHeartbeat(site, now);
        else if (kind === "stamped") one.recordHeartbeat(site, now, { sentAt: stamp, intervalNs: S });
        else if (kind === "life") one.recordLife(site, now);
        else if (kind === "answer") one.recordAnswer(site, now, stamp);
      }
      if (kind !== "scan") continue;
      const found = watch.scan(now);
      assert.deepEqual(found, ["a", "b", "c"].map((name) => judged.judge(name, now)).filter((transition) => transition !== undefined));
      for (const transition of found) assert.ok(!("phi" in transition) || Number.isFinite(transition.phi));
    }
    const copy = make();
    for (const name of ["a", "b", "c"]) {
      const data = watch.capture(name);
      if (data === undefined) continue;
      copy.restore(name, JSON.parse(JSON.stringify(data)));
      assert.deepEqual(copy.siteState(name), watch.siteState(name));
      assert.ok(Math.abs(copy.phi(name, NS_MAX) - watch.phi(name, NS_MAX)) < 1e-6);
    }
  }));
});

test("site watch: damaged sites are refused and change nothing", () => {
  const { watch, now } = beaten(3);
  const good = watch.capture("ann") ?? assert.fail();
  for (const damage of [{ lastSeenAt: -1 }, { state: "dead" }, { detector: null }, { detector: { ...good.detector, intervalNs: -1 } }]) {
    assert.throws(() => watch.restore("ann", { ...good, ...damage } as typeof good), (error: RuntimeError) => error.code === "SNAPSHOT_INVALID");
  }
  assert.deepEqual(watch.capture("ann"), good);
  assert.equal(watch.siteState("ann"), "live");
  assert.equal(watch.lastSeenAt("ann"), now);
});

/**
 * A thousand sites that beat once a second, and an observer that stands still now and then for 0.5 to 120 s. What comes
 * meanwhile is `kept` and read first, or lost. Answers what was announced, in awake time, and when the last stall ended.
 */
function stalled(fate: "kept" | "lost", dies?: string): { announced: { site: string; to: string; at: number }[]; resumedAt: number; usualNs: number } {
  const random = Random.fromSeed(`stalls ${fate}`);
  const sites = Array.from({ length: 1000 }, (_, at) => ({ name: `site ${at}`, phase: Math.floor(random.nextFraction() * S) }));
  const stalls = [0.5, 1.1, 2.4, 5.3, 11.7, 25.8, 120].map((lasts, at) => ({ from: (40 + 12 * at) * S, ns: lasts * S }));
  const watch = new SiteWatch<string>();
  const announced: { site: string; to: string; at: number }[] = [];
  const scan = (now: number) => void announced.push(...watch.scan(now).map(({ site, to }) => ({ site, to, at: now })));
  let clock = 0; // the senders', which goes on in the stalls; awake time is `now`
  let resumedAt = 0;
  let usualNs = 0;
  let dead: string | undefined;
  const beat = (now: number, sentFrom: number, sentTo: number): void => {
    for (let second = Math.floor(sentFrom / S); second * S < sentTo; second++) {
      for (const { name, phase } of sites) {
        const sentAt = second * S + phase;
        if (sentAt >= sentFrom && sentAt < sentTo && name !== dead) watch.recordHeartbeat(name, now, { sentAt: sentAt + 1, intervalNs: S });
      }
    }
  };
  for (let now = S; now < 150 * S; now += 20 * MS) {
    const stall = stalls.find(({ from }) => from === now);
    if (stall !== undefined) {
      if (stall === stalls.at(-1) && dies !== undefined) {
        usualNs = (watch.nextCrossing(dies)?.at ?? 0) - watch.lastSeenAt(dies);
        dead = dies;
      }
      if (fate === "kept") beat(now, clock, clock + stall.ns);
      clock += stall.ns;
      resumedAt = now;
    }
    beat(now, clock, clock + 20 * MS);
    clock += 20 * MS;
    scan(now);
  }
  return { announced, resumedAt, usualNs };
}

for (const fate of ["kept", "lost"] as const) {
  test(`site watch: a thousand sites, stalls of 0.5 to 120 s, what came meanwhile is ${fate}: no verdict`, () => {
    assert.deepEqual(stalled(fate).announced, []);
  });
}

test("site watch: of a thousand sites the one that died in a stall is found, no later than usual and one beat", () => {
  const { announced, resumedAt, usualNs } = stalled("kept", "site 7");
  const [suspect, ...rest] = announced;
  assert.deepEqual([suspect?.site, suspect?.to], ["site 7", "suspect"]);
  assert.ok((suspect?.at ?? Infinity) <= resumedAt + usualNs + S, `${((suspect?.at ?? 0) - resumedAt) / S} s`);
  assert.ok(rest.every(({ site }) => site === "site 7"));
});
