import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { addressParts, isInRange, parseAddressRange } from "./address-range.ts";
import { isPolicyReason, PeerPolicy, parsePolicyScope, policyScopeText } from "./peer-policy.ts";
import type { PolicyEntry, PolicyScope } from "./peer-policy.ts";

const entry = (kind: PolicyEntry["kind"], on: PolicyScope["on"], what: string, more: Partial<PolicyEntry> = {}): PolicyEntry =>
  ({ kind, on, what, until: "never", by: "operator", reason: "", addedAt: 1, ...more });

const reasonOf = (decision: { allow: boolean; reason?: string }) => (decision.allow ? "allowed" : decision.reason);

test("policy: P1: a deny of either source beats any allow, by id as by address", () => {
  const policy = new PeerPolicy<string>();
  policy.allowOnly([entry("allow", "peer", "ann"), entry("allow", "range", "10.0.0.0/8")]);
  assert.equal(reasonOf(policy.check("ann")), "allowed");
  policy.configure([entry("deny", "range", "10.1.0.0/16")], false);
  assert.equal(reasonOf(policy.checkAddress("ann", "/ip4/10.1.0.1/tcp/1")), "blocklisted");
  assert.equal(reasonOf(policy.checkAddress("ann", "/ip4/10.2.0.1/tcp/1")), "allowed");
  policy.configure([entry("deny", "peer", "ann")], false);
  assert.equal(reasonOf(policy.checkAddress("ann", "/ip4/10.2.0.1/tcp/1")), "blocklisted");
});

test("policy: P2: a peer must pass the allowlist of each source, and may pass one by its id and the other by its address", () => {
  const policy = new PeerPolicy<string>();
  policy.configure([entry("allow", "peer", "ann"), entry("allow", "peer", "bob")], true);
  policy.allowOnly([entry("allow", "range", "10.0.0.0/8")]);
  const at = (peer: string, address: string) => reasonOf(policy.judge(peer, [address]));
  assert.equal(at("ann", "/ip4/10.0.0.1/tcp/1"), "allowed");
  assert.equal(at("bob", "/ip4/11.0.0.1/tcp/1"), "not-allowlisted");
  assert.equal(at("eve", "/ip4/10.0.0.1/tcp/1"), "not-allowlisted");
  assert.deepEqual(["ann", "bob", "eve"].map((peer) => reasonOf(policy.check(peer))), ["allowed", "not-allowlisted", "not-allowlisted"]);
});

test("policy: P3: an allowlist whose last entry expires admits nobody; one that is opened admits everybody", () => {
  const policy = new PeerPolicy<string>();
  policy.allowOnly([entry("allow", "peer", "ann", { until: 10 })]);
  assert.deepEqual([policy.expire(9).length, reasonOf(policy.check("ann"))], [0, "allowed"]);
  assert.deepEqual([policy.expire(10).length, reasonOf(policy.check("ann"))], [1, "not-allowlisted"]);
  policy.allowOnly(undefined);
  assert.equal(reasonOf(policy.check("ann")), "allowed");
});

test("policy: P4: at the bound an entry is refused, and one in place of another is not; ids and addresses are counted apart", () => {
  const policy = new PeerPolicy<string>({ maxPeers: 2, maxRules: 1 });
  const add = (on: PolicyScope["on"], what: string) => policy.add(entry("deny", on, what));
  assert.deepEqual([add("peer", "a"), add("peer", "b"), add("peer", "c"), add("peer", "a")], ["added", "added", "full", "added"]);
  assert.deepEqual([add("range", "10.0.0.0/8"), add("protocol", "ws"), add("range", "10.0.0.0/8")], ["added", "full", "added"]);
  assert.equal(policy.allowOnly([entry("allow", "peer", "d")]), "full");
  assert.equal(reasonOf(policy.check("e")), "allowed");
  policy.configure([entry("deny", "peer", "c")], false);
  assert.equal(reasonOf(policy.check("c")), "blocklisted");
  policy.remove("deny", { on: "peer", what: "a" });
  assert.equal(policy.allowOnly([entry("allow", "peer", "d")]), "set");
});

test("policy: P5: the next expiry is the least, also after changes", () => {
  const policy = new PeerPolicy<string>();
  policy.add(entry("deny", "peer", "a", { until: 20 }));
  policy.add(entry("deny", "range", "10.0.0.0/8", { until: 10 }));
  assert.equal(policy.nextExpiry, 10);
  policy.add(entry("deny", "range", "10.0.0.0/8", { until: 30 }));
  assert.equal(policy.nextExpiry, 20);
  policy.remove("deny", { on: "peer", what: "a" });
  assert.equal(policy.nextExpiry, 30);
  policy.add(entry("deny", "range", "10.0.0.0/8"));
  assert.equal(policy.nextExpiry, "never");
});

