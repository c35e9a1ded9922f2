import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { any } from "../flow/port-schema.ts";
import { flow } from "../flow/flow.ts";
import { host } from "../flow/functions.ts";
import type { ExecutionId } from "../base/ids.ts";
import { NS_PER_MS, NS_PER_S } from "../base/time.ts";
import { decodeMessage } from "../wire/message-codec.ts";
import { addressParts, isInRange, parseAddressRange } from "../peer/policy/address-range.ts";
import type { PolicyScope } from "../peer/policy/peer-policy.ts";
import type { PolicyChange } from "./engine-events.ts";
import { explainPeer } from "./explain-peer.ts";
import { TestWorld, type TestNode } from "./testing/pair.ts";

const number = any<number>();
const work = host("work", { version: 1, class: "keyed" }, (n: number) => n + 1);
const worked = flow("worked", { input: { n: number }, output: { n: number }, deadlineMs: "never" }, (b, { n }) => ({ n: b.host(work, n) }));
const ask = flow("ask", { input: { n: number }, output: { n: number }, deadlineMs: 60_000 }, (b, { n }) => ({ n: b.call(worked, b.peer("bob"), { n }).n }));
const askAny = flow("ask-any", { input: { n: number }, output: { n: number }, deadlineMs: 60_000 },
  (b, { n }) => ({ n: b.call(worked, b.select("workers"), { n }, { retry: { attempts: 3 } }).n }));

function worldOf(...names: string[]): { world: TestWorld; ann: TestNode; bob: TestNode; cid: TestNode } {
  const world = new TestWorld(names, [worked, ask, askAny], { workers: names.slice(1) });
  const [ann, bob, cid] = names.map((name) => world.node(name)) as [TestNode, TestNode, TestNode];
  world.settle();
  // The addresses of machines, which ranges can be about.
  names.forEach((name, at) => (world.node(name).address = `/ip4/10.0.${at}.1/tcp/4001`));
  for (const node of world.nodes.values()) {
    for (const other of world.nodes.values()) if (other !== node) configure(node, other);
    for (const other of world.nodes.values()) if (other !== node) world.cut(node, other);
  }
  world.run(1000);
  return { world, ann, bob, cid };
}

function configure(node: TestNode, other: TestNode, addresses: readonly string[] = [other.address]): void {
  node.state.peers.get(other.id)?.addresses.splice(0);
  node.take({ kind: "peer-configured", peer: other.id, name: other.name, addresses, keepLink: true });
}

const RANGE: PolicyScope = { on: "range", what: "10.0.1.0/24" };
const change = (node: TestNode, wanted: PolicyChange): void => node.take({ kind: "policy-changed", change: wanted, tag: 1 });
const outcome = (node: TestNode, name: string): unknown => {
  const found = node.state.finished.get(name as ExecutionId)?.outcome;
  return found === undefined ? "pending" : found.ok ? found.value : found.failure.code;
};
const linked = (node: TestNode, other: TestNode): boolean => node.state.peers.get(other.id)?.link?.sendReady === true;
/** The addresses at which a node has dialled since. */
function dialsOf(node: TestNode): (readonly string[])[] {
  const dialled: (readonly string[])[] = [];
  const perform = node.perform.bind(node);
  node.perform = (effect) => {
    if (effect.kind === "dial") dialled.push(effect.addresses);
    perform(effect);
  };
  return dialled;
}
const told = (node: TestNode, event: string): number => node.events.filter((one) => one.event === event).length;

function isolate(world: TestWorld, node: TestNode): void {
  world.cutOff.add(node);
  for (const other of world.nodes.values()) if (other !== node) world.cut(other, node);
}

// ── expiry ──

test("expiry: a block ends at its instant, before anything that is taken in then, and not 1 ns earlier", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  const until = world.now + 10 * NS_PER_S;
  change(ann, { action: "block", peer: bob.id, forNs: 10 * NS_PER_S, reason: "upgrade", by: "operator" });
  world.settle();
  assert.equal(linked(ann, bob), false);
  world.run(9000);
  world.now = until - 1;
  ann.invoke("ask", { n: 1 }, "early");
  world.settle();
  assert.equal(outcome(ann, "early"), "DENIED");
  world.now = until;
  ann.invoke("ask", { n: 1 }, "late");
  world.settle();
  assert.notEqual(outcome(ann, "late"), "DENIED");
  world.run(10);
  assert.deepEqual([outcome(ann, "late"), linked(ann, bob), told(ann, "policy-expired")], [{ n: 2 }, true, 1]);
});

