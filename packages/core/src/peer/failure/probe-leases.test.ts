import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ProbeLeases } from "./probe-leases.ts";

const options = { leaseNs: 50, openAt: 8 };
const failed = (given = {}): ProbeLeases<string> => {
  const leases = new ProbeLeases<string>({ ...options, ...given });
  leases.recordFailure("bob");
  return leases;
};

test("probes: of an open peer nothing is leased", () => {
  const leases = new ProbeLeases<string>(options);
  for (let n = 0; n < 5; n++) assert.equal(leases.take("bob", `${n}`, 1), true);
  assert.equal(leases.taken("bob", 1), 0);
});

test("probes: L1: one at a time after a failure; the others learn when to look again", () => {
  const leases = failed();
  assert.deepEqual([leases.take("bob", "a", 10), leases.take("bob", "b", 11), leases.freeAt("bob", 11)], [true, false, 60]);
});

test("probes: L2: a lease that nobody settles ends by itself", () => {
  const leases = failed();
  leases.take("bob", "a", 10);
  assert.deepEqual([leases.take("bob", "b", 59), leases.take("bob", "b", 60)], [false, true]);
});

test("probes: each success lets one more out, so each round of them twice as many; then any number", () => {
  const leases = failed();
  const room = () => {
    let count = 0;
    while (count < 100 && leases.take("bob", `${count}`, 1)) count++;
    for (let n = 0; n < count; n++) leases.release("bob", `${n}`);
    return count;
  };
  const rooms = [room()];
  while (leases.isHalfOpen("bob")) {
    for (const _ of Array(rooms.at(-1))) leases.recordSuccess("bob");
    rooms.push(room());
  }
  assert.deepEqual(rooms, [1, 2, 4, 100]);
  assert.equal(leases.recordSuccess("bob"), false);
});

test("probes: a failure on the way up begins with one again, and settles what was under way", () => {
  const leases = failed();
  leases.recordSuccess("bob");
  leases.take("bob", "a", 1);
  leases.take("bob", "b", 1);
  leases.recordFailure("bob");
  assert.deepEqual([leases.taken("bob", 1), leases.take("bob", "c", 1), leases.take("bob", "d", 1)], [0, true, false]);
});

test("probes: an owner that is cancelled or gone gives its places back, on every peer", () => {
  const leases = failed();
  leases.recordFailure("cid");
  leases.take("bob", "a", 1);
  leases.take("cid", "a", 1);
  assert.equal(leases.releaseAll("a"), true);
  assert.deepEqual([leases.freeAt("bob", 1), leases.freeAt("cid", 1), leases.releaseAll("a"), leases.release("bob", "a")], [1, 1, false, false]);
});

test("probes: a lease handed over outlives its first owner", () => {
  const leases = failed();
  leases.take("bob", "execution", 1);
  leases.handOver("bob", "execution", "one-way 7");
  leases.releaseAll("execution");
  assert.equal(leases.freeAt("bob", 1), 51);
  assert.equal(leases.release("bob", "one-way 7"), true);
});

test("probes: L3: at the bound those go that nobody holds", () => {
  const leases = new ProbeLeases<string>({ ...options, maxEntries: 2 });
  leases.recordFailure("bob");
  leases.take("bob", "a", 1);
  leases.recordFailure("cid");
  leases.recordFailure("dan");
  assert.deepEqual([leases.size, leases.isHalfOpen("cid"), leases.taken("bob", 1)], [2, false, 1]);
});

test("probes: dropping every outcome never wedges, and no more than k are under way, also over restarts", () => {
  const steps = fc.array(fc.record({
    does: fc.constantFrom("take", "take", "take", "fail", "success", "release", "restart"), owner: fc.constantFrom("a", "b", "c"), after: fc.nat(30),
  }), { maxLength: 100 });
  fc.assert(fc.property(steps, fc.integer({ min: 1, max: 3 }), (given, probesMax) => {
    let leases = failed({ probesMax });
    let [now, limit] = [1, probesMax];
    for (const { does, owner, after } of given) {
      now += after;
      if (does === "take") leases.take("bob", owner, now);
      else if (does === "release") leases.release("bob", owner);
      else if (does === "success" && leases.recordSuccess("bob")) limit++;
      else if (does === "fail" || does === "restart") {
        if (does === "restart") leases = new ProbeLeases<string>({ ...options, probesMax });
        leases.recordFailure("bob");
        limit = probesMax;
      }
      if (leases.isHalfOpen("bob")) assert.ok(leases.taken("bob", now) <= limit);
      assert.ok(leases.freeAt("bob", now) <= now + options.leaseNs);
    }
    assert.ok(leases.take("bob", "last", now + options.leaseNs));
  }));
});