test("policy: a block that comes again puts its own words and end in place of the first one's", () => {
  const policy = new PeerPolicy<string>();
  policy.add(entry("deny", "peer", "a", { reason: "first" }));
  policy.add(entry("deny", "peer", "a", { reason: "second", until: 5 }));
  assert.deepEqual([...policy.entries()].map(({ reason }) => reason), ["second"]);
  policy.expire(5);
  assert.equal(reasonOf(policy.check("a")), "allowed");
});

test("policy: of several addresses one that is allowed is enough; without any the id decides", () => {
  const policy = new PeerPolicy<string>();
  policy.add(entry("deny", "protocol", "unix"));
  assert.equal(reasonOf(policy.judge("ann", ["/unix/run/a", "/ip4/1.2.3.4/tcp/1"])), "allowed");
  assert.equal(reasonOf(policy.judge("ann", ["/unix/run/a"])), "blocklisted");
  assert.equal(reasonOf(policy.judge("ann", [])), "allowed");
  assert.equal(reasonOf(policy.judge("ann", [undefined])), "allowed");
  assert.deepEqual([policy.deniesAddress("/unix/x"), policy.deniesAddress("/memory/unix")], [true, false]);
});

test("policy: explain names the entry that decides, by id before address, and all that are about the peer", () => {
  const policy = new PeerPolicy<string>();
  assert.deepEqual(policy.explain("ann", []), { decision: { allow: true }, entry: null, address: null, entries: [], allowlists: [] });
  const range = entry("deny", "range", "10.0.0.0/8", { reason: "not from there", until: 7 });
  policy.add(range);
  policy.judge("ann", ["/ip4/10.0.0.1/tcp/1"]);
  assert.deepEqual(policy.explain("ann", ["/ip4/10.0.0.1/tcp/1"]), {
    decision: { allow: false, reason: "blocklisted" }, entry: range, address: "/ip4/10.0.0.1/tcp/1", entries: [range], allowlists: [],
  });
  const named = entry("deny", "peer", "ann", { by: "api" });
  policy.add(named);
  const { entry: decides, address, entries } = policy.explain("ann", ["/ip4/10.0.0.1/tcp/1"]);
  assert.deepEqual([decides, address, entries], [named, null, [named, range]]);
  policy.allowOnly([]);
  const { decision, entry: none, allowlists } = policy.explain("bob", []);
  assert.deepEqual([reasonOf(decision), none, allowlists], ["not-allowlisted", null, ["operator"]]);
});

test("policy: scopes are read and written in one spelling, and malformed ones are refused", () => {
  const id = "12D3KooWPmG8mTWggVAPTnLvnnqUdQpAWJBEuh1ouTxyCy4UQPaL";
  assert.deepEqual(parsePolicyScope("/ws"), { on: "protocol", what: "ws" });
  assert.deepEqual(parsePolicyScope("2001:DB8::/32"), { on: "range", what: "2001:db8::/32" });
  assert.deepEqual(parsePolicyScope(id), { on: "peer", what: id });
  for (const text of ["/ws", "10.0.0.0/8", id]) assert.equal(policyScopeText(parsePolicyScope(text)), text);
  for (const text of ["10.0.0.1/8", "/WS", "/", "::1"]) assert.throws(() => parsePolicyScope(text), { code: "OPTION_INVALID" });
  assert.throws(() => parsePolicyScope("ann"), { code: "PEER_ID_INVALID" });
  assert.deepEqual(["é".repeat(128), "é".repeat(129), "\ud800"].map(isPolicyReason), [true, false, false]);
});

test("policy: damaged data is refused, and leaves the policy as it was", () => {
  const policy = new PeerPolicy<string>();
  policy.add(entry("deny", "peer", "ann"));
  const good = entry("deny", "range", "10.0.0.0/8");
  for (const bad of [{ kind: "maybe" }, { on: "port" }, { what: 1 }, { what: "10.0.0.1/8" }, { until: -1 }, { by: "config" }, { reason: null }, { addedAt: 0.5 }, { kind: "allow" }]) {
    assert.throws(() => policy.restore({ entries: [{ ...good, ...bad } as PolicyEntry], listed: false }), { code: "SNAPSHOT_INVALID" });
  }
  assert.throws(() => policy.restore({ entries: [], listed: null as never }), { code: "SNAPSHOT_INVALID" });
  assert.equal(reasonOf(policy.check("ann")), "blocklisted");
});