test("expiry: one timer wakes the node for the next of many entries", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  const timers = ann.state.timers.size;
  for (let n = 1; n <= 50; n++) change(ann, { action: "block", peer: { on: "range", what: `11.0.${n}.0/24` }, forNs: n * NS_PER_S });
  world.settle();
  assert.equal(ann.state.timers.size, timers + 1);
  world.run(20_500);
  assert.equal([...ann.state.governor.policy.entries()].length, 30);
  world.run(40_000);
  assert.equal(ann.state.governor.policy.nextExpiry, "never");
  assert.equal(ann.state.timers.find("policy", ann.state.policyExpiry), undefined);
  assert.equal(linked(ann, bob), true);
});

test("expiry: entries survive a restart with their words, and one that ended in the meantime is gone", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  change(ann, { action: "block", peer: bob.id, forNs: 10 * NS_PER_S, reason: "upgrade", by: "operator" });
  change(ann, { action: "block", peer: { on: "protocol", what: "ws" } });
  world.settle();
  world.run(4000);
  const before = [...ann.state.governor.policy.entries()];
  ann.restart();
  world.run(1000);
  assert.deepEqual([...ann.state.governor.policy.entries()], before);
  assert.equal(linked(ann, bob), false);
  ann.kill();
  world.run(6000);
  ann.start();
  world.run(100);
  assert.deepEqual([...ann.state.governor.policy.entries()].map(({ what }) => what), ["ws"]);
  assert.equal(linked(ann, bob), true);
  ann.restart(); // the row has heard of it too
  assert.equal([...ann.state.governor.policy.entries()].length, 1);
});

test("expiry: an allowance that ends cuts the peer off, and the list that it was on stays", () => {
  const { world, ann, bob, cid } = worldOf("ann", "bob", "cid");
  change(ann, { action: "allow-only", peers: [bob.id], forNs: 5 * NS_PER_S });
  change(ann, { action: "allow", peer: { on: "range", what: "10.0.2.0/24" } });
  world.run(1000);
  assert.deepEqual([linked(ann, bob), linked(ann, cid)], [true, true]);
  world.run(5000);
  assert.deepEqual([linked(ann, bob), linked(ann, cid)], [false, true]);
  change(ann, { action: "disallow", peer: { on: "range", what: "10.0.2.0/24" } });
  world.run(100);
  assert.equal(linked(ann, cid), false);
  change(ann, { action: "allow-only", peers: null });
  world.run(100);
  assert.deepEqual([linked(ann, bob), linked(ann, cid)], [true, true]);
});

// ── addresses ──

test("range: closes the links in it at once, ends what was under way, dials nobody in it, and lets in again", () => {
  const { world, ann, bob, cid } = worldOf("ann", "bob", "cid");
  bob.holdHost = true;
  ann.invoke("ask", { n: 1 }, "a");
  world.settle();
  change(ann, { action: "block", peer: RANGE });
  world.settle();
  assert.deepEqual([linked(ann, bob), linked(ann, cid), outcome(ann, "a")], [false, true, "OUTCOME_UNKNOWN"]);
  const dials = dialsOf(ann);
  ann.invoke("ask", { n: 1 }, "b");
  world.run(2000);
  assert.deepEqual([outcome(ann, "b"), dials], ["DENIED", []]);
  assert.equal(linked(ann, bob), false); // bob dials, and is sent away
  change(ann, { action: "unblock", peer: { on: "range", what: "/ip4/10.0.1.0/ipcidr/24" } });
  bob.holdHost = false;
  world.run(6000);
  ann.invoke("ask", { n: 1 }, "c");
  world.run(1000);
  assert.deepEqual([linked(ann, bob), outcome(ann, "c")], [true, { n: 2 }]);
});

test("range: a peer with an address outside of it keeps its session, and is dialled there only", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  configure(ann, bob, ["/ip4/10.0.1.1/tcp/4001", "/ip4/192.168.0.9/tcp/4001"]);
  bob.holdHost = true;
  ann.invoke("ask", { n: 1 }, "a");
  world.settle();
  const dialled = dialsOf(ann);
  bob.address = "/ip4/192.168.0.9/tcp/4001"; // it listens on both, and is reached at this one
  change(ann, { action: "block", peer: RANGE });
  world.run(100);
  assert.equal(outcome(ann, "a"), "pending");
  assert.deepEqual([dialled, linked(ann, bob)], [[["/ip4/192.168.0.9/tcp/4001"]], true]);
  for (const started of bob.hostStarts) bob.finishHost(started);
  world.run(100);
  assert.deepEqual(outcome(ann, "a"), { n: 2 });
});

