import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Random } from "../../base/random.ts";
import { NS_PER_MS, NS_PER_S } from "../../base/time.ts";
import { PeerGroup, PRODUCT_GROUP, type PeerGroupOptions } from "./peer-group.ts";
import { type AttemptOutcome, outlierOptions, OutcomeWindow, RelativeOutliers } from "./relative-outliers.ts";
import { SiteLoad } from "./site-load.ts";

const MS = NS_PER_MS;
const S = NS_PER_S;

/** Members by number, that answer when told to. */
class Members {
  readonly loads: SiteLoad[];
  readonly group: PeerGroup<number>;
  readonly random: Random;
  now = S;

  constructor(count: number, options: Partial<PeerGroupOptions> = {}, seed = "members") {
    this.loads = Array.from({ length: count }, () => new SiteLoad());
    this.group = new PeerGroup((member) => this.loads[member], (member) => (this.loads[member] as SiteLoad).latency.inFlight, { ...PRODUCT_GROUP, ...options });
    this.random = Random.fromSeed(seed);
  }

  pick(rankOf: (member: number) => number | undefined = () => 0): number | undefined {
    this.group.clear();
    for (const member of this.loads.keys()) this.group.add(member, rankOf(member), this.now);
    return this.group.pick(this.now, this.random);
  }

  /** One request to the member: ends after so long. True if the member is set aside by it. */
  ask(member: number, latencyNs: number, outcome: AttemptOutcome = this.group.outcomeOf(latencyNs)): boolean {
    const { latency } = this.loads[member] as SiteLoad;
    latency.began(this.now);
    this.now += latencyNs;
    if (outcome === "failed") latency.turnedDown(latencyNs, this.group.latencyNs, this.now);
    else latency.answered(latencyNs, this.now);
    return this.group.record(member, outcome, this.now, this.random);
  }

  /** Everybody answers well, so often. */
  warm(times: number, latencyNs = 10 * MS): void {
    for (let n = 0; n < times; n++) {
      this.pick();
      for (const member of this.loads.keys()) this.ask(member, latencyNs);
    }
    this.pick();
  }

  shares(choices: number, rankOf?: (member: number) => number | undefined): number[] {
    const counts = Array<number>(this.loads.length).fill(0);
    for (let n = 0; n < choices; n++) counts[this.pick(rankOf) as number]!++;
    return counts.map((count) => count / choices);
  }
}

test("group: nobody, one and two members", () => {
  assert.equal(new Members(0).pick(), undefined);
  assert.equal(new Members(1).pick(), 0);
  const two = new Members(2);
  two.warm(1);
  two.ask(0, 100 * MS);
  assert.deepEqual(two.shares(50), [0, 1], "of two both are looked at");
});

test("group: equals take turns, the dearest of three is never asked", () => {
  const equal = new Members(3).shares(3000);
  for (const share of equal) assert.ok(share > 0.28 && share < 0.39, String(equal));
  const three = new Members(3);
  three.warm(3);
  three.ask(1, 40 * MS, "answered");
  assert.equal(three.shares(300)[1], 0, "of any two the other is cheaper");
});

test("group: a member without samples is taken for a median one: neither flooded nor starved", () => {
  const members = new Members(5);
  for (let n = 0; n < 5; n++) for (const member of [0, 1, 2, 3]) members.ask(member, (member + 1) * 10 * MS, "answered");
  members.pick();
  assert.equal(members.group.latencyNs > 0 && members.group.cost(4, members.now), members.group.latencyNs);
  const share = members.shares(2000)[4] as number;
  assert.ok(share > 0.1 && share < 0.4, String(share));
});

test("group: byLatency off goes by what is in flight", () => {
  const members = new Members(2, { byLatency: false });
  members.warm(5);
  members.ask(0, S, "answered");
  members.loads[1]?.latency.began(members.now);
  assert.deepEqual(members.shares(20), [1, 0]);
});

test("group: who fails half of its requests is set aside within 30 of them, and asked last", () => {
  for (let seed = 0; seed < 50; seed++) {
    const members = new Members(5, {}, `half ${seed}`);
    members.warm(40);
    const fate = Random.fromSeed(`fate ${seed}`);
    let asked = 0;
    while (members.group.asideUntil(2, members.now) === undefined) {
      members.pick();
      for (const other of [0, 1, 3, 4]) members.ask(other, MS);
      members.ask(2, MS, fate.nextFraction() < 0.5 ? "failed" : "answered");
      asked++;
      assert.ok(asked <= 30, `seed ${seed}: ${asked} requests`);
    }
    assert.equal(members.shares(100)[2], 0);
    assert.equal(members.shares(10, (member) => (member === 2 ? 0 : undefined))[2], 1, "last, but not denied");
    assert.equal(members.shares(10, (member) => (member === 2 ? 0 : 1))[2], 1, "a rank comes before that");
  }
});

test("group: who is slow far more often than its group is set aside, once is not often", () => {
  const members = new Members(4);
  members.warm(20);
  assert.equal(members.ask(1, S), false);
  let asked = 1;
  while (!members.ask(1, 2 * S)) {
    for (const other of [0, 2, 3]) members.ask(other, 10 * MS);
    members.pick();
    assert.ok(++asked <= 60);
  }
  assert.ok(asked >= 5, String(asked));
});