const PEERS = ["ann", "bob"] as const;
const ADDRESSES = ["/ip4/10.0.0.1/tcp/1", "/ip4/10.1.0.1/tcp/1", "/ip6/2001:db8::1/udp/1", "/unix/run/x"] as const;
const scope: fc.Arbitrary<PolicyScope> = fc.oneof(
  fc.constantFrom(...PEERS).map((what) => ({ on: "peer", what }) as const),
  fc.constantFrom("10.0.0.0/8", "10.1.0.0/16", "::/0").map((what) => ({ on: "range", what }) as const),
  fc.constantFrom("tcp", "unix").map((what) => ({ on: "protocol", what }) as const),
);
const kind = fc.constantFrom("deny", "allow") as fc.Arbitrary<PolicyEntry["kind"]>;
const made = fc.record({
  kind, scope, until: fc.oneof(fc.constant("never" as const), fc.integer({ min: 1, max: 30 })), by: fc.constantFrom("operator", "api") as fc.Arbitrary<"operator" | "api">,
});
const step = fc.oneof(
  { weight: 4, arbitrary: made.map((given) => ({ do: "add", ...given }) as const) },
  fc.record({ kind, scope }).map((given) => ({ do: "remove", ...given }) as const),
  fc.option(fc.array(made, { maxLength: 2 }), { nil: undefined }).map((list) => ({ do: "allow-only", list }) as const),
  fc.tuple(fc.array(made, { maxLength: 2 }), fc.boolean()).map(([list, listed]) => ({ do: "configure", list, listed }) as const),
  { weight: 2, arbitrary: fc.integer({ min: 1, max: 4 }).map((by) => ({ do: "wait", by }) as const) },
  fc.constant({ do: "restore" } as const),
);

/** What the words of the invariants say, of plain lists and with a scan. */
class Model {
  config: PolicyEntry[] = [];
  runtime: PolicyEntry[] = [];
  configListed = false;
  listed = false;

  decide(peer: string, address: string): string {
    const isMeant = ({ on, what }: PolicyEntry): boolean => {
      const { protocols, ips } = addressParts(address);
      if (on === "peer") return what === peer;
      return on === "protocol" ? protocols.includes(what) : ips.some((ip) => isInRange(ip, parseAddressRange(what)));
    };
    if ([...this.config, ...this.runtime].some((one) => one.kind === "deny" && isMeant(one))) return "blocklisted";
    const passes = (list: PolicyEntry[], listed: boolean): boolean => !listed || list.some((one) => one.kind === "allow" && isMeant(one));
    return passes(this.config, this.configListed) && passes(this.runtime, this.listed) ? "allowed" : "not-allowlisted";
  }
}

test("policy: whatever is added, taken back, configured, restored and expires, it decides as a scan of the lists does", () => {
  fc.assert(fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
    const policy = new PeerPolicy<string>();
    const model = new Model();
    let now = 0;
    const isSame = (a: PolicyEntry, b: PolicyEntry): boolean => a.kind === b.kind && a.on === b.on && a.what === b.what;
    for (const given of steps) {
      switch (given.do) {
        case "add": {
          const until = given.until === "never" ? given.until : now + given.until;
          const one = entry(given.kind, given.scope.on, given.scope.what, { until, by: given.by });
          policy.add(one);
          model.runtime = [...model.runtime.filter((other) => !isSame(one, other)), one];
          if (given.kind === "allow") model.listed = true;
          break;
        }
        case "remove": {
          const one = entry(given.kind, given.scope.on, given.scope.what);
          policy.remove(given.kind, given.scope);
          model.runtime = model.runtime.filter((other) => !isSame(one, other));
          break;
        }
        case "allow-only": {
          const list = given.list?.map((one) => entry("allow", one.scope.on, one.scope.what, { until: one.until === "never" ? "never" : now + one.until }));
          policy.allowOnly(list);
          const last = (list ?? []).filter((one, at) => !(list ?? []).slice(at + 1).some((other) => isSame(one, other)));
          model.runtime = [...model.runtime.filter((one) => one.kind === "deny"), ...last];
          model.listed = list !== undefined;
          break;
        }
        case "configure": {
          const list = given.list.filter((one) => given.listed || one.kind === "deny").map((one) => entry(one.kind, one.scope.on, one.scope.what, { by: "config" }));
          policy.configure(list, given.listed);
          model.config = list;
          model.configListed = given.listed;
          break;
        }
        case "wait":
          now += given.by;
          policy.expire(now);
          model.runtime = model.runtime.filter(({ until }) => until === "never" || until > now);
          break;
        case "restore": policy.restore(structuredClone(policy.capture()));
      }
      const ends = model.runtime.map(({ until }) => until).filter((until) => until !== "never");
      assert.equal(policy.nextExpiry, ends.length === 0 ? "never" : Math.min(...ends)); // P5
      for (const peer of PEERS) {
        for (const address of ADDRESSES) {
          const expected = model.decide(peer, address);
          assert.equal(reasonOf(policy.checkAddress(peer, address)), expected);
          assert.equal(reasonOf(policy.judge(peer, [address])), expected);
          assert.equal(reasonOf(policy.check(peer)), expected);
          const { entry: decides, decision } = policy.explain(peer, [address]);
          assert.equal(reasonOf(decision), expected);
          if (expected === "blocklisted") assert.equal(decides?.kind, "deny");
        }
      }
    }
  }));
});