test("range: a peer that only dials in is denied by where it was last, and what it had of us ends", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  configure(ann, bob, []);
  bob.holdHost = true;
  ann.invoke("ask", { n: 1 }, "a");
  world.settle();
  change(ann, { action: "block", peer: RANGE });
  world.settle();
  assert.equal(outcome(ann, "a"), "OUTCOME_UNKNOWN");
  ann.invoke("ask", { n: 1 }, "b");
  world.settle();
  assert.equal(outcome(ann, "b"), "DENIED");
});

test("range: a peer that comes from where it may not ends what only it could have gone on with", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  change(ann, { action: "block", peer: { on: "range", what: "172.16.0.0/12" } });
  configure(ann, bob, []);
  bob.holdHost = true;
  ann.invoke("ask", { n: 1 }, "a");
  world.settle();
  bob.address = "/ip4/172.16.0.1/tcp/4001";
  world.cut(ann, bob);
  world.run(6000);
  assert.deepEqual([linked(ann, bob), outcome(ann, "a")], [false, "OUTCOME_UNKNOWN"]);
});

test("range: a name that leads to a denied address is dialled again in good time only", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  configure(ann, bob, ["/dns4/bob.example/tcp/4001"]);
  configure(bob, ann, []);
  world.settle();
  const dials = dialsOf(ann);
  change(ann, { action: "block", peer: RANGE });
  world.run(21_000);
  assert.ok(dials.length >= 2 && dials.length <= 6, `${dials.length} dials`);
  assert.deepEqual([linked(ann, bob), told(ann, "peer-down")], [false, 0]);
});

test("range: a peer whose addresses are denied is let in from another, and spoken with from then on", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  change(ann, { action: "block", peer: RANGE });
  world.settle();
  assert.equal(ann.state.governor.checkInbound(bob.id).allow, false);
  ann.take({ kind: "link-opened", link: 777, peer: bob.id, dialled: false, remote: "/ip4/192.168.0.9/tcp/50000" });
  ann.step();
  assert.equal(ann.state.governor.checkInbound(bob.id).allow, true);
  ann.take({ kind: "link-closed", link: 777, reason: "closed", blamesPeer: false });
  ann.step();
  assert.equal(ann.state.governor.checkInbound(bob.id).allow, false);
});

test("range: a link from an address that nobody knows is judged by the peer's id alone", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  change(ann, { action: "block", peer: RANGE });
  world.run(100);
  ann.take({ kind: "link-opened", link: 777, peer: bob.id, dialled: false });
  ann.step();
  assert.equal(ann.state.peers.get(bob.id)?.link?.id, 777);
});

test("range: the configuration's hold from the first turn after a start", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  ann.kill();
  ann.policy = { block: [{ ...RANGE, reason: "not this net" }], allow: null };
  ann.start();
  for (const node of world.nodes.values()) if (node !== ann) configure(ann, node);
  world.run(6000);
  assert.equal(linked(ann, bob), false);
  assert.equal(explainPeer(ann.state, ann.state.peer(bob.id)).policy.entry?.reason, "not this net");
});

test("changes that cannot be made are refused in words, and change nothing", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  const refused = (wanted: PolicyChange): string => {
    change(ann, wanted);
    world.settle();
    const answer = ann.answers.get(1);
    return answer?.ok === false ? `${answer.code} ${answer.message}` : "made";
  };
  assert.match(refused({ action: "block", peer: { on: "range", what: "10.0.0.1/8" } }), /SCHEMA .*10\.0\.0\.0\/8 is the range around it/);
  assert.match(refused({ action: "block", peer: bob.id, forNs: 0 }), /SCHEMA .*forNs/);
  assert.match(refused({ action: "block", peer: bob.id, reason: "x".repeat(257) }), /SCHEMA .*reason/);
  assert.match(refused({ action: "allow", peer: bob.id }), /SCHEMA .*begins with allow-only/);
  assert.deepEqual([...ann.state.governor.policy.entries()], []);
  for (let n = 0; n < 1024; n++) ann.state.governor.policy.add({ kind: "deny", on: "range", what: `11.${n >> 8}.${n & 255}.0/24`, until: "never", by: "api", reason: "", addedAt: 1 });
  assert.match(refused({ action: "block", peer: RANGE }), /FULL/);
  assert.equal(linked(ann, bob), true);
});