test("outliers: R1, nobody of two, nobody by few requests, nobody when all fail", () => {
  const two = new Members(2);
  two.warm(20);
  for (let n = 0; n < 50; n++) assert.equal(two.ask(0, MS, "failed"), false);
  const young = new Members(4);
  for (let n = 0; n < 9; n++) {
    young.now += S;
    young.pick();
    for (const member of [0, 1, 2, 3]) assert.equal(young.ask(member, MS, member === 0 ? "failed" : "answered"), false);
  }
  assert.equal(young.group.judged, 4, "the others are known well enough");
  const all = new Members(4);
  for (let n = 0; n < 50; n++) {
    all.pick();
    for (const member of [0, 1, 2, 3]) assert.equal(all.ask(member, MS, "failed"), false);
  }
});

test("outliers: R2, of six at most two are aside, though three fail", () => {
  const members = new Members(6);
  members.warm(20);
  for (let n = 0; n < 40; n++) {
    members.pick();
    for (const member of [0, 1, 2, 3, 4, 5]) members.ask(member, MS, member < 3 ? "failed" : "answered");
  }
  assert.equal(members.group.asideCount(members.now), 2);
});

test("outliers: far from the median member, not from zero, and by more than chance", () => {
  const judged = (slow: number, median: { failureShare: number; slowShare: number }): boolean => {
    const window = new OutcomeWindow();
    for (let n = 0; n < 200; n++) window.record((n * 7) % 10 < slow ? "slow" : "answered", 1);
    return new RelativeOutliers<string>().judge("one", window, { size: 4, judged: 4, ...median }, 1, () => 0);
  };
  assert.equal(judged(7, { failureShare: 0, slowShare: 0.1 }), true);
  assert.equal(judged(7, { failureShare: 0, slowShare: 0.3 }), false, "0.4 is less than the margin");
  assert.equal(judged(4, { failureShare: 0, slowShare: 0 }), false);
  assert.equal(judged(10, { failureShare: 0, slowShare: 0.5 }), true);
});

test("group: equal costs go by what is in flight altogether", () => {
  const group = new PeerGroup<number>(() => undefined, (member) => [3, 1, 2][member] as number);
  const random = Random.fromSeed("busy");
  for (let n = 0; n < 30; n++) {
    group.clear();
    for (const member of [0, 1, 2]) group.add(member, 0, S);
    assert.notEqual(group.pick(S, random), 0);
  }
});

test("outliers: R3, each time ends by itself, doubles when it comes again soon, and is pardoned by good conduct", () => {
  const members = new Members(3);
  const aside = (): number => {
    const before = members.now;
    while (members.group.asideUntil(0, members.now) === undefined) {
      members.pick();
      members.ask(1, MS);
      members.ask(2, MS);
      members.ask(0, MS, "failed");
      assert.ok(members.now < before + 5 * S, "it is found again");
    }
    const lasts = (members.group.asideUntil(0, members.now) as number) - members.now;
    members.now += lasts;
    assert.equal(members.group.asideUntil(0, members.now), undefined);
    return lasts / S;
  };
  const times = [10, 20, 40, 80, 160, 300, 300].map((least) => [least, aside()] as const);
  for (const [least, lasted] of times) assert.ok(lasted >= least && lasted <= 1.25 * least, `${lasted} s, at least ${least}`);
  assert.ok(new Set(times.map(([least, lasted]) => lasted / least)).size > 1, "jitter");
  members.now += 100 * 375 * S;
  assert.ok(aside() <= 12.5, "pardoned");
});

test("group: C1 and R2 whatever happens: the choice is eligible, of the first rank, and at most a third is aside", () => {
  const step = fc.record({ member: fc.nat(9), outcome: fc.constantFrom<AttemptOutcome>("answered", "slow", "failed"), times: fc.integer({ min: 1, max: 20 }), ns: fc.integer({ min: 1, max: 30 * S }) });
  const ranks = fc.array(fc.option(fc.nat(3), { nil: undefined }), { minLength: 10, maxLength: 10 });
  fc.assert(fc.property(fc.integer({ min: 1, max: 10 }), fc.array(step, { maxLength: 40 }), ranks, fc.integer(), (count, steps, ranked, seed) => {
    const [members, twin] = [new Members(count, {}, String(seed)), new Members(count, {}, String(seed))];
    for (const { member, outcome, times, ns } of steps) {
      for (const one of [members, twin]) {
        one.pick();
        for (let n = 0; n < times; n++) one.ask(member % count, ns, outcome);
      }
      assert.ok(members.group.asideCount(members.now) <= Math.floor(count / 3), "R2");
      const picked = members.pick((one) => ranked[one]);
      assert.equal(twin.pick((one) => ranked[one]), picked, "C2");
      const eligible = ranked.slice(0, count).filter((rank) => rank !== undefined);
      assert.equal(picked === undefined ? undefined : ranked[picked], eligible.length === 0 ? undefined : Math.min(...eligible), "C1");
      const all = members.pick();
      if (members.group.asideCount(members.now) < count) assert.equal(members.group.asideUntil(all as number, members.now), undefined, "C1");
      assert.equal(twin.pick(), all, "C2");
    }
  }), { numRuns: 60 });
});

test("outliers: options are checked", () => {
  assert.throws(() => outlierOptions({ failureMargin: 2 }), { code: "OPTION_INVALID" });
  assert.throws(() => outlierOptions({ slowFactor: 0 }), { code: "OPTION_INVALID" });
  assert.throws(() => outlierOptions({ requestsMin: 25 }), { code: "OPTION_INVALID" });
  assert.equal(outlierOptions({ requestsMin: 0, asideNs: 50, asideMaxNs: 1 }).asideMaxNs, 50);
});