// ── withdrawal ──

test("block: what is known of a denied peer stands still, and failures from before are not in a row with those after", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  isolate(world, bob);
  world.run(40);
  const before = ann.state.governor.peerHealth(bob.id)?.consecutiveFailures ?? 0;
  assert.ok(before >= 2 && before < 5, `${before} failures`);
  const retryAt = ann.state.backoff.retryAt(bob.id);
  change(ann, { action: "block", peer: bob.id });
  world.settle();
  assert.equal(ann.state.governor.peerHealth(bob.id)?.consecutiveFailures, 0);
  assert.equal(ann.state.backoff.retryAt(bob.id), retryAt, "a cooldown under way runs its time");
  const dials = dialsOf(ann);
  ann.take({ kind: "dial-failed", peer: bob.id, reason: "of before the block" });
  world.run(60_000);
  assert.deepEqual(dials, []);
  assert.deepEqual([ann.state.governor.peerHealth(bob.id)?.consecutiveFailures, told(ann, "peer-down")], [0, 0]);
  change(ann, { action: "unblock", peer: bob.id });
  ann.step();
  assert.equal(ann.state.backoff.state(bob.id), undefined, "the cooldown that ended is gone");
  world.settle();
  assert.equal(ann.state.governor.peerHealth(bob.id)?.consecutiveFailures, 1);
  assert.equal(ann.state.backoff.state(bob.id)?.attempts, 1);
});

test("block: a peer that was down comes up with its first success, and its silence in the block is nobody's fault", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  isolate(world, bob);
  world.run(20_000);
  assert.equal(told(ann, "peer-down"), 1);
  change(ann, { action: "block", peer: bob.id });
  world.settle();
  const sites = told(ann, "site-suspect") + told(ann, "site-down");
  world.cutOff.clear();
  world.run(300_000);
  assert.equal(told(ann, "site-suspect") + told(ann, "site-down"), sites);
  assert.equal(told(ann, "peer-up"), 0);
  change(ann, { action: "unblock", peer: bob.id });
  ann.invoke("ask", { n: 1 }, "a");
  world.run(1000);
  assert.deepEqual([outcome(ann, "a"), told(ann, "peer-up")], [{ n: 2 }, 1]);
  ann.restart(); // and its row knows
  assert.equal(ann.state.governor.isDown(bob.id), false);
});

test("block: an attempt on a peer that is blocked goes to another at once", () => {
  const { world, ann, bob, cid } = worldOf("ann", "bob", "cid");
  bob.holdHost = true;
  cid.holdHost = true;
  ann.invoke("ask-any", { n: 1 }, "a");
  world.settle();
  const [asked, other] = bob.hostStarts.length > 0 ? [bob, cid] : [cid, bob];
  change(ann, { action: "block", peer: asked.id });
  world.settle();
  assert.equal(other.hostStarts.length, 1);
  assert.equal(ann.state.peer(asked.id).inFlight, 0);
});

// ── explain ──

test("explain: says what stands in the way, and what comes next in order", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  world.run(3000);
  ann.invoke("ask", { n: 1 }, "a");
  world.run(100);
  const explain = () => explainPeer(ann.state, ann.state.peer(bob.id), world.now);
  const well = explain();
  assert.deepEqual([well.obstacles, well.link.state, well.link.remote, well.counts.replies], [[], "up", "/ip4/10.0.1.1/tcp/4001", 1]);
  assert.deepEqual(well.sites.map(({ site, tiers }) => [site, tiers.reduce((sum, { weight }) => sum + weight, 0)]), [["link", 1], ["worked", 1]]);
  assert.deepEqual(well.next.map(({ what }) => what), ["heartbeat", "suspect"]);

  bob.holdHost = true;
  ann.invoke("ask", { n: 1 }, "b");
  world.run(1);
  assert.deepEqual([explain().work.accepted, explain().next.some(({ what }) => what === "deadline")], [1, true]);

  isolate(world, bob);
  world.run(3000);
  const cooling = explain();
  assert.deepEqual(cooling.obstacles, ["cooling-down", "no-link", "down"]);
  assert.equal(cooling.health.consecutiveFailures, cooling.cooldown?.attempts);
  assert.equal(cooling.health.lastFailure?.event, "dial-refused");
  assert.equal(cooling.next.find(({ what }) => what === "cooldown-ends")?.at, ann.state.backoff.retryAt(bob.id));
  assert.ok(cooling.next.some(({ what }) => what === "redial"));
  assert.deepEqual(cooling.next.map(({ at }) => at), cooling.next.map(({ at }) => at).sort((a, b) => a - b));

  change(ann, { action: "block", peer: bob.id, forNs: 60 * NS_PER_S, reason: "upgrade", by: "operator" });
  world.settle();
  const denied = explain();
  assert.deepEqual([denied.obstacles[0], denied.policy.entry?.reason, denied.policy.entry?.by], ["denied", "upgrade", "operator"]);
  assert.deepEqual(denied.next.filter(({ of }) => of !== null), [{ at: denied.policy.entry?.until as number, what: "entry-expires", of: "deny bob" }]);
  assert.ok(denied.next.every(({ what }) => what !== "redial" && what !== "suspect" && what !== "down"));
});

test("explain: foretells the detector's verdict to the instant", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  world.run(5000);
  world.cutOff.add(bob); // frames vanish, the link stays
  const foretold = explainPeer(ann.state, ann.state.peer(bob.id), world.now).next.find(({ what }) => what === "suspect")?.at as number;
  world.run(Math.floor((foretold - world.now) / NS_PER_MS) - 1);
  assert.equal(told(ann, "site-suspect"), 0);
  world.run(2);
  assert.equal(told(ann, "site-suspect"), 1);
});

test("explain: changes nothing, whatever a node has been through", () => {
  const { world, ann, bob } = worldOf("ann", "bob");
  change(ann, { action: "block", peer: RANGE, forNs: NS_PER_S });
  world.run(500);
  const { hasChanges } = ann.driver.engine;
  const rows = () => JSON.stringify([ann.state.tracker.captureSite(ann.state.peer(bob.id).linkSite), [...ann.state.governor], [...ann.state.backoff], ann.state.random.draws, ann.state.timers.size]);
  const before = rows();
  explainPeer(ann.state, ann.state.peer(bob.id), world.now + NS_PER_S);
  assert.deepEqual([rows(), ann.driver.engine.hasChanges], [before, hasChanges]);
});

// ── the property ──

const scopes: readonly PolicyScope[] = [RANGE, { on: "range", what: "10.0.0.0/8" }, { on: "range", what: "10.0.2.0/24" }, { on: "protocol", what: "tcp" }];
const subject = fc.oneof(fc.constantFrom("bob", "cid"), fc.constantFrom(...scopes));
const forMs = fc.option(fc.integer({ min: 1, max: 4000 }), { nil: undefined });
const action = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant("block" as const), subject, forMs }) },
  fc.record({ do: fc.constant("unblock" as const), subject }),
  fc.record({ do: fc.constant("allow-only" as const), subjects: fc.option(fc.array(subject, { maxLength: 2 })), forMs }),
  { weight: 2, arbitrary: fc.record({ do: fc.constant("ask" as const) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("run" as const), ms: fc.integer({ min: 1, max: 3000 }) }) },
  fc.record({ do: fc.constant("cut" as const), other: fc.constantFrom("bob", "cid") }),
  fc.record({ do: fc.constant("silence" as const), other: fc.constantFrom("bob", "cid") }),
  fc.record({ do: fc.constant("move" as const), other: fc.constantFrom("bob", "cid"), to: fc.constantFrom("10.0.1.7", "10.0.2.7", "10.9.9.9", "192.168.0.1") }),
  fc.record({ do: fc.constant("restart" as const) }),
);

/** What ann's operator has said, and until when: independent of the code under test. */
class Rules {
  denied: { subject: string | PolicyScope; until: number }[] = [];
  allowed: { subject: string | PolicyScope; until: number }[] | null = null;

  denies(peer: TestNode, address: string, now: number): boolean {
    const isMeant = (one: { subject: string | PolicyScope; until: number }): boolean => {
      if (one.until <= now) return false;
      if (typeof one.subject === "string") return one.subject === peer.name;
      const { protocols, ips } = addressParts(address);
      const { on, what } = one.subject;
      return on === "protocol" ? protocols.includes(what) : ips.some((ip) => isInRange(ip, parseAddressRange(what)));
    };
    return this.denied.some(isMeant) || (this.allowed !== null && !this.allowed.some(isMeant));
  }
}

test("a denied peer is never contacted, whatever rules come, go and expire, and however healthy anybody is", () => {
  fc.assert(fc.property(fc.array(action, { maxLength: 40 }), (actions) => {
    const { world, ann } = worldOf("ann", "bob", "cid");
    const rules = new Rules();
    const others = new Map([...world.nodes.values()].map((node) => [node.id, node]));
    const perform = ann.perform.bind(ann);
    ann.perform = (effect) => {
      if (effect.kind === "dial") {
        for (const address of effect.addresses) assert.equal(rules.denies(others.get(effect.peer)!, address, world.now), false, `${address} is dialled`);
      }
      perform(effect);
    };
    // The address from which each link comes, as its ends saw it.
    const remotes = new Map<number, { node: TestNode; remote: string }>();
    const watch = (): void => {
      const { driver } = ann;
      const handle = driver.handle.bind(driver);
      driver.handle = (event) => {
        if (event.kind === "link-opened") remotes.set(event.link, { node: others.get(event.peer)!, remote: event.remote! });
        return handle(event);
      };
    };
    watch();
    const send = world.send.bind(world);
    world.send = (link, from, frame) => {
      const end = from === ann ? remotes.get(link) : undefined;
      if (end !== undefined && rules.denies(end.node, end.remote, world.now)) assert.equal(decodeMessage(frame.subarray(4)).kind, "goodbye");
      send(link, from, frame);
    };
    const idOf = (one: string | PolicyScope) => (typeof one === "string" ? world.node(one).id : one);
    const untilOf = (ms: number | undefined): number => (ms === undefined ? Infinity : world.now + ms * NS_PER_MS);
    const terms = (ms: number | undefined) => (ms === undefined ? {} : { forNs: ms * NS_PER_MS });
    const isSame = (a: string | PolicyScope, b: string | PolicyScope): boolean => JSON.stringify(a) === JSON.stringify(b);
    for (const given of actions) {
      world.settle();
      switch (given.do) {
        case "block":
          rules.denied = [...rules.denied.filter((one) => !isSame(one.subject, given.subject)), { subject: given.subject, until: untilOf(given.forMs) }];
          change(ann, { action: "block", peer: idOf(given.subject), ...terms(given.forMs) });
          break;
        case "unblock":
          change(ann, { action: "unblock", peer: idOf(given.subject) });
          rules.denied = rules.denied.filter((one) => !isSame(one.subject, given.subject));
          break;
        case "allow-only":
          rules.allowed = given.subjects?.map((one) => ({ subject: one, until: untilOf(given.forMs) })) ?? null;
          change(ann, { action: "allow-only", peers: given.subjects?.map(idOf) ?? null, ...terms(given.forMs) });
          break;
        case "ask":
          ann.invoke("ask", { n: 1 });
          ann.invoke("ask-any", { n: 1 });
          break;
        case "run": world.run(given.ms); break;
        case "cut": world.cut(ann, world.node(given.other)); break;
        case "silence": if (!world.cutOff.delete(world.node(given.other))) world.cutOff.add(world.node(given.other)); break;
        case "move": {
          // It is found at its new address only, and its links come from there.
          const other = world.node(given.other);
          world.cut(ann, other);
          other.address = `/ip4/${given.to}/tcp/4001`;
          configure(ann, other);
          break;
        }
        case "restart":
          ann.restart();
          watch();
      }
    }
    world.settle();
    // In the end everybody is let in again, and all is as if nothing had been.
    change(ann, { action: "allow-only", peers: null });
    for (const one of ["bob", "cid", ...scopes]) change(ann, { action: "unblock", peer: idOf(one) });
    rules.denied = [];
    rules.allowed = null;
    world.cutOff.clear();
    world.run(70_000);
    for (const name of ["bob", "cid"]) assert.equal(linked(ann, world.node(name)), true, `${name} is linked again`);
    ann.invoke("ask", { n: 1 }, "last");
    world.run(1000);
    assert.deepEqual(outcome(ann, "last"), { n: 2 });
  }), { numRuns: 60 });
});
